package e2e

import (
	"encoding/json"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/test/harness"
)

// failuresInRow is the number of consecutive failures that open an address's circuit.
const failuresInRow = 5

// waitUpstreamState waits for the log line about the state of an address.
func waitUpstreamState(t *testing.T, g *harness.Gateway, seen int, message, addr string) {
	t.Helper()
	_, err := g.Stderr.WaitLineSince(seen, func(line string) bool {
		var l struct{ Msg, Upstream string }
		return json.Unmarshal([]byte(line), &l) == nil && l.Msg == message && l.Upstream == addr
	})
	if err != nil {
		t.Fatalf("%s: want %q in the log: %v", addr, message, err)
	}
	want := map[string]float64{"upstream is out": 0, "upstream is back": 1}[message]
	if found := counter(metrics(t, g)["certgate_upstream_up"], map[string]string{"upstream": addr}); found != want {
		t.Errorf("%s: want certgate_upstream_up %v, found %v", addr, want, found)
	}
}

// TestCircuitBreaker checks that a failing upstream gets no requests until one probe
// succeeds.
func TestCircuitBreaker(t *testing.T) {
	t.Parallel()
	for name, env := range bothHTTP() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := harness.NewMasterKey(t, "p256")
			mail := m.Issue(t, harness.OU("mail"))
			s := harness.NewRestartableService(t)
			g := startWithUpstreams(t, m, env, s)
			s.Broken.Store(true)
			for range failuresInRow {
				g.WantProblem(t, harness.Send(t, g.Addr, harness.Get("/events", mail)), refusal.UpstreamFailed)
			}
			wantOverloaded(t, g, s, harness.Get("/events", mail).Post("{}"))
			waitUpstreamState(t, g, 0, "upstream is out", s.Addr)
			if a := g.SendAdmin(t, harness.PlainGet("/readyz")); a.Status != 200 {
				t.Errorf("want the gateway ready, found %d", a.Status)
			}

			time.Sleep(time.Second) // Retry-After; a longer wait is valid, too
			g.WantProblem(t, harness.Send(t, g.Addr, harness.Get("/events", mail)), refusal.UpstreamFailed)
			wantOverloaded(t, g, s, harness.Get("/events", mail))
			s.Broken.Store(false)
			time.Sleep(time.Second)
			for range 3 {
				if a := harness.Send(t, g.Addr, harness.Get("/events", mail)); a.Status != 200 {
					t.Errorf("want 200, found %d %s", a.Status, a.Body)
				}
			}
			waitUpstreamState(t, g, 0, "upstream is back", s.Addr)
		})
	}
}

// wantOverloaded expects that a request is refused while the circuit of the only address is
// open, without a connection to the address. On a busy machine the retry interval may have
// passed. Then the request is the probe, which fails, and the next request is checked instead.
func wantOverloaded(t *testing.T, g *harness.Gateway, s *harness.RestartableService, r harness.Request) {
	t.Helper()
	for range 10 {
		conns := s.Accepted.Load()
		a := harness.Send(t, g.Addr, r)
		if a.Problem(t).Reason != string(refusal.Overloaded) {
			g.WantProblem(t, a, refusal.UpstreamFailed)
			continue
		}
		g.WantProblem(t, a, refusal.Overloaded)
		if after := a.Header.Get("Retry-After"); after != "1" {
			t.Errorf("want Retry-After: 1, found %q", after)
		}
		if n := s.Accepted.Load() - conns; n != 0 {
			t.Errorf("want nothing at the upstream, found %d connections", n)
		}
		return
	}
	t.Error("want a request refused with overloaded, found none")
}

// TestUpstreamHealthCheck checks that an unhealthy address gets no requests, and that
// health checks contain nothing of any client.
func TestUpstreamHealthCheck(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	mail := m.Issue(t, harness.OU("mail"))
	unhealthy, healthy := harness.NewRestartableService(t), harness.NewRestartableService(t)
	unhealthy.Unhealthy.Store(true)
	g := startWithUpstreams(t, m, harness.Env{"UPSTREAM_HEALTH_PATH": "/healthz"}, unhealthy, healthy)
	waitUpstreamState(t, g, 0, "upstream is out", unhealthy.Addr)
	unhealthy.Delivered()
	for range 4 {
		if a := harness.Send(t, g.Addr, harness.Get("/events", mail)); a.Status != 200 {
			t.Errorf("want 200, found %d", a.Status)
		}
	}
	if n, others := len(unhealthy.Delivered()), len(healthy.Delivered()); n != 0 || others != 4 {
		t.Errorf("want all requests at the other address, found %d and %d", n, others)
	}
	unhealthy.Unhealthy.Store(false)
	waitUpstreamState(t, g, 0, "upstream is back", unhealthy.Addr)
	unhealthy.Mu.Lock()
	defer unhealthy.Mu.Unlock()
	for _, r := range unhealthy.Requests {
		for name := range r.Header {
			if name != "User-Agent" && name != "Connection" {
				t.Errorf("want no header of a client in a health check, found %s", name)
			}
		}
	}
}

// TestDrainWithFailingUpstream checks that a failing upstream under health checks delays no
// shutdown.
func TestDrainWithFailingUpstream(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	mail := m.Issue(t, harness.OU("mail"))
	s := harness.NewRestartableService(t)
	s.Stop()
	for name, env := range map[string]harness.Env{"probes": nil, "health checks": {"UPSTREAM_HEALTH_PATH": "/healthz"}} {
		t.Run(name, func(t *testing.T) {
			g := startWithUpstreams(t, m, env, s)
			for range failuresInRow {
				harness.Send(t, g.Addr, harness.Get("/events", mail))
			}
			waitUpstreamState(t, g, 0, "upstream is out", s.Addr)
			g.Signal(t, harness.Terminate)
			g.WantExit(t, 0)
		})
	}
	s.Start(t) // its cleanup stops it again
}

// TestMalformedResponsesOpenNoCircuit checks that a client that provokes malformed upstream
// responses does not take the address from others.
func TestMalformedResponsesOpenNoCircuit(t *testing.T) {
	t.Parallel()
	for name, env := range bothHTTP() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := harness.NewMasterKey(t, "p256")
			mail, social := m.Issue(t, harness.OU("mail")), m.Issue(t, harness.OU("social"))
			g := startWithUpstreams(t, m, env, harness.NewRestartableService(t))
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
