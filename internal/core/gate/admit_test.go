package gate_test

import (
	"testing"

	"github.com/certgate/certgate/internal/core/gate"
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/core/trust"
)

// TestAdmit checks that Admit identifies the client and checks the deny list, but no rule.
func TestAdmit(t *testing.T) {
	w := newWorld(t)
	tests := []struct {
		name    string
		request gate.Request
		change  func(*gate.Gate)
		want    refusal.Reason
		last    gate.Step
	}{
		{name: "a client with a rule", request: gate.Request{Time: now, Credential: header(w.mail), Method: "GET", Target: "/nowhere"}, last: gate.Access},
		{name: "a client without a rule", request: gate.Request{Time: now, Credential: header(w.social), Method: "GET", Target: "/nowhere"}, last: gate.Access},
		{name: "no certificate", request: gate.Request{Time: now, Target: "/nowhere"}, want: refusal.CredentialMissing, last: gate.Credential},
		{name: "another master key", request: gate.Request{Time: now, Credential: header(w.foreign), Target: "/nowhere"}, want: refusal.CertificateUntrusted, last: gate.Trust},
		{name: "revoked", request: gate.Request{Time: now, Credential: header(w.revoked), Target: "/nowhere"}, want: refusal.CertificateRevoked, last: gate.Trust},
		{name: "denied", request: gate.Request{Time: now, Credential: header(w.denied), Target: "/nowhere"}, want: refusal.AccessDenied, last: gate.Access},
		{name: "ambiguous path", request: gate.Request{Time: now, Credential: header(w.mail), Target: "/x/../nowhere"}, want: refusal.PathAmbiguous, last: gate.Target},
		{name: "no time", request: gate.Request{Credential: header(w.mail), Method: "GET", Target: "/nowhere"}, want: refusal.Internal, last: gate.Trust},
		{name: "no identifier", request: gate.Request{Time: now, Credential: header(w.mail), Target: "/nowhere"}, change: func(g *gate.Gate) { g.Identifier = nil }, want: refusal.CertificateUntrusted, last: gate.Trust},
		{name: "no policy", request: gate.Request{Time: now, Credential: header(w.mail), Target: "/nowhere"}, change: func(g *gate.Gate) { g.Policy = nil }, want: refusal.AccessDenied, last: gate.Access},
		{name: "an identifier without a client and without an error", request: gate.Request{Time: now, Credential: header(w.mail), Target: "/nowhere"}, change: func(g *gate.Gate) { g.Identifier = finds{} }, want: refusal.AccessDenied, last: gate.Access},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := newGate(t, w, trust.Limits{})
			if tt.change != nil {
				tt.change(g)
			}
			d := g.Admit(tt.request)
			var reason refusal.Reason
			if d.Refusal != nil {
				reason = d.Refusal.Reason
			}
			if reason != tt.want || d.Last != tt.last {
				t.Errorf("reason %q at %s, want %q at %s", reason, d.Last, tt.want, tt.last)
			}
			if d.Grant.Valid() || d.Rule != "" {
				t.Error("want no grant, found one")
			}
			if d.Refusal == nil && !d.Client.Valid() {
				t.Error("want a client, found none")
			}
		})
	}
}
