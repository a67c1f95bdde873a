package gateway

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/certgate/certgate/internal/testkit/ca"
)

// assertingGateway is a gateway whose upstream responds with the assertion that it received.
type assertingGateway struct {
	*running
	files

	assertionKeys string
}

func startAsserting(t *testing.T, keys string) assertingGateway {
	t.Helper()
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Header.Get("X-Client-Assertion"))
	}))
	t.Cleanup(up.Close)
	g := assertingGateway{files: newFiles(t), assertionKeys: filepath.Join(t.TempDir(), "assertion.key")}
	write(t, g.assertionKeys, keys)
	g.running = start(t, load(t, up.URL, map[string]string{
		"AUTH_PUBLIC_KEY_FILE": g.keys, "ASSERTION_KEY_FILE": g.assertionKeys, "ASSERTION_ISSUER": "gateway", "ASSERTION_AUDIENCE": "service",
	}))
	return g
}

// kid returns the id of the key that signed the assertion about the next request, after it
// verified the assertion with the key set of the public listener.
func (g assertingGateway) kid(t *testing.T) string {
	t.Helper()
	_, token, err := g.get(t, g.Addr(), "/events")
	if err != nil {
		t.Fatal(err)
	}
	signed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		t.Fatalf("assertion %q: %v", token, err)
	}
	set := g.keySet(t)
	keys := set.Key(signed.Signatures[0].Header.KeyID)
	if len(keys) != 1 {
		t.Fatalf("%d keys with the id of the assertion, want one", len(keys))
	}
	if _, err := signed.Verify(keys[0]); err != nil {
		t.Fatal(err)
	}
	return keys[0].KeyID
}

// keySet returns the key set, which both listeners serve.
func (g assertingGateway) keySet(t *testing.T) (set jose.JSONWebKeySet) {
	t.Helper()
	_, text, err := g.get(t, g.Addr(), "/.well-known/jwks.json")
	if err != nil {
		t.Fatal(err)
	}
	want(t, g.running, g.AdminAddr(), "/.well-known/jwks.json", http.StatusOK, text)
	if err := json.Unmarshal([]byte(text), &set); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return set
}

// TestAssertionKeysAreReloaded checks which key signs and which are published after each
// change of the file, and that a faulty content has no effect.
func TestAssertionKeysAreReloaded(t *testing.T) {
	t.Parallel()
	first, second := string(ca.KeyPEM(t, ca.Key(t))), string(ca.KeyPEM(t, ca.Key(t)))
	g := startAsserting(t, first)
	firstID := g.kid(t)
	steps := []struct {
		name, content string
		message       string
		signsFirst    bool
		published     int
	}{
		{"the next key is published", first + second, reloaded, true, 2},
		{"faulty", second + "-----BEGIN", notReloaded, true, 2},
		{"the next key signs", second + first, reloaded, false, 2},
		{"empty", "", notReloaded, false, 2},
		{"the first key is removed", second, reloaded, false, 1},
	}
	seen := map[string]int{}
	for _, step := range steps {
		write(t, g.assertionKeys, step.content)
		seen[step.message]++
		eventually(t, step.name, func() bool { return g.count(step.message, "assertion_keys") == seen[step.message] })
		if signsFirst := g.kid(t) == firstID; signsFirst != step.signsFirst {
			t.Errorf("%s: the first key signs: %t, want %t", step.name, signsFirst, step.signsFirst)
		}
		if n := len(g.keySet(t).Keys); n != step.published {
			t.Errorf("%s: %d keys are published, want %d", step.name, n, step.published)
		}
	}
	if text := g.log.String(); strings.Contains(text, "-----") || strings.Count(text, `"msg":"assertion key"`) != 6 {
		t.Errorf("log %s: want no key, and a line for each key in force: 1 + 2 + 2 + 1", text)
	}
	want(t, g.running, g.AdminAddr(), "/metrics", http.StatusOK, `certgate_reloads_total{result="ok",source="assertion_keys"} 3`)
	want(t, g.running, g.AdminAddr(), "/metrics", http.StatusOK, `certgate_reloads_total{result="failed",source="assertion_keys"} 2`)
	want(t, g.running, g.AdminAddr(), "/metrics", http.StatusOK, `certgate_config_entries{source="assertion_keys"} 1`)
}

// TestAssertionKeyIsNoAnchor checks that neither file can make one key both an anchor and an
// assertion key.
func TestAssertionKeyIsNoAnchor(t *testing.T) {
	t.Parallel()
	root := ca.New(t)
	own := ca.Key(t)
	g := startAsserting(t, string(ca.KeyPEM(t, own)))
	id := g.kid(t)
	anchors := newCredentials(t).publicKey + string(root.PublicKeyPEM())

	write(t, g.keys, anchors+string(ca.NewWithKey(t, own).PublicKeyPEM()))
	eventually(t, "an error about the anchors", func() bool { return g.count(notReloaded, "keys") == 1 })
	write(t, g.keys, anchors)
	eventually(t, "the anchors reloaded", func() bool { return g.count(reloaded, "keys") == 1 })
	write(t, g.assertionKeys, string(ca.KeyPEM(t, root.Key)))
	eventually(t, "an error about the assertion keys", func() bool { return g.count(notReloaded, "assertion_keys") == 1 })
	if now := g.kid(t); now != id {
		t.Errorf("%s signs, want the first key %s", now, id)
	}
	for _, l := range g.lines(notReloaded) {
		if !strings.Contains(l.Error, "as master key and as assertion key") {
			t.Errorf("error %q, want the reason", l.Error)
		}
	}
}

// TestWithoutAssertions checks that the path of the key set requires a certificate like any
// other path.
func TestWithoutAssertions(t *testing.T) {
	r := start(t, load(t, hello(t), nil))
	want(t, r, r.Addr(), "/.well-known/jwks.json", http.StatusForbidden, "access_denied")
	want(t, r, r.AdminAddr(), "/.well-known/jwks.json", http.StatusNotFound, "not_found")
}
