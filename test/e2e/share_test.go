package e2e

import (
	"maps"
	"slices"
	"testing"

	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/test/harness"
)

// TestMalformedResponsesOpenNoCircuit checks that a client that provokes malformed upstream
// responses does not take the address from others.
func TestMalformedResponsesOpenNoCircuit(t *testing.T) {
	t.Parallel()
	for lane, env := range lanes() {
		t.Run(lane, func(t *testing.T) {
			t.Parallel()
			m := harness.NewMasterKey(t, "p256")
			mail, social := m.Issue(t, harness.OU("mail")), m.Issue(t, harness.OU("social"))
			g := before(t, m, env, harness.NewRestartableService(t))
			for _, path := range slices.Sorted(maps.Keys(harness.BadResponses())) {
				for range 2 * failuresInRow {
					g.WantProblem(t, harness.Send(t, g.Addr, harness.Get(path, social)), refusal.UpstreamFailed)
				}
				if a := harness.Send(t, g.Addr, harness.Get("/events", mail)); a.Status != 200 {
					t.Errorf("after %s: want 200 for another client, found %d %s", path, a.Status, a.Body)
				}
			}
		})
	}
}

// TestInFlightShareOfClient checks that one client cannot hold all of MAX_IN_FLIGHT.
func TestInFlightShareOfClient(t *testing.T) {
	t.Parallel()
	for lane, env := range lanes() {
		t.Run(lane, func(t *testing.T) {
			t.Parallel()
			m := harness.NewMasterKey(t, "p256")
			mail, social := m.Issue(t, harness.OU("mail")), m.Issue(t, harness.OU("social"))
			s := harness.NewRestartableService(t)
			g := before(t, m, env.With(harness.Env{"MAX_IN_FLIGHT": "4"}), s)
			if a := harness.Send(t, g.Addr, harness.Get("/events", mail)); a.Status != 200 {
				t.Fatalf("want 200, found %d %s", a.Status, a.Body)
			}
			for range 2 {
				harness.Dial(t, g.Addr).Send(t, harness.Get("/held", social).String())
				<-s.Arrived
			}
			refused := harness.Send(t, g.Addr, harness.Get("/held", social))
			g.WantProblem(t, refused, refusal.Overloaded)
			want := `want at most 2 of 4 requests in flight for client "social" while other clients send requests`
			if line := g.AuditLineOf(t, refused.Header.Get("X-Request-Id")); line.Detail != want {
				t.Errorf("detail %q, want %q", line.Detail, want)
			}
			for range 2 {
				harness.Dial(t, g.Addr).Send(t, harness.Get("/held", mail).String())
				<-s.Arrived
			}
		})
	}
}
