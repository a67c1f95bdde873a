package gateway

import (
	"net/http"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/core/gate"
)

// TestThrottleSurvivesReload checks that a reload keeps the failure counts.
func TestThrottleSurvivesReload(t *testing.T) {
	t.Parallel()
	s := newFiles(t)
	r := start(t, load(t, hello(t), map[string]string{"ACCESS_RULES_FILE": s.rules, "AUTH_FAILURE_RATE": "1"}))
	r.Reload() // its log line shows that the watch has started
	eventually(t, "the log line of Reload", func() bool { return len(r.lines("unchanged")) == 1 })
	before := r.gate.Load()
	write(t, s.rules, allowsMail+"# again\n")
	eventually(t, "a new gate", func() bool { return r.gate.Load() != before })
	eventually(t, "a delayed refusal", func() bool {
		r.gate.Load().Identifier.Identify(gate.Claim{}, time.Now())
		return r.throttle.Delayed() == 1
	})
	want(t, r, r.AdminAddr(), "/metrics", http.StatusOK, "\ncertgate_held_answers_total 1\n")
	want(t, r, r.Addr(), "/events", http.StatusOK, "hello")
}

// TestThrottleOff checks that AUTH_FAILURE_RATE=0 delays no refusal.
func TestThrottleOff(t *testing.T) {
	r := start(t, load(t, hello(t), map[string]string{"AUTH_FAILURE_RATE": "0"}))
	for range 100 {
		r.gate.Load().Identifier.Identify(gate.Claim{}, time.Now())
	}
	if n := r.throttle.Delayed(); n != 0 {
		t.Errorf("%d delayed, want none", n)
	}
}

// TestThrottleProofFailures checks that a missing signature counts as a failure.
func TestThrottleProofFailures(t *testing.T) {
	t.Parallel()
	r := start(t, load(t, hello(t), map[string]string{"AUTH_PROOF": "require", "AUTH_FAILURE_RATE": "1"}))
	unsigned := gate.Request{Time: time.Now(), Credential: []string{newCredentials(t).header}, Method: http.MethodGet, Target: "/events", Header: http.Header{}}
	eventually(t, "a delayed refusal", func() bool {
		if d := r.gate.Load().Decide(unsigned); d.Refusal == nil || d.Last != gate.Proof {
			t.Fatalf("refused at %s with %v, want it at %s", d.Last, d.Refusal, gate.Proof)
		}
		return r.throttle.Delayed() == 1
	})
}

// TestThrottleKnowsSigners checks that the source of an accepted signature becomes a known
// source, whose requests are verified first during a flood.
func TestThrottleKnowsSigners(t *testing.T) {
	r := start(t, load(t, hello(t), nil))
	if r.gate.Load().Signatures.Accepted == nil {
		t.Error("want accepted signatures reported to the guard")
	}
}

// TestThrottleDeniedClients checks that refusals of a client on the deny list are delayed,
// on both server implementations, for forwarded paths and for the echo.
func TestThrottleDeniedClients(t *testing.T) {
	t.Parallel()
	for implementation, set := range servers() {
		for _, path := range []string{"/events", "/certgate/echo"} {
			t.Run(implementation+" "+path, func(t *testing.T) {
				set["ACCESS_RULES"] = allowsMail + "deny:\n  - client: mail\n"
				set["AUTH_FAILURE_RATE"], set["ECHO_PATH"] = "1", "/certgate/echo"
				r := start(t, load(t, hello(t), set))
				eventually(t, "a delayed refusal", func() bool {
					want(t, r, r.Addr(), path, http.StatusForbidden, "access_denied")
					return r.throttle.Delayed() >= 1
				})
			})
		}
	}
}
