package gateway

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/core/certheader"
	"github.com/certgate/certgate/internal/core/gate"
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/core/trust"
	"github.com/certgate/certgate/internal/filewatch"
	"github.com/certgate/certgate/internal/filewatch/regularfile"
	"github.com/certgate/certgate/internal/testkit/ca"
	"github.com/certgate/certgate/internal/tool/pki"
)

// partnerCA is a second authority with a certificate for the client mail.
type partnerCA struct{ publicKey, id, credential string }

func newPartner(t *testing.T) partnerCA {
	t.Helper()
	now := time.Now()
	a, err := pki.New(pki.Options{Name: "partner", Algorithm: pki.P256, Lifetime: 2 * time.Hour, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	cert, err := a.Issue(pki.Request{Client: "mail", PublicKey: ca.Key(t).Public(), Lifetime: time.Hour, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	ring, err := trust.ParseKeyring(a.PublicKeyPEM(), 0)
	if err != nil {
		t.Fatal(err)
	}
	return partnerCA{string(a.PublicKeyPEM()), ring.Anchors()[0].ID().Short(), certheader.Encode(certheader.Base64DER, cert.Raw)}
}

// identify returns the reason for which the gate refuses the partner's certificate, or "".
// It calls the gate twice, so that the second result is the cached one if it was cached.
func (p partnerCA) identify(g *Gateway) refusal.Reason {
	id := g.gate.Load().Identifier
	id.Identify(gate.Claim{Values: []string{p.credential}}, time.Now())
	if refused := refusal.Of(id.Identify(gate.Claim{Values: []string{p.credential}}, time.Now()).Err); refused != nil {
		return refused.Reason
	}
	return ""
}

// TestReloadScopes checks the content in force after changes of keys and rules that refer
// to each other, by the partner's certificate for the client mail.
func TestReloadScopes(t *testing.T) {
	own, partner, next := string(ca.New(t).PublicKeyPEM()), newPartner(t), newPartner(t)
	scoped := func(id, client string) string {
		return allowsMail + "anchors:\n  - key: " + id + "\n    clients: [" + client + "]\n"
	}
	both := own + partner.publicKey
	type event struct {
		keys, rules          string // "" for no change
		keysFault, ruleFault string // "" for a content in force
		want                 refusal.Reason
	}
	const untrusted, outOfScope = refusal.CertificateUntrusted, refusal.IdentityOutOfScope
	tests := []struct {
		name   string
		events []event
	}{
		{"a scope", []event{{rules: scoped(partner.id, "social"), want: outOfScope}}},
		{"a scope with the name", []event{{rules: scoped(partner.id, "mail")}}},
		{"a scope that is narrowed", []event{{rules: scoped(partner.id, "mail")}, {rules: scoped(partner.id, "social"), want: outOfScope}}},
		{"a scope that is removed", []event{{rules: scoped(partner.id, "social"), want: outOfScope}, {rules: allowsMail}}},
		{"invalid rules keep the scope", []event{{rules: scoped(partner.id, "social"), want: outOfScope}, {rules: "rules: [", ruleFault: "rules.yaml:", want: outOfScope}}},
		{"an unknown key", []event{{rules: scoped(next.id, "mail"), ruleFault: "want the id of a key in the keyring"}}},
		{"an unknown key, and then the key", []event{
			{rules: scoped(next.id, "social"), ruleFault: "want the id of a key in the keyring"},
			{keys: own + next.publicKey, want: untrusted},
		}},
		{"a listed key is removed", []event{{rules: scoped(partner.id, "social"), want: outOfScope}, {keys: own, want: untrusted}}},
		{"a listed key is replaced", []event{
			{rules: scoped(partner.id, "social"), want: outOfScope},
			{keys: own + next.publicKey, keysFault: "the rules in force do not fit these keys: ", want: outOfScope},
			{rules: scoped(next.id, "social"), want: untrusted},
		}},
		{"a listed key and its entry are replaced together", []event{
			{rules: scoped(partner.id, "social"), want: outOfScope},
			{keys: own + next.publicKey, rules: scoped(next.id, "social"), want: untrusted},
		}},
		{"invalid keys in place of a waiting keyring", []event{
			{rules: scoped(partner.id, "social"), want: outOfScope},
			{keys: own + next.publicKey, keysFault: "the rules in force", want: outOfScope},
			{keys: "nonsense", keysFault: "want PEM", want: outOfScope},
			{rules: allowsMail, keysFault: "want PEM"},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			s := files{filepath.Join(dir, "keys.pem"), filepath.Join(dir, "rules.yaml")}
			write(t, s.keys, both)
			write(t, s.rules, allowsMail)
			g, _, err := build(t, load(t, "http://127.0.0.1:1", map[string]string{"AUTH_PUBLIC_KEY_FILE": s.keys, "ACCESS_RULES_FILE": s.rules}))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { // closes the listeners
				ctx, cancel := context.WithCancel(context.Background())
				cancel()
				_ = g.Run(ctx)
			})
			if reason := partner.identify(g); reason != "" {
				t.Fatalf("before the events: refused for %s", reason)
			}
			for i, e := range tt.events {
				var changed []regularfile.File
				if e.keys != "" {
					changed = append(changed, regularfile.File{Name: s.keys, Text: []byte(e.keys)})
				}
				if e.rules != "" {
					changed = append(changed, regularfile.File{Name: s.rules, Text: []byte(e.rules)})
				}
				g.reload(filewatch.Result{Changed: changed})
				wantFault(t, g, i, "keys", e.keysFault)
				wantFault(t, g, i, "rules", e.ruleFault)
				if reason := partner.identify(g); reason != e.want {
					t.Errorf("event %d: refused for %q, want %q", i, reason, e.want)
				}
			}
		})
	}
}

func wantFault(t *testing.T, g *Gateway, event int, name, want string) {
	t.Helper()
	for source, err := range g.reloader.failed {
		if string(source) != name {
			continue
		}
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("event %d: error of %s %v, want %q", event, name, err, want)
		}
		return
	}
	if want != "" {
		t.Errorf("event %d: no error of %s, want %q", event, name, want)
	}
}
