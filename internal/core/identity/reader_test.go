package identity_test

import (
	"crypto/x509"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/core/identity"
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/core/trust"
	"github.com/certgate/certgate/internal/testkit/ca"
)

// named returns a change that makes a certificate name a client by every source: ou and
// cn are the short name.
func named(short string) ca.Change {
	return func(c *x509.Certificate) {
		c.Subject.OrganizationalUnit, c.Subject.CommonName = []string{short}, short
		c.URIs = []*url.URL{{Scheme: "spiffe", Host: "partner.example", Path: "/" + short}}
		c.DNSNames, c.EmailAddresses = []string{short + ".partner.example"}, []string{short + "@partner.example"}
	}
}

func keyringOf(t *testing.T, anchors ...[]byte) *trust.Keyring {
	t.Helper()
	var all []byte
	for _, a := range anchors {
		all = append(all, a...)
	}
	ring, err := trust.ParseKeyring(all, 0)
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

func verify(t *testing.T, ring *trust.Keyring, leaf *x509.Certificate, with ...*x509.Certificate) trust.Verified {
	t.Helper()
	v, err := trust.NewVerifier(ring, nil, trust.Limits{}).Verify(leaf, ca.Now(), with...)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func idOf(t *testing.T, authority ca.CA) trust.KeyID {
	t.Helper()
	return keyringOf(t, authority.PublicKeyPEM()).Anchors()[0].ID()
}

// TestScope checks certificates of an anchor with a scope, as a bare key and as a CA
// certificate, and that another anchor is not limited.
func TestScope(t *testing.T) {
	own, partner := ca.New(t), ca.New(t)
	id := idOf(t, partner)
	tests := []struct {
		name    string
		scope   identity.Scope
		client  string
		want    string
		reason  refusal.Reason
		foreign bool // signed by the other anchor
	}{
		{name: "another source", scope: identity.Scope{Source: identity.URI}, client: "mail", want: "spiffe://partner.example/mail"},
		{name: "every name", client: "mail", want: "mail"},
		{name: "exact", scope: identity.Scope{Clients: []string{"mail", "social"}}, client: "mail", want: "mail"},
		{name: "exact, another", scope: identity.Scope{Clients: []string{"mail", "social"}}, client: "admin", reason: refusal.IdentityOutOfScope},
		{name: "exact, longer", scope: identity.Scope{Clients: []string{"mail"}}, client: "mail2", reason: refusal.IdentityOutOfScope},
		{name: "exact, another case", scope: identity.Scope{Clients: []string{"mail"}}, client: "Mail", reason: refusal.IdentityOutOfScope},
		{name: "prefix", scope: identity.Scope{Clients: []string{"partner-*"}}, client: "partner-mail", want: "partner-mail"},
		{name: "prefix, outside", scope: identity.Scope{Clients: []string{"partner-*"}}, client: "mail", reason: refusal.IdentityOutOfScope},
		{name: "prefix, inside the name", scope: identity.Scope{Clients: []string{"partner-*"}}, client: "xpartner-mail", reason: refusal.IdentityOutOfScope},
		{name: "URI prefix", scope: identity.Scope{Source: identity.URI, Clients: []string{"spiffe://partner.example/*"}}, client: "mail", want: "spiffe://partner.example/mail"},
		{name: "URI prefix, another", scope: identity.Scope{Source: identity.URI, Clients: []string{"spiffe://other.example/*"}}, client: "mail", reason: refusal.IdentityOutOfScope},
		{name: "DNS name", scope: identity.Scope{Source: identity.DNS, Clients: []string{"mail.partner.example"}}, client: "mail", want: "mail.partner.example"},
		{name: "email address", scope: identity.Scope{Source: identity.Email, Clients: []string{"mail@partner.example"}}, client: "social", reason: refusal.IdentityOutOfScope},
		{name: "common name", scope: identity.Scope{Source: identity.CN, Clients: []string{"mail"}}, client: "mail", want: "mail"},
		{name: "another anchor", scope: identity.Scope{Source: identity.URI, Clients: []string{"spiffe://partner.example/*"}}, client: "mail", want: "mail", foreign: true},
	}
	for _, tt := range tests {
		for _, key := range []string{id.Short(), id.String(), strings.ToUpper(id.Short())} {
			tt.scope.Key = key
			names, err := identity.NewReader(identity.OU, []identity.Scope{tt.scope})
			if err != nil {
				t.Fatalf("%s: %v", tt.name, err)
			}
			issuer := partner
			if tt.foreign {
				issuer = own
			}
			leaf := issuer.Client(t, ca.Key(t).Public(), named(tt.client))
			for _, anchor := range [][]byte{issuer.PublicKeyPEM(), issuer.CertificatePEM()} {
				client, err := names.Of(verify(t, keyringOf(t, anchor), leaf))
				if client.Name() != tt.want || refusal.Of(err) == nil != (tt.want != "") {
					t.Errorf("%s, key %s: Of = %q, %v; want %q", tt.name, key, client.Name(), err, tt.want)
				}
				if refused := refusal.Of(err); refused != nil && refused.Reason != tt.reason {
					t.Errorf("%s: reason %s, want %s", tt.name, refused.Reason, tt.reason)
				}
			}
		}
	}
}

// TestScopeOfIntermediate checks that the scope of an anchor holds when the client sends
// a certificate with which another anchor has signed its key.
func TestScopeOfIntermediate(t *testing.T) {
	own, partner := ca.New(t), ca.New(t)
	cross := ca.Sign(t, ca.Template("Partner"), own.Certificate, partner.Key.Public(), own.Key)
	crossed := ca.CA{Key: partner.Key, Certificate: cross}
	both := keyringOf(t, own.CertificatePEM(), partner.CertificatePEM())
	scope := identity.Scope{Key: idOf(t, partner).Short(), Clients: []string{"partner-*"}}
	tests := []struct {
		name   string
		source identity.Source // of the scope
		client string
		want   bool
	}{
		{"inside", identity.OU, "partner-mail", true},
		{"outside", identity.OU, "mail", false},
		{"of another source", identity.CN, "partner-mail", false},
	}
	for _, tt := range tests {
		scope.Source = tt.source
		names, err := identity.NewReader(identity.OU, []identity.Scope{scope})
		if err != nil {
			t.Fatal(err)
		}
		v := verify(t, both, crossed.Client(t, ca.Key(t).Public(), named(tt.client)), cross)
		if v.KeyID() != idOf(t, own) {
			t.Fatal("want a path from the other anchor")
		}
		client, err := names.Of(v)
		if refused := refusal.Of(err); client.Valid() != tt.want || !tt.want && (refused == nil || refused.Reason != refusal.IdentityOutOfScope) {
			t.Errorf("%s: Of = %q, %v; want valid %v", tt.name, client.Name(), err, tt.want)
		}
	}
}

// TestClaimed checks the name in a certificate that has expired, for the log.
func TestClaimed(t *testing.T) {
	issuer := ca.New(t)
	ring := keyringOf(t, issuer.PublicKeyPEM())
	names, err := identity.NewReader(identity.OU, []identity.Scope{{Key: ring.Anchors()[0].ID().Short(), Clients: []string{"mail"}}})
	if err != nil {
		t.Fatal(err)
	}
	for client, want := range map[string]string{"mail": "mail", "admin": ""} {
		leaf := issuer.Client(t, ca.Key(t).Public(), named(client))
		_, err := trust.NewVerifier(ring, nil, trust.Limits{}).Verify(leaf, ca.Now().Add(48*time.Hour))
		signed := trust.RefusedCertificate(err)
		if found, err := names.Claimed(signed); found != want || err == nil != (want != "") {
			t.Errorf("Claimed = %q, %v; want %q", found, err, want)
		}
	}
	if found, err := names.Claimed(trust.Signed{}); found != "" || err == nil {
		t.Errorf("Claimed(zero) = %q, %v; want an error", found, err)
	}
}

func TestNewReaderErrors(t *testing.T) {
	key := strings.Repeat("0c", 8)
	tests := []struct {
		name   string
		scopes []identity.Scope
		want   string
	}{
		{"no key", []identity.Scope{{}}, "anchors[0].key: want the id of a key"},
		{"short key", []identity.Scope{{Key: key[:15]}}, "anchors[0].key: want the id of a key"},
		{"key of 17 digits", []identity.Scope{{Key: key + "0"}}, "anchors[0].key: want the id of a key"},
		{"key of 18 digits", []identity.Scope{{Key: key + "00"}}, "anchors[0].key: want the id of a key"},
		{"key that is not hex", []identity.Scope{{Key: strings.Repeat("g", 16)}}, "anchors[0].key: want the id of a key"},
		{"the same key twice", []identity.Scope{{Key: key}, {Key: strings.ToUpper(key)}}, "anchors[1].key: want one entry for each key, found the key of entry 1 again"},
		{"the same key in both forms", []identity.Scope{{Key: key}, {Key: strings.Repeat(key, 4)}}, "anchors[1].key: want one entry"},
		{"unknown source", []identity.Scope{{Key: key, Source: "spiffe"}}, "anchors[0].identity: want ou, cn, uri, dns or email"},
		{"no clients", []identity.Scope{{Key: key, Clients: []string{}}}, "anchors[0].clients: want at least one name"},
		{"only a star", []identity.Scope{{Key: key, Clients: []string{"*"}}}, "anchors[0].clients[0]: want a name"},
		{"empty client", []identity.Scope{{Key: key, Clients: []string{""}}}, `anchors[0].clients[0]: client ""`},
		{"star inside", []identity.Scope{{Key: key, Clients: []string{"a", "a*b"}}}, `anchors[0].clients[1]: client "a*b"`},
		{"two stars", []identity.Scope{{Key: key, Clients: []string{"a**"}}}, `anchors[0].clients[0]: client "a**"`},
		{"name of another source", []identity.Scope{{Key: key, Source: identity.URI, Clients: []string{"mail"}}}, `anchors[0].clients[0]: client "mail": want an absolute URI`},
		{"prefix inside a host", []identity.Scope{{Key: key, Source: identity.URI, Clients: []string{"spiffe://partner.example*"}}}, "anchors[0].clients[0]"},
	}
	for _, tt := range tests {
		names, err := identity.NewReader(identity.OU, tt.scopes)
		if names != nil || err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("%s: NewReader = %v, want %q", tt.name, err, tt.want)
		}
	}
	if names, err := identity.NewReader("", nil); names != nil || err == nil {
		t.Error("want an error for the zero source")
	}
}

// TestUnknownSourceRefuses checks that nil and zero readers and unknown sources read no
// name.
func TestUnknownSourceRefuses(t *testing.T) {
	issuer := ca.New(t)
	v := verify(t, keyringOf(t, issuer.PublicKeyPEM()), issuer.Client(t, ca.Key(t).Public(), named("mail")))
	for name, r := range map[string]*identity.Reader{"nil": nil, "zero": {}, "unknown source": identity.Source("x").Reader()} {
		client, err := r.Of(v)
		if refusal.Of(err) == nil || client.Valid() {
			t.Errorf("%s: Of = %q, %v; want a refusal", name, client.Name(), err)
		}
		if found, err := r.Displayed(v.Certificate()); found != "" || err == nil {
			t.Errorf("%s: Displayed = %q, want an error", name, found)
		}
		if r.Permits(v.KeyID(), "mail") {
			t.Errorf("%s: permits a name", name)
		}
	}
}
