package gateway

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/authority"
)

const (
	letsMail = "rules:\n  - name: events\n    clients: [mail]\n    allow: [\"GET /events\"]\n"
	letsWeb  = "rules:\n  - name: events\n    clients: [web]\n    allow: [\"GET /events\"]\n"
	denies   = letsMail + "deny:\n  - client: mail\n    reason: key leaked\n"
)

// sources are the two files of a configuration.
type sources struct{ keys, rules string }

func newSources(t *testing.T) sources {
	t.Helper()
	dir := t.TempDir()
	s := sources{filepath.Join(dir, "keys.pem"), filepath.Join(dir, "rules.yaml")}
	write(t, s.keys, newWorld(t).publicKey)
	write(t, s.rules, letsMail)
	return s
}

func (s sources) start(t *testing.T) *running {
	t.Helper()
	r := start(t, load(t, hello(t), map[string]string{"AUTH_PUBLIC_KEY_FILE": s.keys, "ACCESS_RULES_FILE": s.rules}))
	want(t, r, r.Addr(), "/events", http.StatusOK, "hello")
	return r
}

// write replaces a file at once, as a careful operator does.
func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		t.Fatal(err)
	}
}

// stranger is a public key that signed nothing.
var stranger = sync.OnceValues(func() (string, error) {
	other, err := authority.New(authority.Options{Name: "other", Algorithm: authority.Ed25519, Lifetime: time.Hour, Now: time.Now()})
	if err != nil {
		return "", err
	}
	return string(other.PublicKeyPEM()), nil
})

// New content is in force for the next request; bad content changes nothing,
// and each source stands for itself.
func TestReload(t *testing.T) {
	foreign, err := stranger()
	if err != nil {
		t.Fatal(err)
	}
	good := newWorld(t).publicKey
	tests := []struct {
		name, keys, rules string
		status            int
		text              string
		logged            string
	}{
		{"nothing changes", good, letsMail, http.StatusOK, "hello", `"reloaded"`},
		{"a rule is gone", good, letsWeb, http.StatusForbidden, "access_denied", `"reloaded"`},
		{"a client is denied", good, denies, http.StatusForbidden, "access_denied", `"reloaded"`},
		{"the key is gone", foreign, letsMail, http.StatusForbidden, "certificate_untrusted", `"reloaded"`},
		{"a key is added", foreign + good, letsMail, http.StatusOK, "hello", `"reloaded"`},
		{"the rules are nonsense", good, "rules: [", http.StatusOK, "hello", "the last good content stays in force"},
		{"the rules are empty", good, "", http.StatusOK, "hello", "the last good content stays in force"},
		{"the keys are nonsense", "nonsense", letsMail, http.StatusOK, "hello", "the last good content stays in force"},
		{"the keys are empty", "", letsMail, http.StatusOK, "hello", "the last good content stays in force"},
		{"bad keys do not keep a denied client", "", denies, http.StatusForbidden, "access_denied", "the last good content stays in force"},
		{"bad rules do not keep a removed key", foreign, "rules: [", http.StatusForbidden, "certificate_untrusted", "the last good content stays in force"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newSources(t)
			r := s.start(t)
			write(t, s.keys, tt.keys)
			write(t, s.rules, tt.rules)
			r.Reload()
			want(t, r, r.Addr(), "/events", tt.status, tt.text)
			want(t, r, r.AdminAddr(), "/readyz", http.StatusOK, "ready")
			if text := r.log.String(); !strings.Contains(text, tt.logged) || strings.Contains(text, "-----END") {
				t.Errorf("log %s: want %s and no key", text, tt.logged)
			}
		})
	}
}

// Nobody has to ask: a file that changes is read.
func TestFilesAreWatched(t *testing.T) {
	s := newSources(t)
	r := s.start(t)
	write(t, s.rules, denies)
	eventually(t, "the client denied", func() bool {
		status, body, err := r.get(t, r.Addr(), "/events")
		return err == nil && status == http.StatusForbidden && strings.Contains(body, "access_denied")
	})
	write(t, s.rules, letsMail)
	eventually(t, "the client let in again", func() bool {
		status, _, err := r.get(t, r.Addr(), "/events")
		return err == nil && status == http.StatusOK
	})
}

// Many reloads and many requests at once, from the first moment on: every request sees one whole state.
func TestReloadUnderWay(t *testing.T) {
	s := newSources(t)
	r := start(t, load(t, hello(t), map[string]string{"AUTH_PUBLIC_KEY_FILE": s.keys, "ACCESS_RULES_FILE": s.rules}))
	done := make(chan struct{})
	var all sync.WaitGroup
	for range 2 {
		all.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					r.Reload()
				}
			}
		})
	}
	for range 200 {
		want(t, r, r.Addr(), "/events", http.StatusOK, "hello")
	}
	close(done)
	all.Wait()
}
