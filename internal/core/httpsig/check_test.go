package httpsig_test

import (
	"bytes"
	"crypto/elliptic"
	"encoding/base64"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/core/httpsig"
	"github.com/certgate/certgate/internal/core/identity"
	"github.com/certgate/certgate/internal/core/refusal"
)

// TestAlgorithmIsTheKeys asserts that alg can only select among the key's own algorithms.
func TestAlgorithmIsTheKeys(t *testing.T) {
	i := newIssuer(t)
	for _, k := range kinds() {
		p := i.issue(k.key(t))
		for _, other := range kinds() {
			made := terms()
			made.LegacyRSA = k.legacy
			m := p.sign(t, post(p), made)
			input := m.Header.Get("Signature-Input") + `;alg="` + other.name + `"`
			m = p.resignLegacy(t, m, k.legacy, input)
			v, _ := newVerifier()
			v.LegacyRSA = k.legacy
			want := invalid
			if other.name == k.name {
				want = ""
			}
			_, err := prove(v, m, p.client, now)
			wantReason(t, err, want)
		}
	}
}

// TestLegacyRSA asserts that PKCS #1 v1.5 signatures are refused unless LegacyRSA is set,
// with and without alg.
func TestLegacyRSA(t *testing.T) {
	p := newIssuer(t).issue(rsaKey(t, 2048))
	made := terms()
	made.LegacyRSA = true
	m := p.sign(t, post(p), made)
	for _, tt := range []struct {
		alg    string
		legacy bool
		want   refusal.Reason
	}{
		{"", false, invalid},
		{`;alg="rsa-v1_5-sha256"`, false, invalid},
		{"", true, ""},
		{`;alg="rsa-v1_5-sha256"`, true, ""},
		{`;alg="rsa-pss-sha512"`, true, invalid},
	} {
		v, _ := newVerifier()
		v.LegacyRSA = tt.legacy
		_, err := prove(v, p.resignLegacy(t, m, true, m.Header.Get("Signature-Input")+tt.alg), p.client, now)
		wantReason(t, err, tt.want)
	}
}

// TestUnusableKeys asserts that a key without a supported algorithm is refused with a
// hint and without Accept-Signature.
func TestUnusableKeys(t *testing.T) {
	i := newIssuer(t)
	short := rsaKey(t, 1024)
	tests := []struct {
		name   string
		client testClient
		legacy bool
		want   refusal.Reason
	}{
		{"the master key", i.issue(i.key), false, refusal.ProofImpossible},
		{"P-521", i.issue(ec(t, elliptic.P521())), false, refusal.ProofImpossible},
		{"RSA too short for PSS", i.issue(short), false, refusal.ProofImpossible},
		{"RSA too short for PSS, legacy", i.issue(short), true, invalid},
	}
	signer := i.issue(p256(t))
	m := signer.sign(t, post(signer), terms())
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v, n := newVerifier()
			v.LegacyRSA = tt.legacy
			_, err := prove(v, m, tt.client.client, now)
			wantReason(t, err, tt.want)
			refused := refusal.Of(err)
			if refused.Hint == "" || (refused.AcceptSignature == "") != (tt.want == refusal.ProofImpossible) {
				t.Errorf("hint %q, Accept-Signature %q", refused.Hint, refused.AcceptSignature)
			}
			if n.calls > 0 {
				t.Error("a nonce was used")
			}
		})
	}
}

// TestMasterKeySigns asserts that a correct signature by the master key is refused.
func TestMasterKeySigns(t *testing.T) {
	i := newIssuer(t)
	p := i.issue(i.key)
	v, _ := newVerifier()
	_, err := prove(v, p.sign(t, post(p), terms()), p.client, now)
	wantReason(t, err, refusal.ProofImpossible)
}

// TestKeyID asserts that exactly the two documented forms of the key ID are accepted.
func TestKeyID(t *testing.T) {
	p := newParty(t)
	m := p.sign(t, post(p), terms())
	own := p.client.Certificate().OwnKeyID()
	standard := "sha256/" + base64.StdEncoding.EncodeToString(own[:])
	master := p.client.Certificate().KeyID()
	for _, tt := range []struct {
		id   string
		want refusal.Reason
	}{
		{own.String(), ""},
		{standard, ""},
		{"sha256/" + base64.RawStdEncoding.EncodeToString(own[:]), invalid},
		{"sha256/" + base64.URLEncoding.EncodeToString(bytes.Repeat([]byte{0xff}, 32)), invalid},
		{"SHA256" + standard[6:], invalid},
		{standard[7:], invalid},
		{own.Short(), invalid},
		{master.String(), invalid},
		{"sha256/" + own.String(), invalid},
	} {
		input := bytes.Replace([]byte(m.Header.Get("Signature-Input")), []byte(own.String()), []byte(tt.id), 1)
		v, _ := newVerifier()
		_, err := prove(v, p.resign(t, m, string(input)), p.client, now)
		wantReason(t, err, tt.want)
	}
}

// TestZeroValues asserts that each step refuses the zero value of the previous step's
// result, and that a Verifier with a missing field refuses every request.
func TestZeroValues(t *testing.T) {
	p := newParty(t)
	m := p.sign(t, post(p), terms())
	v, _ := newVerifier()
	s, err := v.Read(m, now)
	if err != nil {
		t.Fatal(err)
	}
	checked, err := v.Check(s, m, p.client)
	if err != nil {
		t.Fatal(err)
	}
	for _, other := range []httpsig.Message{m, {}} {
		_, err = v.Check(httpsig.Statement{}, other, p.client)
		wantReason(t, err, invalid)
		wantDetail(t, err, "a signature that was read")
		_, err = v.Finish(httpsig.Checked{}, other, now)
		wantReason(t, err, invalid)
		wantDetail(t, err, "a signature that was checked")
	}
	_, err = v.Check(s, m, identity.Client{})
	wantReason(t, err, invalid)
	_, err = v.Read(httpsig.Message{}, time.Time{})
	wantReason(t, err, missing)
	if (httpsig.Verified{}).Valid() {
		t.Error("want the zero value invalid, found it valid")
	}
	for _, bad := range []*httpsig.Verifier{nil, {}, {CredentialHeader: "X-SSL-Auth"}, {Nonces: &nonces{}}} {
		_, err = bad.Read(m, now)
		wantReason(t, err, invalid)
		_, err = bad.Check(s, m, p.client)
		wantReason(t, err, invalid)
		_, err = bad.Finish(checked, m, now)
		wantReason(t, err, invalid)
	}
}

// TestAnotherMessage asserts that Check and Finish refuse a message other than the one
// that was read.
func TestAnotherMessage(t *testing.T) {
	p := newParty(t)
	m := p.sign(t, post(p), terms())
	for name, change := range map[string]func(*httpsig.Message){
		"method":    func(m *httpsig.Message) { m.Method = "PUT" },
		"target":    func(m *httpsig.Message) { m.Target = "/" },
		"authority": func(m *httpsig.Message) { m.Authority = "h" },
	} {
		t.Run(name, func(t *testing.T) {
			v, n := newVerifier()
			s, err := v.Read(m, now)
			if err != nil {
				t.Fatal(err)
			}
			other := m
			change(&other)
			_, err = v.Check(s, other, p.client)
			wantReason(t, err, invalid)
			checked, err := v.Check(s, m, p.client)
			wantReason(t, err, "")
			_, err = v.Finish(checked, other, now)
			wantReason(t, err, invalid)
			if n.calls > 0 {
				t.Error("a nonce was used")
			}
		})
	}
}

// TestAnotherBody asserts that a body that appears or disappears between the steps is
// refused.
func TestAnotherBody(t *testing.T) {
	p := newParty(t)
	signedPost, signedGet := p.sign(t, post(p), terms()), p.sign(t, get(p), terms())
	tests := []struct {
		name   string
		m      httpsig.Message
		change func(m *httpsig.Message)
		want   refusal.Reason
	}{
		{"unchanged", signedPost, func(*httpsig.Message) {}, ""},
		{"body no longer available", signedPost, func(m *httpsig.Message) { m.Body = nil }, digest},
		{"body removed", signedPost, func(m *httpsig.Message) { m.HasBody, m.Body = false, content("") }, digest},
		{"body added", signedGet, func(m *httpsig.Message) { m.HasBody = true }, digest},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v, n := newVerifier()
			c := checked(t, v, p, tt.m)
			m := tt.m
			tt.change(&m)
			_, err := v.Finish(c, m, now)
			wantReason(t, err, tt.want)
			if (n.calls > 0) != (tt.want == "") {
				t.Errorf("%d calls of the nonce store", n.calls)
			}
		})
	}
}

// TestHeaderIsCopied asserts that changes to the header after Read have no effect.
func TestHeaderIsCopied(t *testing.T) {
	p := newParty(t)
	m := p.sign(t, post(p), terms())
	v, _ := newVerifier()
	s, err := v.Read(m, now)
	if err != nil {
		t.Fatal(err)
	}
	clear(m.Header)
	checked, err := v.Check(s, m, p.client)
	wantReason(t, err, "")
	_, err = v.Finish(checked, m, now)
	wantReason(t, err, "")
}

// TestAnotherCertificate asserts that a signature does not verify with another
// certificate of the same client, with the same key or another key.
func TestAnotherCertificate(t *testing.T) {
	i := newIssuer(t)
	p := i.issue(p256(t))
	m := p.sign(t, post(p), terms())
	sameKey, otherKey := i.issue(p.key), i.issue(p256(t))
	for _, other := range []testClient{sameKey, otherKey} {
		swapped := with(m, post(other).Header)
		v, _ := newVerifier()
		_, err := prove(v, swapped, other.client, now)
		wantReason(t, err, invalid)
	}
}

// TestAuthority asserts that the signed host must be one of the configured authorities,
// or the requested host if none is configured.
func TestAuthority(t *testing.T) {
	p := newParty(t)
	tests := []struct {
		name, signed, requested string
		own                     []string
		want                    refusal.Reason
	}{
		{"requested host", "a.example", "a.example", nil, ""},
		{"another host", "b.example", "a.example", nil, invalid},
		{"requested in uppercase with the HTTPS port", "a.example", "A.Example:443", nil, ""},
		{"signed in uppercase with the HTTP port", "A.example:80", "a.example", nil, ""},
		{"another port", "a.example", "a.example:8443", nil, invalid},
		{"the only authority", "a.example", "10.0.0.1:8080", []string{"A.example:443"}, ""},
		{"host rewritten by a proxy", "10.0.0.1:8080", "10.0.0.1:8080", []string{"a.example"}, invalid},
		{"the second of two authorities", "b.example", "b.example", []string{"a.example", "B.example"}, ""},
		{"first authority signed, second requested", "a.example", "b.example", []string{"a.example", "b.example"}, invalid},
		{"first authority signed, unknown host requested", "a.example", "c.example", []string{"a.example", "b.example"}, ""},
		{"second authority signed, unknown host requested", "b.example", "c.example", []string{"a.example", "b.example"}, invalid},
		{"no host requested", "a.example", "", []string{"a.example"}, ""},
		{"no host requested or configured", "a.example", "", nil, malformed},
		{"empty authority configured", "a.example", "a.example", []string{""}, malformed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := post(p)
			m.Authority = tt.signed
			m = p.sign(t, m, terms())
			m.Authority = tt.requested
			v, _ := newVerifier()
			v.Authorities = tt.own
			_, err := prove(v, m, p.client, now)
			wantReason(t, err, tt.want)
		})
	}
}
