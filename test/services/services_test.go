package services

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/certgate/certgate/test/harness"
)

// gateway is a gateway that signs assertions, with its key.
type gateway struct {
	*harness.Gateway
	mail    harness.Certificate
	private crypto.Signer
	alg     jose.SignatureAlgorithm
}

// newGateway starts a gateway that binds assertions.
func newGateway(t *testing.T, alg jose.SignatureAlgorithm) gateway {
	t.Helper()
	private, _ := newKey(t, alg)
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	harness.KeepPEM(text)
	m := harness.NewMasterKey(t, "p256")
	g := harness.NewGateway(t, m, harness.AssertionEnabled(t).With(harness.Env{
		"ASSERTION_KEY_FILE": harness.WriteFile(t, string(text), t.TempDir(), "assertion.key"), "ASSERTION_BIND": "request",
	}))
	g.CheckLogAtEnd(t)
	return gateway{g, m.Issue(t, harness.OU("mail")), private, alg}
}

// forward sends a request of mail through the gateway, and returns it as the service
// received it.
func (g gateway) forward(t *testing.T, method, target, body string) received {
	t.Helper()
	r := harness.Get(target, g.mail)
	r.Method, r.Body = method, body
	head := g.WantAllowed(t, r)
	return received{harness.HeaderValues(head, "X-Client-Assertion"), true, method, target, body}
}

// token is an assertion that a test makes.
type token struct {
	alg    jose.SignatureAlgorithm
	key    any
	header map[string]any
	claims map[string]any
}

// like returns the token of an assertion of the gateway, which sign signs again.
func (g gateway) like(t *testing.T, assertion string) token {
	t.Helper()
	parts := strings.Split(assertion, ".")
	made := token{alg: g.alg, key: g.private}
	for i, into := range []*map[string]any{&made.header, &made.claims} {
		text, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(text, into); err != nil {
			t.Fatal(err)
		}
	}
	now := time.Now().Unix() // of equal claims, as integers
	made.claims["iat"], made.claims["exp"] = now, now+60
	return made
}

// sign returns the token after the change. A nil value removes a claim or a member of the
// header.
func (k token) sign(t *testing.T, change func(*token)) string {
	t.Helper()
	k.header, k.claims = maps.Clone(k.header), maps.Clone(k.claims)
	change(&k)
	absent := func(_ string, v any) bool { return v == nil }
	maps.DeleteFunc(k.claims, absent)
	maps.DeleteFunc(k.header, absent)
	payload, err := json.Marshal(k.claims)
	if err != nil {
		t.Fatal(err)
	}
	if k.alg == "none" {
		header, err := json.Marshal(k.header)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(header) + "." + base64.RawURLEncoding.EncodeToString(payload) + "."
	}
	delete(k.header, "alg") // the signer sets it
	options := &jose.SignerOptions{}
	for name, value := range k.header {
		options.WithHeader(jose.HeaderKey(name), value)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: k.alg, Key: k.key}, options)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// newKey returns a new key, with its id.
func newKey(t *testing.T, alg jose.SignatureAlgorithm) (key crypto.Signer, id string) {
	t.Helper()
	var err error
	if alg == jose.EdDSA {
		_, key, err = ed25519.GenerateKey(rand.Reader)
	} else {
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(spki(t, key))
	return key, hex.EncodeToString(sum[:])
}

func spki(t *testing.T, key crypto.Signer) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// forgery is a token that differs from an assertion in one way.
type forgery struct {
	name     string
	change   func(*token)
	accepted bool
}

func forgeries(t *testing.T, g gateway) []forgery {
	t.Helper()
	other, otherID := newKey(t, g.alg)
	der := spki(t, g.private)
	asSecret := func(secret []byte) func(*token) {
		return func(k *token) { k.alg, k.key = jose.HS256, secret }
	}
	claim := func(name string, v any) func(*token) { return func(k *token) { k.claims[name] = v } }
	at := func(iat, exp int64) func(*token) {
		now := time.Now().Unix()
		return func(k *token) { k.claims["iat"], k.claims["exp"] = now+iat, now+exp }
	}
	return []forgery{
		{"unchanged", func(*token) {}, true},
		{"with more claims", claim("later", 1), true},
		{"expired", at(-90, -30), false},
		{"of the future", at(3600, 3660), false},
		{"valid for too long", at(-10, 3600), false},
		{"another audience", claim("aud", "billing"), false},
		{"another issuer", claim("iss", "https://other.example"), false},
		{"no client", claim("sub", nil), false},
		{"no end", claim("exp", nil), false},
		{"unknown key", func(k *token) { k.key, k.header["kid"] = other, otherID }, false},
		{"another key with the id of the gateway's", func(k *token) { k.key = other }, false},
		{"alg none", func(k *token) { k.alg, k.header["alg"] = "none", "none" }, false},
		{"HS256 with the public key in PEM", asSecret(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})), false},
		{"HS256 with the public key in DER", asSecret(der), false},
		{"another type", func(k *token) { k.header["typ"] = "JWT" }, false},
		{"no type", func(k *token) { k.header["typ"] = nil }, false},
		{"not bound", func(k *token) {
			for _, name := range []string{"htm", "htu", "body_sha256"} {
				k.claims[name] = nil
			}
		}, false},
	}
}

// TestVerifiers runs each verifier with requests that a real gateway has forwarded, with
// these requests replayed in another form, and with forged assertions.
func TestVerifiers(t *testing.T) {
	t.Parallel()
	for _, alg := range []jose.SignatureAlgorithm{jose.EdDSA, jose.ES256} {
		g := newGateway(t, alg)
		url := "http://" + g.Addr + "/.well-known/jwks.json"
		t.Run("service.go/"+string(alg), func(t *testing.T) { g.check(t, goPackage(t, url)) })
		for _, v := range verifiers(t) {
			if slices.Contains(v.algorithms, alg) {
				t.Run(v.file+"/"+string(alg), func(t *testing.T) {
					v.need(t)
					g.check(t, v.start(t, url))
				})
			}
		}
	}
}

// check sends all requests to a verifier. The first one is answered when the verifier has
// started, so that later assertions do not expire meanwhile.
func (g gateway) check(t *testing.T, verify verifyFunc) {
	t.Helper()
	want := func(name string, accepted bool, r received) {
		t.Helper()
		verdict := verify(r)
		if accepted && verdict != "accepted mail" || !accepted && !strings.HasPrefix(verdict, "refused ") {
			t.Errorf("%s: want accepted %t, found %q", name, accepted, verdict)
		}
	}
	want("no assertion", false, received{Assertions: []string{}, Method: "GET", Target: "/"})

	get := g.forward(t, "GET", "/events?from=a%20b&to=+", "")
	want("a request without a body", true, get)
	r := g.forward(t, "POST", "/events?now", harness.EventJSON("Meeting"))
	want("a request with a body", true, r)
	replay := func(name string, change func(*received)) {
		t.Helper()
		again := r
		change(&again)
		want(name, false, again)
	}
	replay("two assertions", func(r *received) { r.Assertions = slices.Repeat(r.Assertions, 2) })
	replay("replayed on another path", func(r *received) { r.Target = "/admin?now" })
	replay("replayed with another query", func(r *received) { r.Target = "/events" })
	replay("replayed with another method", func(r *received) { r.Method = "PUT" })
	replay("replayed with another body", func(r *received) { r.Body = harness.EventJSON("Theft") })

	made := g.like(t, r.Assertions[0])
	for _, f := range forgeries(t, g) {
		forged := r
		forged.Assertions = []string{made.sign(t, f.change)}
		want(f.name, f.accepted, forged)
		if f.name == "not bound" {
			forged.Bound, forged.Target = false, "/anywhere"
			want("not bound, where it is not required", true, forged)
		}
	}
}

// TestScheduleIsNotBypassed checks that the schedule service accepts a request of the
// gateway, and refuses one that was not sent by the gateway.
func TestScheduleIsNotBypassed(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	addr := harness.FreeAddress(t)
	schedule := harness.Start(t, "schedule", harness.Env{
		"LISTEN_ADDR": "127.0.0.1:0", "DATABASE": filepath.Join(t.TempDir(), "schedule.db"),
		"ASSERTION_JWKS_URL": "http://" + addr + "/.well-known/jwks.json", "ASSERTION_ISSUER": issuer, "ASSERTION_AUDIENCE": audience,
	}).WaitListening(t)
	u := &harness.Upstream{URL: "http://" + schedule.Addr}
	harness.StartGateway(t, u, harness.GatewayEnv(m.PublicKey, u).With(harness.AssertionEnabled(t)).With(harness.Env{"LISTEN_ADDR": addr}))

	add := harness.Get("/events", m.Issue(t, harness.OU("mail"))).Post(harness.EventJSON("Meeting")).With("Content-Type: application/json")
	if a := harness.Send(t, addr, add); a.Status != 201 || !strings.Contains(a.Body, `"client":"mail"`) {
		t.Errorf("want an event of mail through the gateway, found %d and %s", a.Status, a.Body)
	}
	around := harness.PlainRequest("POST", "/events").Post(harness.EventJSON("Theft")).With("Content-Type: application/json", "X-Client-Id: mail", "X-Client-Auth: mtls")
	if a := harness.Send(t, schedule.Addr, around); a.Status != 401 || !strings.Contains(a.Body, "urn:certgate:assertion_invalid") {
		t.Errorf("want 401 assertion_invalid without the gateway, found %d and %s", a.Status, a.Body)
	}
}
