package schedule

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	assertion "github.com/certgate/certgate/cmd/certgate/service"
)

// serveVerified starts the service with a verifier of assertions. It returns a valid
// assertion for the client social.
func serveVerified(t *testing.T) (s *service, token string) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: public, KeyID: "a"}}})
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := assertion.New(assertion.Options{KeySet: set, Issuer: "https://gateway.example", Audience: "schedule", Now: now})
	if err != nil {
		t.Fatal(err)
	}
	core, log := observer.New(zap.DebugLevel)
	store := openStore(t)
	server := httptest.NewServer(NewHandler(Options{Store: store, Log: zap.New(core), Now: now, Verifier: verifier}))
	t.Cleanup(server.Close)
	return &service{t: t, url: server.URL, store: store, log: log}, signed(t, private)
}

func signed(t *testing.T, private ed25519.PrivateKey) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.EdDSA, Key: private},
		(&jose.SignerOptions{}).WithType("certgate+jwt").WithHeader("kid", "a"))
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256(nil)
	claims, err := json.Marshal(map[string]any{
		"iss": "https://gateway.example", "aud": "schedule", "sub": "social", "iat": now().Unix(), "exp": now().Unix() + 60,
		"cnf":  map[string]string{"x5t#S256": base64.RawURLEncoding.EncodeToString(digest[:])},
		"auth": "signed", "rule": "all", "key_id": "0c",
	})
	if err != nil {
		t.Fatal(err)
	}
	signature, err := signer.Sign(claims)
	if err != nil {
		t.Fatal(err)
	}
	token, err := signature.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// TestAssertions checks that only requests with an assertion reach the events, and that the
// client is that of the assertion.
func TestAssertions(t *testing.T) {
	s, token := serveVerified(t)
	const field = "X-Client-Assertion"
	json := http.Header{"Content-Type": {"application/json"}, field: {token}}
	if r := s.do("POST", "/events", meetingBody, json); r.status != http.StatusCreated || eventOf(t, r).Client != "social" {
		t.Errorf("want an event of social, found %d and %s", r.status, r.body)
	}
	tests := []struct {
		name, method, path string
		header             http.Header
		status             int
		logged             string
	}{
		{"events with an assertion", "GET", "/events", from("social", field, token), 200, ""},
		{"events without the gateway", "GET", "/events", from("social"), 401, "assertion_missing"},
		{"one event without the gateway", "GET", "/events/x", from("social"), 401, "assertion_missing"},
		{"a new event without the gateway", "POST", "/events", from("social"), 401, "assertion_missing"},
		{"another client", "GET", "/events", from("mail", field, token), 401, "assertion_client"},
		{"the page", "GET", "/", nil, 200, ""},
		{"the health check", "GET", "/healthz", nil, 200, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s.log.TakeAll()
			if r := s.do(tt.method, tt.path, "", tt.header); r.status != tt.status {
				t.Errorf("want %d, found %d and %s", tt.status, r.status, r.body)
			}
			lines := s.log.TakeAll()
			if len(lines) != 1 {
				t.Fatalf("want one line, found %v", lines)
			}
			if found, _ := lines[0].ContextMap()["error"].(string); !strings.HasPrefix(found, tt.logged) || (tt.logged == "") != (found == "") {
				t.Errorf("want %q in the log, found %q", tt.logged, found)
			}
		})
	}
}
