package test

import (
	"maps"
	"slices"
	"testing"

	"github.com/certgate/certgate/internal/core/refusal"
)

// TestBadAnswersTakeNothingAway: a client that provokes answers that cannot be
// forwarded does not put the address out for the others.
func TestBadAnswersTakeNothingAway(t *testing.T) {
	t.Parallel()
	for lane, env := range lanes() {
		t.Run(lane, func(t *testing.T) {
			t.Parallel()
			m := newMaster(t, "p256")
			mail, social := m.issue(t, subject("mail")), m.issue(t, subject("social"))
			g := before(t, m, env, newService(t))
			for _, path := range slices.Sorted(maps.Keys(badAnswers())) {
				for range 2 * failuresInRow {
					g.wantProblem(t, send(t, g.addr, get(path, social)), refusal.UpstreamFailed)
				}
				if a := send(t, g.addr, get("/events", mail)); a.status != 200 {
					t.Errorf("behind %s: want 200 for another client, found %d %s", path, a.status, a.body)
				}
			}
		})
	}
}

// TestOneClientHoldsHalf: a client whose requests stay in flight leaves places to the
// others.
func TestOneClientHoldsHalf(t *testing.T) {
	t.Parallel()
	for lane, env := range lanes() {
		t.Run(lane, func(t *testing.T) {
			t.Parallel()
			m := newMaster(t, "p256")
			mail, social := m.issue(t, subject("mail")), m.issue(t, subject("social"))
			s := newService(t)
			g := before(t, m, env.with(environment{"MAX_IN_FLIGHT": "4"}), s)
			if a := send(t, g.addr, get("/events", mail)); a.status != 200 {
				t.Fatalf("want 200, found %d %s", a.status, a.body)
			}
			for range 2 {
				dial(t, g.addr).write(t, get("/held", social).String())
				<-s.asked
			}
			refused := send(t, g.addr, get("/held", social))
			g.wantProblem(t, refused, refusal.Overloaded)
			want := `want at most 2 of 4 requests in flight for client "social" while other clients send requests`
			if line := g.auditOf(t, refused.header.Get("X-Request-Id")); line.Detail != want {
				t.Errorf("detail %q, want %q", line.Detail, want)
			}
			for range 2 {
				dial(t, g.addr).write(t, get("/held", mail).String())
				<-s.asked
			}
		})
	}
}
