package httpsig_test

import (
	"crypto"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/certgate/certgate/internal/core/httpsig"
	"github.com/certgate/certgate/internal/core/refusal"
)

// TestSignedFields asserts the exact value of Signature-Input.
func TestSignedFields(t *testing.T) {
	p := newParty(t)
	keyID := p.client.Certificate().OwnKeyID().String()
	params := func(lifetime int64) string {
		return fmt.Sprintf(`;created=%d;expires=%d;nonce="%s";keyid="%s";tag="certgate"`, now.Unix(), now.Unix()+lifetime, terms().Nonce, keyID)
	}
	const must = `sig1=("@method" "@authority" "@path" "@query" "x-ssl-auth"`
	longer, covering := terms(), terms()
	longer.Lifetime = httpsig.MaxLifetime
	covering.Cover = []string{"X-Other", "content-type", "x-other", "X-SSL-Auth"}
	tests := []struct {
		name  string
		m     httpsig.Message
		terms httpsig.Terms
		want  string
	}{
		{"without a body", get(p), terms(), must + `)` + params(60)},
		{"with a body", post(p), terms(), must + ` "content-digest" "content-type")` + params(60)},
		{"five minutes", get(p), longer, must + `)` + params(300)},
		{"more covered", get(p), covering, must + ` "x-other" "content-type")` + params(60)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.m.Header["X-Other"] = []string{"1"}
			if tt.name == "more covered" {
				tt.m.Header["Content-Type"] = []string{"text/plain"}
			}
			signed := p.sign(t, tt.m, tt.terms)
			if got := signed.Header.Get("Signature-Input"); got != tt.want {
				t.Errorf("want\n%s\nfound\n%s", tt.want, got)
			}
			v, _ := newVerifier()
			_, err := prove(v, signed, p.client, now)
			wantReason(t, err, "")
		})
	}
}

// TestSignDefaults asserts that the zero Terms give a lifetime of one minute from the
// current time and a new nonce of 128 bits for each signature.
func TestSignDefaults(t *testing.T) {
	p := newParty(t)
	form := regexp.MustCompile(`;created=(\d+);expires=(\d+);nonce="([A-Za-z0-9_-]{22})";`)
	seen := map[string]bool{}
	for range 20 {
		before := time.Now().Unix()
		found := form.FindStringSubmatch(p.sign(t, get(p), httpsig.Terms{}).Header.Get("Signature-Input"))
		if found == nil || seen[found[3]] {
			t.Fatalf("want a new nonce each time, found %q", found)
		}
		seen[found[3]] = true
		var created, expires int64
		if _, err := fmt.Sscan(found[1], &created); err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Sscan(found[2], &expires); err != nil {
			t.Fatal(err)
		}
		if created < before || created > time.Now().Unix() || expires != created+60 {
			t.Errorf("want a minute from now, found %d to %d", created, expires)
		}
	}
}

// TestSignKeepsMessage asserts that Sign does not change the message's header, replaces
// an existing digest, and reads the body once.
func TestSignKeepsMessage(t *testing.T) {
	p := newParty(t)
	m := post(p)
	m.Header["Content-Digest"] = []string{"sha-256=:AAAA:"}
	before := m.Header.Clone()
	reads := 0
	m.Body = func() ([]byte, error) { reads++; return []byte(event), nil }
	s, err := httpsig.NewSigner(p.cert, p.key, "x-ssl-auth")
	if err != nil {
		t.Fatal(err)
	}
	fields, err := s.Sign(m, terms())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, m.Header); diff != "" || reads != 1 {
		t.Errorf("want one read of the body and an unchanged header, found %d and the difference %s", reads, diff)
	}
	if len(fields) != 3 {
		t.Errorf("want three fields, found %d", len(fields))
	}
	v, _ := newVerifier()
	_, err = prove(v, with(m, fields), p.client, now)
	wantReason(t, err, "")
}

// TestSignRefuses asserts that Sign returns an error for a message or terms that every
// gateway would refuse.
func TestSignRefuses(t *testing.T) {
	p := newParty(t)
	gone := errors.New("the file is gone")
	tests := []struct {
		name   string
		change func(m *httpsig.Message, t *httpsig.Terms)
		want   string
	}{
		{"valid", func(*httpsig.Message, *httpsig.Terms) {}, ""},
		{"no certificate", func(m *httpsig.Message, _ *httpsig.Terms) { delete(m.Header, "X-Ssl-Auth") }, `"x-ssl-auth"`},
		{"no header", func(m *httpsig.Message, _ *httpsig.Terms) { m.Header = nil }, `"x-ssl-auth"`},
		{"no host", func(m *httpsig.Message, _ *httpsig.Terms) { m.Authority = "" }, "host"},
		{"no target", func(m *httpsig.Message, _ *httpsig.Terms) { m.Target = "" }, "origin form"},
		{"a method of two lines", func(m *httpsig.Message, _ *httpsig.Terms) { m.Method = "GET\n" }, "on one line"},
		{"a nil Body", func(m *httpsig.Message, _ *httpsig.Terms) { m.Body = nil }, "body"},
		{"an unreadable body", func(m *httpsig.Message, _ *httpsig.Terms) { m.Body = func() ([]byte, error) { return nil, gone } }, gone.Error()},
		{"a negative lifetime", func(_ *httpsig.Message, t *httpsig.Terms) { t.Lifetime = -time.Second }, "lifetime"},
		{"a lifetime too long", func(_ *httpsig.Message, t *httpsig.Terms) { t.Lifetime = httpsig.MaxLifetime + time.Second }, "lifetime"},
		{"half a second", func(_ *httpsig.Message, t *httpsig.Terms) { t.Lifetime = time.Second / 2 }, "lifetime"},
		{"a nonce too long", func(_ *httpsig.Message, t *httpsig.Terms) { t.Nonce = strings.Repeat("x", 129) }, "nonce"},
		{"a nonce outside ASCII", func(_ *httpsig.Message, t *httpsig.Terms) { t.Nonce = "ü" }, "parameters"},
		{"a time out of range", func(_ *httpsig.Message, t *httpsig.Terms) { t.Created = time.Unix(1e15, 0) }, "parameters"},
		{"a missing field", func(_ *httpsig.Message, t *httpsig.Terms) { t.Cover = []string{"X-None"} }, `"x-none"`},
		{"an invalid field name", func(_ *httpsig.Message, t *httpsig.Terms) { t.Cover = []string{"X Other"} }, "derived component"},
		{"the Signature field", func(_ *httpsig.Message, t *httpsig.Terms) { t.Cover = []string{"Signature"} }, "derived component"},
		{"a field name that cannot be serialized", func(_ *httpsig.Message, t *httpsig.Terms) { t.Cover = []string{"\x00"} }, "parameters"},
	}
	s, err := httpsig.NewSigner(p.cert, p.key, "X-SSL-Auth")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m, made := post(p), terms()
			tt.change(&m, &made)
			fields, err := s.Sign(m, made)
			wantError(t, err, tt.want)
			if (fields == nil) != (err != nil) {
				t.Error("want fields or an error, found both or neither")
			}
		})
	}
}

// wantError asserts an error that contains want and is not a refusal, or no error if want
// is "".
func wantError(t *testing.T, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("want no error, found %v", err)
	case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
		t.Errorf("want an error about %s, found %v", want, err)
	case refusal.Of(err) != nil:
		t.Errorf("want an error other than a refusal, found %v", err)
	}
}

// TestNewSigner asserts that the key must be the key of the certificate and must support
// a signature algorithm.
func TestNewSigner(t *testing.T) {
	i := newIssuer(t)
	p, other, large := i.issue(p256(t)), i.issue(edKey(t)), i.issue(ec(t, elliptic.P521()))
	half := make(ed25519.PublicKey, 16)
	tests := []struct {
		name   string
		cert   *x509.Certificate
		key    crypto.Signer
		header string
		want   string
	}{
		{"the key of the certificate", p.cert, p.key, "X-SSL-Auth", ""},
		{"no certificate", nil, p.key, "X-SSL-Auth", "found none"},
		{"no key", p.cert, nil, "X-SSL-Auth", "found none"},
		{"an empty certificate", &x509.Certificate{}, p.key, "X-SSL-Auth", "another key"},
		{"another key", p.cert, p256(t), "X-SSL-Auth", "another key"},
		{"another kind of key", p.cert, other.key, "X-SSL-Auth", "another key"},
		{"P-521", large.cert, large.key, "X-SSL-Auth", "found ECDSA on P-521"},
		{"half an Ed25519 key", &x509.Certificate{PublicKey: half}, halfKey{p.key, half}, "X-SSL-Auth", "ed25519"},
		{"no header", p.cert, p.key, "", "name"},
		{"an invalid header name", p.cert, p.key, "X SSL", "name"},
		{"the Signature header", p.cert, p.key, "Signature", "name"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := httpsig.NewSigner(tt.cert, tt.key, tt.header)
			wantError(t, err, tt.want)
			if (s == nil) != (err != nil) {
				t.Error("want a signer or an error, found both or neither")
			}
		})
	}
	for _, zero := range []*httpsig.Signer{nil, {}} {
		_, err := zero.Sign(get(p), terms())
		wantError(t, err, "zero value")
	}
}

// halfKey is a signer with a replaced public key.
type halfKey struct {
	crypto.Signer
	public ed25519.PublicKey
}

func (h halfKey) Public() crypto.PublicKey { return h.public }

// TestSignShortRSA asserts that a 1024-bit RSA key, which is too short for
// rsa-pss-sha512, can sign with rsa-v1_5-sha256 only.
func TestSignShortRSA(t *testing.T) {
	p := newIssuer(t).issue(rsaKey(t, 1024))
	s, err := httpsig.NewSigner(p.cert, p.key, "X-SSL-Auth")
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Sign(get(p), terms())
	wantError(t, err, "long enough")
	made := terms()
	made.LegacyRSA = true
	v, _ := newVerifier()
	v.LegacyRSA = true
	_, err = prove(v, p.sign(t, get(p), made), p.client, now)
	wantReason(t, err, "")
}

// faultyKey is a key that returns a fixed signature and error.
type faultyKey struct {
	crypto.Signer
	signature []byte
	err       error
}

func (c faultyKey) Sign(_ io.Reader, _ []byte, _ crypto.SignerOpts) ([]byte, error) {
	return c.signature, c.err
}

// TestFaultyKey asserts that Sign returns an error if the key fails or returns an invalid
// signature, as a hardware key may do.
func TestFaultyKey(t *testing.T) {
	p := newParty(t)
	for _, tt := range []struct {
		name string
		key  faultyKey
		want string
	}{
		{"fails", faultyKey{p.key, nil, errors.New("the card is out")}, "the card is out"},
		{"nothing", faultyKey{p.key, nil, nil}, "signing"},
		{"not DER", faultyKey{p.key, make([]byte, 64), nil}, "signing"},
		{"r is zero", faultyKey{p.key, []byte{0x30, 6, 2, 1, 0, 2, 1, 1}, nil}, "signing"},
		{"s is zero", faultyKey{p.key, []byte{0x30, 6, 2, 1, 1, 2, 1, 0}, nil}, "signing"},
		{"s is negative", faultyKey{p.key, []byte{0x30, 6, 2, 1, 1, 2, 1, 0xff}, nil}, "signing"},
		{"trailing data", faultyKey{p.key, []byte{0x30, 6, 2, 1, 1, 2, 1, 1, 0}, nil}, "signing"},
		{"r is too large", faultyKey{p.key, append([]byte{0x30, 38, 2, 33, 1}, append(make([]byte, 32), 2, 1, 1)...), nil}, "signing"},
		{"s is too large", faultyKey{p.key, append([]byte{0x30, 38, 2, 1, 1, 2, 33, 1}, make([]byte, 32)...), nil}, "signing"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := httpsig.NewSigner(p.cert, tt.key, "X-SSL-Auth")
			if err != nil {
				t.Fatal(err)
			}
			_, err = s.Sign(get(p), terms())
			wantError(t, err, tt.want)
		})
	}
}

// TestConcurrent uses one Signer and one Verifier from several goroutines.
func TestConcurrent(t *testing.T) {
	p := newParty(t)
	s, err := httpsig.NewSigner(p.cert, p.key, "X-SSL-Auth")
	if err != nil {
		t.Fatal(err)
	}
	v, n := newVerifier()
	m := post(p)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 5 {
				fields, err := s.Sign(m, httpsig.Terms{Created: now})
				if err != nil {
					t.Error(err)
					return
				}
				_, err = prove(v, with(m, fields), p.client, now)
				wantReason(t, err, "")
			}
		})
	}
	all.Wait()
	if n.calls != 40 {
		t.Errorf("want 40 nonces, found %d", n.calls)
	}
}

// TestSignReplacesForeignFields asserts that the fields from Sign replace an earlier
// signature of the message.
func TestSignReplacesForeignFields(t *testing.T) {
	p := newParty(t)
	m := get(p)
	m.Header["Signature-Input"], m.Header["Signature"] = []string{`sig1=("date")`}, []string{"sig1=:AAAA:"}
	v, _ := newVerifier()
	_, err := prove(v, p.sign(t, m, terms()), p.client, now)
	wantReason(t, err, "")
	if got := m.Header["Signature"]; !cmp.Equal(got, []string{"sig1=:AAAA:"}) {
		t.Errorf("want the header of the message unchanged, found %s", m.Header.Get("Signature"))
	}
}
