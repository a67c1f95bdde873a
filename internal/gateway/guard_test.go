package gateway

import (
	"net/http"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/core/gate"
)

// A reload replaces the gate, not the guard before it, which the metric shows.
func TestGuardStays(t *testing.T) {
	s := newSources(t)
	r := start(t, load(t, hello(t), map[string]string{"ACCESS_RULES_FILE": s.rules, "AUTH_FAILURE_RATE": "1"}))
	before := r.gate.Load()
	write(t, s.rules, letsMail+"# again\n")
	eventually(t, "a new gate", func() bool { return r.gate.Load() != before })
	eventually(t, "a refusal held back", func() bool {
		r.gate.Load().Identifier.Identify(gate.Claim{}, time.Now())
		return r.guard.Held() == 1
	})
	want(t, r, r.AdminAddr(), "/metrics", http.StatusOK, "\ncertgate_held_answers_total 1\n")
	want(t, r, r.Addr(), "/events", http.StatusOK, "hello")
}

// AUTH_FAILURE_RATE=0: nobody waits.
func TestGuardOff(t *testing.T) {
	r := start(t, load(t, hello(t), map[string]string{"AUTH_FAILURE_RATE": "0"}))
	for range 100 {
		r.gate.Load().Identifier.Identify(gate.Claim{}, time.Now())
	}
	if n := r.guard.Held(); n != 0 {
		t.Errorf("%d held back, want none", n)
	}
}

// A client that is verified and proves nothing fails, too.
func TestGuardOfProofs(t *testing.T) {
	r := start(t, load(t, hello(t), map[string]string{"AUTH_PROOF": "require", "AUTH_FAILURE_RATE": "1"}))
	unsigned := gate.Request{Time: time.Now(), Credential: []string{newWorld(t).header}, Method: http.MethodGet, Target: "/events", Header: http.Header{}}
	eventually(t, "a refusal held back", func() bool {
		if d := r.gate.Load().Decide(unsigned); d.Denial == nil || d.Last != gate.Proof {
			t.Fatalf("refused at %s with %v, want it at %s", d.Last, d.Denial, gate.Proof)
		}
		return r.guard.Held() == 1
	})
}

// TestGuardOfDenied: a client on the deny list is throttled like one that fails, on both
// ways through the gateway and at the echo, whichever entry denies it.
func TestGuardOfDenied(t *testing.T) {
	for lane, set := range lanes() {
		for _, path := range []string{"/events", "/certgate/echo"} {
			t.Run(lane+" "+path, func(t *testing.T) {
				set["ACCESS_RULES"] = letsMail + "deny:\n  - client: mail\n"
				set["AUTH_FAILURE_RATE"], set["ECHO_PATH"] = "1", "/certgate/echo"
				r := start(t, load(t, hello(t), set))
				eventually(t, "a refusal held back", func() bool {
					want(t, r, r.Addr(), path, http.StatusForbidden, "access_denied")
					return r.guard.Held() >= 1
				})
			})
		}
	}
}
