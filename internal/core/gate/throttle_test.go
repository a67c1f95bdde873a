package gate_test

import (
	"net/netip"
	"testing"

	"github.com/certgate/certgate/internal/core/gate"
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/core/trust"
)

// TestThrottle checks that Throttle is called for clients on the deny list only, and that
// its error is the result.
func TestThrottle(t *testing.T) {
	w := newWorld(t)
	source := netip.MustParseAddr("192.0.2.1")
	for name, tt := range map[string]struct {
		request   gate.Request
		throttled bool
	}{
		"denied":        {gate.Request{Time: now, Source: source, Credential: header(w.denied), Method: "POST", Target: "/events"}, true},
		"granted":       {gate.Request{Time: now, Source: source, Credential: header(w.mail), Method: "POST", Target: "/events"}, false},
		"no rule":       {gate.Request{Time: now, Source: source, Credential: header(w.social), Method: "POST", Target: "/events"}, false},
		"untrusted":     {gate.Request{Time: now, Source: source, Credential: header(w.foreign), Method: "POST", Target: "/events"}, false},
		"no credential": {gate.Request{Time: now, Source: source, Method: "POST", Target: "/events"}, false},
	} {
		for way, decide := range map[string]func(*gate.Gate, gate.Request) gate.Decision{"Decide": (*gate.Gate).Decide, "Admit": (*gate.Gate).Admit} {
			t.Run(name+" "+way, func(t *testing.T) {
				g := newGate(t, w, trust.Limits{})
				calls := 0
				g.Throttle = func(from netip.Addr, client string, refused error) error {
					calls++
					if e := refusal.Of(refused); from != source || client != "denied" || e == nil || e.Reason != refusal.AccessDenied {
						t.Errorf("throttled %s from %s: %v, want access_denied of denied from %s", client, from, refused, source)
					}
					return refusal.New(refusal.RateLimited, "too often")
				}
				d := decide(g, tt.request)
				if calls != map[bool]int{true: 1}[tt.throttled] || tt.throttled != (d.Refusal != nil && d.Refusal.Reason == refusal.RateLimited) || tt.throttled && d.Grant.Valid() {
					t.Errorf("%d calls and %v, want it throttled: %t", calls, d.Refusal, tt.throttled)
				}
			})
		}
	}
}
