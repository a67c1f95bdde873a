package gate_test

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/core/access"
	"github.com/certgate/certgate/internal/core/gate"
	"github.com/certgate/certgate/internal/core/identity"
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/core/trust"
	"github.com/certgate/certgate/internal/guard/certcache"
)

// document has the parts of a rules document.
type document struct {
	rules   []access.Rule
	denied  []access.Denied
	revoked []trust.Revocation
	source  identity.Source // empty means OU
	scopes  []identity.Scope
}

// compiled is a compiled document.
type compiled struct {
	policy      *access.Policy
	revocations *trust.Revocations
	names       *identity.Reader
}

func (d document) compile(t fataler) (c compiled) {
	t.Helper()
	var errs [3]error
	source := d.source
	if source == "" {
		source = identity.OU
	}
	c.policy, errs[0] = access.Compile(d.rules, d.denied)
	c.revocations, errs[1] = trust.NewRevocations(d.revoked)
	c.names, errs[2] = identity.NewReader(source, d.scopes)
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// fataler is a [testing.T] or a rapid.T.
type fataler interface {
	Helper()
	Fatal(args ...any)
}

// comparing returns a gate for one document that compares its decisions with another one.
// Certificates are cached, as in the gateway.
func comparing(t fataler, ring *trust.Keyring, inForce, next document) *gate.Gate {
	t.Helper()
	g, n := ruledBy(t, ring, inForce), next.compile(t)
	v := g.Identifier.(gate.Verification)
	v.Next = &gate.NextIdentity{Verifier: trust.NewVerifier(ring, n.revocations, trust.Limits{}), Names: n.names}
	g.Identifier, g.Next = certcache.New(v), &gate.NextRules{Policy: n.policy}
	return g
}

// ruledBy returns a gate for one document.
func ruledBy(t fataler, ring *trust.Keyring, inForce document) *gate.Gate {
	t.Helper()
	c := inForce.compile(t)
	return &gate.Gate{
		Identifier: gate.Verification{Verifier: trust.NewVerifier(ring, c.revocations, trust.Limits{}), Names: c.names, MaxCredentialBytes: 4096},
		Policy:     c.policy,
	}
}

// allowing returns a document that lets one client post events.
func allowing(client string) document {
	return document{rules: []access.Rule{{Name: "add", Clients: []string{client}, Allow: []string{"POST /events"}}}}
}

// with returns a changed copy of the document.
func (d document) with(change func(*document)) document {
	change(&d)
	return d
}

// TestNext checks the change for each part of a rules document, and that it is the same when
// the certificate is cached.
func TestNext(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	anchor := w.keyring.Anchors()[0].ID().String()
	revoke := func(r trust.Revocation) document {
		return allowing("mail").with(func(d *document) { d.revoked = []trust.Revocation{r} })
	}
	serial := revoke(trust.Revocation{Serial: fmt.Sprintf("%x", w.mail.SerialNumber)})
	spki := sha256.Sum256(w.mail.RawSubjectPublicKeyInfo)
	deny := func(client string) document {
		return allowing("mail").with(func(d *document) { d.denied = []access.Denied{{Client: client}} })
	}
	scoped := func(clients ...string) document {
		return allowing("mail").with(func(d *document) { d.scopes = []identity.Scope{{Key: anchor, Clients: clients}} })
	}
	same := allowing("mail")
	tests := []struct {
		name          string
		inForce, next document
		cert          *x509.Certificate // nil means w.mail
		target        string            // empty means /events
		refused       refusal.Reason    // by the document in force
		want          gate.Change
	}{
		{name: "same rules", inForce: same, next: same},
		{name: "no rule for the client", inForce: same, next: allowing("social"), want: gate.NextRefuses},
		{name: "a rule for another path", inForce: same, next: document{rules: []access.Rule{{Name: "add", Clients: []string{"*"}, Allow: []string{"POST /"}}}}, target: "/other", refused: refusal.AccessDenied, want: gate.NextAllows},
		{name: "denied client", inForce: same, next: deny("mail"), want: gate.NextRefuses},
		{name: "everyone denied", inForce: same, next: deny("*"), want: gate.NextRefuses},
		{name: "another client denied", inForce: same, next: deny("social")},
		{name: "no longer denied", inForce: deny("mail"), next: same, refused: refusal.AccessDenied, want: gate.NextAllows},
		{name: "denied by both", inForce: deny("mail"), next: deny("*"), refused: refusal.AccessDenied},
		{name: "a new rule", inForce: allowing("social"), next: same, refused: refusal.AccessDenied, want: gate.NextAllows},
		{name: "refused by both", inForce: allowing("social"), next: allowing("web"), refused: refusal.AccessDenied},

		{name: "serial", inForce: same, next: serial, want: gate.NextRefuses},
		{name: "key", inForce: same, next: revoke(trust.Revocation{SPKI: "sha256/" + base64.StdEncoding.EncodeToString(spki[:])}), want: gate.NextRefuses},
		{name: "certificate", inForce: same, next: revoke(trust.Revocation{Certificate: fmt.Sprintf("%x", sha256.Sum256(w.mail.RawTBSCertificate))}), want: gate.NextRefuses},
		{name: "another serial", inForce: same, next: revoke(trust.Revocation{Serial: "01"})},
		{name: "no longer revoked", inForce: serial, next: same, refused: refusal.CertificateRevoked, want: gate.NextAllows},
		{name: "no longer revoked, but without a rule", inForce: serial, next: allowing("social"), refused: refusal.CertificateRevoked},
		{name: "revoked by both", inForce: serial, next: serial, refused: refusal.CertificateRevoked},

		{name: "out of scope", inForce: same, next: scoped("social"), want: gate.NextRefuses},
		{name: "in the new scope", inForce: scoped("social"), next: scoped("mail"), refused: refusal.IdentityOutOfScope, want: gate.NextAllows},
		{name: "out of scope for both", inForce: scoped("social"), next: scoped("web"), refused: refusal.IdentityOutOfScope},

		{name: "another master key", inForce: same, next: same, cert: w.foreign, refused: refusal.CertificateUntrusted},
		{name: "ambiguous path", inForce: same, next: document{rules: []access.Rule{{Name: "all", Clients: []string{"*"}, Allow: []string{"POST /"}}}}, target: "/x/../events", refused: refusal.PathAmbiguous},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			g := comparing(t, w.keyring, tt.inForce, tt.next)
			r := gate.Request{Time: now, Credential: header(w.mail), Method: "POST", Target: "/events"}
			if tt.cert != nil {
				r.Credential = header(tt.cert)
			}
			if tt.target != "" {
				r.Target = tt.target
			}
			for range 3 { // verified, cached and recent
				d := g.Decide(r)
				check(t, d, tt.refused)
				if d.Next != tt.want {
					t.Errorf("next %q, want %q", d.Next, tt.want)
				}
			}
		})
	}
}

// TestNextKeepsOtherRefusals checks that a certificate which is refused for another reason
// than a revocation stays refused: the next verifier is not called, or also refuses it.
func TestNextKeepsOtherRefusals(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	revoked := allowing("mail").with(func(d *document) {
		d.revoked = []trust.Revocation{{Serial: fmt.Sprintf("%x", w.mail.SerialNumber)}}
	})
	g := comparing(t, w.keyring, revoked, allowing("mail"))
	r := gate.Request{Time: w.mail.NotAfter.Add(time.Second), Credential: header(w.mail), Method: "POST", Target: "/events"}
	for want, change := range map[refusal.Reason]func(*gate.Request){
		refusal.CertificateExpired:   func(*gate.Request) {},
		refusal.CredentialMissing:    func(r *gate.Request) { r.Credential = nil },
		refusal.CredentialDuplicated: func(r *gate.Request) { r.Time, r.Credential = now, append(header(w.mail), header(w.mail)...) },
		refusal.Internal:             func(r *gate.Request) { r.Time = time.Time{} },
	} {
		request := r
		change(&request)
		d := g.Decide(request)
		check(t, d, want)
		if d.Next != "" {
			t.Errorf("%s: next %q, want no change", want, d.Next)
		}
	}
}

// TestNextRenames checks a certificate that has another name under the next rules.
func TestNextRenames(t *testing.T) {
	t.Parallel()
	pem, key := masterKey(t)
	ring, err := trust.ParseKeyring(pem, 0)
	if err != nil {
		t.Fatal(err)
	}
	cert := sign(t, key, key.Public(), func(c *x509.Certificate) { c.Subject.CommonName = "mailer" })
	named := func(client string) document {
		return allowing(client).with(func(d *document) { d.source = identity.CN })
	}
	for client, want := range map[string]gate.Change{"mailer": gate.NextRenames, "*": gate.NextRenames, "mail": gate.NextRefuses} {
		d := comparing(t, ring, allowing("mail"), named(client)).Decide(gate.Request{Time: now, Credential: header(cert), Method: "POST", Target: "/events"})
		check(t, d, "")
		if d.Next != want || d.Client.Name() != "mail" || d.Grant.Client().Name() != "mail" {
			t.Errorf("a rule for %s: next %q with a grant for %q, want %q and mail", client, d.Next, d.Grant.Client(), want)
		}
	}
}

// TestNextZeroValues checks that missing next rules refuse, and that the decision stays.
func TestNextZeroValues(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := gate.Request{Time: now, Credential: header(w.mail), Method: "POST", Target: "/events"}
	for name, change := range map[string]func(*gate.Gate, *gate.Verification){
		"no policy":   func(g *gate.Gate, _ *gate.Verification) { g.Next = &gate.NextRules{} },
		"no names":    func(_ *gate.Gate, v *gate.Verification) { v.Next = &gate.NextIdentity{} },
		"no identity": func(_ *gate.Gate, v *gate.Verification) { v.Next = nil },
		"an empty keyring": func(_ *gate.Gate, v *gate.Verification) {
			v.Next.Verifier = trust.NewVerifier(nil, nil, trust.Limits{})
		},
	} {
		g := ruledBy(t, w.keyring, allowing("mail"))
		v := g.Identifier.(gate.Verification)
		n := allowing("mail").compile(t)
		v.Next, g.Next = &gate.NextIdentity{Names: n.names}, &gate.NextRules{Policy: n.policy}
		g.Identifier = v
		if d := g.Decide(r); d.Next != "" {
			t.Errorf("next %q before the change, want none", d.Next)
		}
		change(g, &v)
		g.Identifier = v
		d := g.Decide(r)
		check(t, d, "")
		if d.Next != gate.NextRefuses {
			t.Errorf("%s: next %q, want %q", name, d.Next, gate.NextRefuses)
		}
	}
	if d := ruledBy(t, w.keyring, allowing("mail")).Decide(r); d.Next != "" {
		t.Errorf("next %q without next rules, want none", d.Next)
	}
	if d := (&gate.Gate{Next: &gate.NextRules{}}).Decide(r); d.Next != "" || d.Refusal == nil {
		t.Errorf("next %q of a gate without rules, want none and a refusal", d.Next)
	}
}
