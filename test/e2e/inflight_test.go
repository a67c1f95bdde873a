package e2e

import (
	"fmt"
	"testing"

	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/test/harness"
)

// TestInFlightLimit checks that a request over MAX_IN_FLIGHT is refused before its body is
// read, and that a client that disconnects makes room.
func TestInFlightLimit(t *testing.T) {
	t.Parallel()
	for name, env := range bothHTTP() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := harness.NewMasterKey(t, "p256")
			mail := m.Issue(t, harness.OU("mail"))
			s := harness.NewRestartableService(t)
			const limit = 3
			g := startWithUpstreams(t, m, env.With(harness.Env{"MAX_IN_FLIGHT": fmt.Sprint(limit)}), s)
			var held []*harness.Conn
			for range limit {
				c := harness.Dial(t, g.Addr)
				c.Send(t, harness.Get("/held", mail).String())
				<-s.Arrived
				held = append(held, c)
			}
			conns := s.Accepted.Load()
			refused := harness.Dial(t, g.Addr)
			for _, r := range []harness.Request{harness.Get("/events", mail), harness.Get("/events", mail).Post("{}")} {
				refused.Send(t, r.String())
				a := refused.ReadResponse(t, r.Method)
				g.WantProblem(t, a, refusal.Overloaded)
				if after := a.Header.Get("Retry-After"); after != "1" {
					t.Errorf("want Retry-After: 1, found %q", after)
				}
			}
			waits := harness.Dial(t, g.Addr)
			waits.Send(t, harness.Get("/events", mail).Post("").With("Content-Length: 2", "Expect: 100-continue").String())
			g.WantProblem(t, waits.ReadResponse(t, "POST"), refusal.Overloaded)
			if n := s.Accepted.Load() - conns; n != 0 {
				t.Errorf("want nothing at the upstream, found %d connections", n)
			}

			_ = held[0].Close()
			g.WaitAuditLine(t, func(l harness.AuditLine) bool { return l.Reason == string(refusal.ClientClosed) })
			refused.Send(t, harness.Get("/events", mail).String())
			if a := refused.ReadResponse(t, "GET"); a.Status != 200 {
				t.Errorf("want one free place, and the same connection usable, found %d", a.Status)
			}
			s.Release()
			for _, c := range held[1:] {
				if a := c.ReadResponse(t, "GET"); a.Status != 200 {
					t.Errorf("want the others to finish, found %d", a.Status)
				}
			}
		})
	}
}

// TestInFlightShareOfClient checks that one client cannot hold all of MAX_IN_FLIGHT.
func TestInFlightShareOfClient(t *testing.T) {
	t.Parallel()
	for name, env := range bothHTTP() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := harness.NewMasterKey(t, "p256")
			mail, social := m.Issue(t, harness.OU("mail")), m.Issue(t, harness.OU("social"))
			s := harness.NewRestartableService(t)
			g := startWithUpstreams(t, m, env.With(harness.Env{"MAX_IN_FLIGHT": "4"}), s)
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
