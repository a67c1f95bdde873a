package gate_test

import (
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/core/access"
	"github.com/certgate/certgate/internal/core/certheader"
	"github.com/certgate/certgate/internal/core/gate"
	"github.com/certgate/certgate/internal/core/identity"
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/core/trust"
	"github.com/certgate/certgate/internal/testkit/ca"
	"github.com/certgate/certgate/internal/tool/pki"
)

var now = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// world has the keyring of one master key, certificates of that key, and foreign, the
// certificate of a key outside the keyring.
type world struct {
	keyring                                *trust.Keyring
	mail, social, denied, revoked, foreign *x509.Certificate
}

var made = sync.OnceValues(func() (w world, err error) {
	ca, err := newAuthority()
	if err != nil {
		return world{}, err
	}
	other, err := newAuthority()
	if err != nil {
		return world{}, err
	}
	if w.keyring, err = trust.ParseKeyring(ca.PublicKeyPEM(), 0); err != nil {
		return world{}, err
	}
	for _, c := range []struct {
		to   **x509.Certificate
		from *pki.Authority
		name string
	}{{&w.mail, ca, "mail"}, {&w.social, ca, "social"}, {&w.denied, ca, "denied"}, {&w.revoked, ca, "mail"}, {&w.foreign, other, "mail"}} {
		if *c.to, err = issue(c.from, c.name); err != nil {
			return world{}, err
		}
	}
	return w, nil
})

func newAuthority() (*pki.Authority, error) {
	return pki.New(pki.Options{Name: "test", Algorithm: pki.P256, Lifetime: 48 * time.Hour, Now: now})
}

func issue(from *pki.Authority, name string) (*x509.Certificate, error) {
	key, err := pki.P256.Generate()
	if err != nil {
		return nil, err
	}
	return from.Issue(pki.Request{Client: name, PublicKey: key.Public(), Lifetime: time.Hour, Now: now})
}

func newWorld(t testing.TB) world {
	t.Helper()
	w, err := made()
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// newGate trusts the master key and lets mail post events; denied is on the
// deny list, and one certificate of mail is revoked.
func newGate(t testing.TB, w world, limits trust.Limits) *gate.Gate {
	t.Helper()
	policy, err := access.Compile(
		[]access.Rule{{Name: "add", Clients: []string{"mail", "denied"}, Allow: []string{"POST /events"}}},
		[]access.Denied{{Client: "denied", Reason: "key leaked"}},
	)
	if err != nil {
		t.Fatal(err)
	}
	revocations, err := trust.NewRevocations([]trust.Revocation{{Serial: fmt.Sprintf("%x", w.revoked.SerialNumber)}})
	if err != nil {
		t.Fatal(err)
	}
	return &gate.Gate{
		Identifier: gate.Verification{Verifier: trust.NewVerifier(w.keyring, revocations, limits), Names: identity.OU.Reader(), MaxCredentialBytes: 4096},
		Policy:     policy,
	}
}

// finds is an identifier that returns itself for every claim.
type finds gate.Identification

func (f finds) Identify(gate.Claim, time.Time) gate.Identification { return gate.Identification(f) }

// verifying returns a function that changes the verification of a gate of newGate.
func verifying(change func(*gate.Verification)) func(*gate.Gate) {
	return func(g *gate.Gate) {
		v := g.Identifier.(gate.Verification)
		change(&v)
		g.Identifier = v
	}
}

func header(c *x509.Certificate) []string {
	return []string{certheader.Encode(certheader.Base64DER, c.Raw)}
}

func TestDecide(t *testing.T) {
	w := newWorld(t)
	good := gate.Request{Time: now, Credential: header(w.mail), Method: "POST", Target: "/events"}
	with := func(change func(*gate.Request)) gate.Request {
		r := good
		change(&r)
		return r
	}
	at := func(when time.Time) gate.Request { return with(func(r *gate.Request) { r.Time = when }) }
	tests := []struct {
		name    string
		request gate.Request
		change  func(*gate.Gate)
		limits  trust.Limits
		want    refusal.Reason
		// The fields of the decision that are set.
		target, certificate, client bool
	}{
		{name: "granted", request: good, target: true, certificate: true, client: true},
		{name: "granted, with a query", request: with(func(r *gate.Request) { r.Target = "/events?a=/../b" }), target: true, certificate: true, client: true},

		{name: "path ambiguous", request: with(func(r *gate.Request) { r.Target = "/x/../events" }), want: refusal.PathAmbiguous},
		{name: "asterisk", request: with(func(r *gate.Request) { r.Target = "*" }), want: refusal.PathAmbiguous},
		{name: "absolute form", request: with(func(r *gate.Request) { r.Target = "http://h/events" }), want: refusal.PathAmbiguous},
		{name: "no header", request: with(func(r *gate.Request) { r.Credential = nil }), want: refusal.CredentialMissing, target: true},
		{name: "empty header", request: with(func(r *gate.Request) { r.Credential = []string{""} }), want: refusal.CredentialMissing, target: true},
		{name: "duplicate header", request: with(func(r *gate.Request) { r.Credential = append(header(w.mail), header(w.mail)...) }), want: refusal.CredentialDuplicated, target: true},
		{name: "not base64", request: with(func(r *gate.Request) { r.Credential = []string{"M nonsense"} }), want: refusal.CredentialMalformed, target: true},
		{name: "too large", request: with(func(r *gate.Request) { r.Credential = []string{strings.Repeat("M", 4097)} }), want: refusal.CredentialTooLarge, target: true},
		{name: "another master key", request: with(func(r *gate.Request) { r.Credential = header(w.foreign) }), want: refusal.CertificateUntrusted, target: true},
		{name: "expired", request: at(w.mail.NotAfter.Add(time.Second)), want: refusal.CertificateExpired, target: true},
		{name: "not yet valid", request: at(w.mail.NotBefore.Add(-time.Second)), want: refusal.CertificateNotYetValid, target: true},
		{name: "revoked", request: with(func(r *gate.Request) { r.Credential = header(w.revoked) }), want: refusal.CertificateRevoked, target: true},
		{name: "lifetime too long", request: good, limits: trust.Limits{MaxLifetime: time.Minute}, want: refusal.CertificateLifetime, target: true},
		{name: "client on the deny list", request: with(func(r *gate.Request) { r.Credential = header(w.denied) }), want: refusal.AccessDenied, target: true, certificate: true, client: true},
		{name: "client without a rule", request: with(func(r *gate.Request) { r.Credential = header(w.social) }), want: refusal.AccessDenied, target: true, certificate: true, client: true},
		{name: "another method", request: with(func(r *gate.Request) { r.Method = "DELETE" }), want: refusal.AccessDenied, target: true, certificate: true, client: true},
		{name: "method in lower case", request: with(func(r *gate.Request) { r.Method = "post" }), want: refusal.AccessDenied, target: true, certificate: true, client: true},
		{name: "another path", request: with(func(r *gate.Request) { r.Target = "/events/1" }), want: refusal.AccessDenied, target: true, certificate: true, client: true},

		// A gate with a missing part refuses every request.
		{name: "no verifier", request: good, change: verifying(func(v *gate.Verification) { v.Verifier = nil }), want: refusal.CertificateUntrusted, target: true},
		{name: "no keyring", request: good, change: verifying(func(v *gate.Verification) { v.Verifier = trust.NewVerifier(nil, nil, trust.Limits{}) }), want: refusal.CertificateUntrusted, target: true},
		{name: "no policy", request: good, change: func(g *gate.Gate) { g.Policy = nil }, want: refusal.AccessDenied, target: true, certificate: true, client: true},
		{name: "no limit", request: good, change: verifying(func(v *gate.Verification) { v.MaxCredentialBytes = 0 }), want: refusal.CredentialTooLarge, target: true},
		{name: "zero verification", request: good, change: func(g *gate.Gate) { g.Identifier = gate.Verification{} }, want: refusal.CredentialTooLarge, target: true},
		{name: "no identifier", request: good, change: func(g *gate.Gate) { g.Identifier = nil }, want: refusal.CertificateUntrusted, target: true},
		{name: "identifier without a client", request: good, change: func(g *gate.Gate) { g.Identifier = finds{} }, want: refusal.AccessDenied, target: true},
		{name: "identifier with a fault", request: good, change: func(g *gate.Gate) { g.Identifier = finds{Err: errors.New("broken")} }, want: refusal.Internal, target: true},
		{name: "zero gate", request: good, change: func(g *gate.Gate) { *g = gate.Gate{} }, want: refusal.CertificateUntrusted, target: true},
		{name: "no time", request: at(time.Time{}), want: refusal.Internal, target: true},
		{name: "zero request", want: refusal.PathAmbiguous},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := newGate(t, w, tt.limits)
			if tt.change != nil {
				tt.change(g)
			}
			d := g.Decide(tt.request)
			check(t, d, tt.want)
			if (d.Target.String() != "") != tt.target || d.Certificate.Valid() != tt.certificate || d.Client.Valid() != tt.client {
				t.Errorf("target %q, certificate %t, client %q: want them set by the checks that ran", d.Target, d.Certificate.Valid(), d.Client)
			}
			if d.Certificate.Certificate() != nil {
				t.Error("found the parsed certificate, want only its verification, as from a cache")
			}
			if tt.want == "" && (d.Grant.Method() != tt.request.Method || d.Grant.Target().String() != tt.request.Target || d.Grant.Client().Name() != "mail") {
				t.Errorf("grant %s %s for %q, want the request's", d.Grant.Method(), d.Grant.Target(), d.Grant.Client())
			}
		})
	}
}

// TestDecideNamesTheRefusedClient checks that the decision names the client of a refused
// certificate if an anchor signed it, and no client for a forged one.
func TestDecideNamesTheRefusedClient(t *testing.T) {
	w := newWorld(t)
	tests := []struct {
		name   string
		cert   *x509.Certificate
		at     time.Time
		limits trust.Limits
		reason refusal.Reason
		client string
	}{
		{name: "granted", cert: w.mail, at: now},
		{name: "expired", cert: w.mail, at: w.mail.NotAfter.Add(time.Second), reason: refusal.CertificateExpired, client: "mail"},
		{name: "not yet valid", cert: w.mail, at: w.mail.NotBefore.Add(-time.Second), reason: refusal.CertificateNotYetValid, client: "mail"},
		{name: "revoked", cert: w.revoked, at: now, reason: refusal.CertificateRevoked, client: "mail"},
		{name: "lifetime", cert: w.mail, at: now, limits: trust.Limits{MaxLifetime: time.Minute}, reason: refusal.CertificateLifetime, client: "mail"},
		{name: "forged and expired", cert: w.foreign, at: w.foreign.NotAfter.Add(time.Second), reason: refusal.CertificateUntrusted},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := newGate(t, w, tt.limits).Decide(gate.Request{Time: tt.at, Credential: header(tt.cert), Method: "POST", Target: "/events"})
			check(t, d, tt.reason)
			if d.SignedClient != tt.client || d.Signed.Valid() != (tt.client != "") {
				t.Errorf("refused client %q, want %q", d.SignedClient, tt.client)
			}
			if tt.reason != "" && d.Client.Name() != "" {
				t.Errorf("client %q with a refusal, want none", d.Client)
			}
			if tt.client != "" && d.Signed.NotAfter() != tt.cert.NotAfter.UTC().Format(time.RFC3339) {
				t.Errorf("end %s, want %s", d.Signed.NotAfter(), tt.cert.NotAfter)
			}
		})
	}
}

// check checks the reason of the refusal, and that Refusal is nil exactly when Grant is
// valid.
func check(t *testing.T, d gate.Decision, want refusal.Reason) {
	t.Helper()
	var have refusal.Reason
	if d.Refusal != nil {
		have = d.Refusal.Reason
	}
	if have != want {
		t.Errorf("reason %q, want %q", have, want)
	}
	if d.Grant.Valid() != (d.Refusal == nil) {
		t.Errorf("grant valid %t, refusal %v: want exactly one", d.Grant.Valid(), d.Refusal)
	}
}

// TestDecideLimitsTheRate checks that only granted requests take a token, from the bucket
// of their client.
func TestDecideLimitsTheRate(t *testing.T) {
	w := newWorld(t)
	g := newGate(t, w, trust.Limits{})
	var err error
	g.Policy, err = access.Compile([]access.Rule{{Name: "add", Clients: []string{"*"}, Allow: []string{"POST /events"}, Rate: "1/m", Burst: "2"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	mail := gate.Request{Time: now, Credential: header(w.mail), Method: "POST", Target: "/events"}
	forged := gate.Request{Time: now, Credential: header(w.foreign), Method: "POST", Target: "/events"}
	other := gate.Request{Time: now, Credential: header(w.mail), Method: "GET", Target: "/events"}
	revoked := gate.Request{Time: now, Credential: header(w.revoked), Method: "POST", Target: "/events"}
	social := gate.Request{Time: now, Credential: header(w.social), Method: "POST", Target: "/events"}
	for range 10 {
		check(t, g.Decide(forged), refusal.CertificateUntrusted)
		check(t, g.Decide(revoked), refusal.CertificateRevoked)
		check(t, g.Decide(other), refusal.AccessDenied)
	}
	check(t, g.Decide(mail), "")
	mail.Time = mail.Time.Add(20 * time.Second)
	check(t, g.Decide(mail), "")
	d := g.Decide(mail)
	check(t, d, refusal.RateLimited)
	if d.Last != gate.Rate || d.Rule != "add" || d.Client.Name() != "mail" || !d.Certificate.Valid() || d.Refusal.RetryAfter != 40*time.Second {
		t.Errorf("refused at %s of rule %q, retry after %s: want step rate of rule add, the client, the certificate and 40s", d.Last, d.Rule, d.Refusal.RetryAfter)
	}
	check(t, g.Decide(social), "")
	mail.Time = mail.Time.Add(40 * time.Second)
	check(t, g.Decide(mail), "")
	check(t, g.Decide(mail), refusal.RateLimited)
}

// TestDecideOddCertificates checks certificates that package pki does not issue, signed by
// the master key.
func TestDecideOddCertificates(t *testing.T) {
	w := newWorld(t)
	pem, key := masterKey(t)
	keyring, err := trust.ParseKeyring(pem, 0)
	if err != nil {
		t.Fatal(err)
	}
	weak := ca.RSAKey(t, 1024, 0)
	units := func(names ...string) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.Subject.OrganizationalUnit = names }
	}
	tests := []struct {
		name   string
		public crypto.PublicKey
		change func(*x509.Certificate)
		want   refusal.Reason
	}{
		{"one unit", key.Public(), units("mail"), ""},
		{"no unit", key.Public(), units(), refusal.IdentityMissing},
		{"two units", key.Public(), units("mail", "social"), refusal.IdentityAmbiguous},
		{"unit with a space at the end", key.Public(), units("mail "), refusal.IdentityInvalid},
		{"a weak key", weak.Public(), units("mail"), refusal.CertificateWeak},
		{"a CA", key.Public(), func(c *x509.Certificate) { c.BasicConstraintsValid, c.IsCA = true, true }, refusal.CertificateUnsuitable},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := newGate(t, w, trust.Limits{})
			verifying(func(v *gate.Verification) { v.Verifier = trust.NewVerifier(keyring, nil, trust.Limits{}) })(g)
			cert := sign(t, key, tt.public, tt.change)
			check(t, g.Decide(gate.Request{Time: now, Credential: header(cert), Method: "POST", Target: "/events"}), tt.want)
		})
	}
}

// BenchmarkDecide measures a whole decision, with verification of the certificate.
func BenchmarkDecide(b *testing.B) {
	w := newWorld(b)
	g := newGate(b, w, trust.Limits{})
	for _, bb := range []struct {
		name string
		cert *x509.Certificate
	}{{"granted", w.mail}, {"untrusted", w.foreign}} {
		b.Run(bb.name, func(b *testing.B) {
			r := gate.Request{Time: now, Credential: header(bb.cert), Method: "POST", Target: "/events"}
			b.ReportAllocs()
			for b.Loop() {
				if d := g.Decide(r); (d.Refusal == nil) != (bb.name == "granted") {
					b.Fatal(d.Refusal)
				}
			}
		})
	}
}
