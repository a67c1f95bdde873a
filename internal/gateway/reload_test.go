package gateway

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/filewatch"
	"github.com/certgate/certgate/internal/testkit/ca"
)

const (
	allowsMail = "rules:\n  - name: events\n    clients: [mail]\n    allow: [\"GET /events\"]\n"
	allowsWeb  = "rules:\n  - name: events\n    clients: [web]\n    allow: [\"GET /events\"]\n"
	deniesMail = allowsMail + "deny:\n  - client: mail\n    reason: key leaked\n"
)

// files are the names of the files of a configuration.
type files struct{ keys, rules string }

func newFiles(t *testing.T) files {
	t.Helper()
	dir := t.TempDir()
	s := files{filepath.Join(dir, "keys.pem"), filepath.Join(dir, "rules.yaml")}
	write(t, s.keys, newCredentials(t).publicKey)
	write(t, s.rules, allowsMail)
	return s
}

func (s files) start(t *testing.T) *running {
	t.Helper()
	r := start(t, load(t, hello(t), map[string]string{"AUTH_PUBLIC_KEY_FILE": s.keys, "ACCESS_RULES_FILE": s.rules}))
	want(t, r, r.Addr(), "/events", http.StatusOK, "hello")
	r.Reload() // its log lines show that the watch has started
	eventually(t, "the log lines of Reload", func() bool { return len(r.lines("unchanged")) == 2 })
	return r
}

// line is a log line about a source.
type line struct {
	Level, Msg, Source, File, Error string
	Keys, Rules, Denials, CRLs      *int
	KeysDigest                      string `json:"keys_digest"`
	RulesDigest                     string `json:"rules_digest"`
	DenialsDigest                   string `json:"denials_digest"`
	Warning                         string
	Dropped                         int      `json:"dropped"`
	DroppedDenials                  []string `json:"dropped_denials"`
}

// lines returns the log lines with a message.
func (r *running) lines(message string) (found []line) {
	for text := range strings.Lines(r.log.String()) {
		var l line
		if json.Unmarshal([]byte(text), &l) == nil && l.Msg == message {
			found = append(found, l)
		}
	}
	return found
}

// write replaces a file in one step.
func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		t.Fatal(err)
	}
}

const (
	reloaded    = "reloaded"
	notReloaded = "not reloaded, the last good content stays in force"
)

// TestReload checks that valid new content is in force for the next request and that
// invalid content has no effect, independently for each source, and that only changed
// sources are logged.
func TestReload(t *testing.T) {
	t.Parallel()
	foreign := string(ca.New(t).PublicKeyPEM()) // has not signed the client's certificate
	good := newCredentials(t).publicKey
	tests := []struct {
		name, keys, rules string
		status            int
		text              string
		wantKeys          string // the message about this source, or empty
		wantRules         string
	}{
		{"no change", good, allowsMail, http.StatusOK, "hello", "", ""},
		{"removed rule", good, allowsWeb, http.StatusForbidden, "access_denied", "", reloaded},
		{"denied client", good, deniesMail, http.StatusForbidden, "access_denied", "", reloaded},
		{"removed key", foreign, allowsMail, http.StatusForbidden, "certificate_untrusted", reloaded, ""},
		{"added key", foreign + good, allowsMail, http.StatusOK, "hello", reloaded, ""},
		{"invalid rules", good, "rules: [", http.StatusOK, "hello", "", notReloaded},
		{"empty rules", good, "", http.StatusOK, "hello", "", notReloaded},
		{"truncated deny list", good, allowsMail + "deny:\n", http.StatusOK, "hello", "", notReloaded},
		{"invalid keys", "nonsense", allowsMail, http.StatusOK, "hello", notReloaded, ""},
		{"empty keys", "", allowsMail, http.StatusOK, "hello", notReloaded, ""},
		{"denied client despite invalid keys", "", deniesMail, http.StatusForbidden, "access_denied", notReloaded, reloaded},
		{"removed key despite invalid rules", foreign, "rules: [", http.StatusForbidden, "certificate_untrusted", reloaded, notReloaded},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newFiles(t)
			r := s.start(t)
			if n := len(r.lines(reloaded)); n != 0 {
				t.Errorf("want nothing reloaded at the start, found %d lines", n)
			}
			write(t, s.keys, tt.keys)
			write(t, s.rules, tt.rules)
			wanted := map[string]string{"keys": tt.wantKeys, "rules": tt.wantRules}
			for source, message := range wanted {
				if message != "" {
					eventually(t, message+" "+source, func() bool { return r.count(message, source) == 1 })
				}
			}
			want(t, r, r.Addr(), "/events", tt.status, tt.text)
			want(t, r, r.AdminAddr(), "/readyz", http.StatusOK, "ready")
			// After the log lines of Reload no other line follows.
			r.Reload()
			for source, message := range wanted {
				switch message {
				case notReloaded: // logged again
					eventually(t, "the error again", func() bool { return r.count(notReloaded, source) == 2 })
				case reloaded:
					eventually(t, "no change", func() bool { return r.count("unchanged", source) == 2 })
				default:
					eventually(t, "no change", func() bool { return r.count("unchanged", source) == 2 })
					if n := r.count(reloaded, source) + r.count(notReloaded, source); n != 0 {
						t.Errorf("%s: want no line, found %d", source, n)
					}
				}
			}
			if text := r.log.String(); strings.Contains(text, "-----END") {
				t.Errorf("log %s: want no key", text)
			}
		})
	}
}

// count returns the number of log lines with a message about a source.
func (r *running) count(message, source string) (n int) {
	for _, l := range r.lines(message) {
		if l.Source == source {
			n++
		}
	}
	return n
}

// TestInventoryIsLogged checks that the start and every reload log the numbers and digests
// that the metrics report.
func TestInventoryIsLogged(t *testing.T) {
	t.Parallel()
	s := newFiles(t)
	r := s.start(t)
	first := r.lines("configuration in force")
	if len(first) != 1 || *first[0].Keys != 1 || *first[0].Rules != 1 || *first[0].Denials != 0 || *first[0].CRLs != 0 {
		t.Fatalf("want one key and one rule at the start, found %+v", first)
	}
	write(t, s.rules, deniesMail+"  - serial: 4f\n")
	eventually(t, "the rules reloaded", func() bool { return r.count(reloaded, "rules") == 1 })
	l := r.lines(reloaded)[0]
	if *l.Rules != 1 || *l.Denials != 2 || l.RulesDigest != first[0].RulesDigest || l.DenialsDigest == first[0].DenialsDigest || l.Keys != nil {
		t.Errorf("want the same rule and two denials, found %+v", l)
	}
	want(t, r, r.AdminAddr(), "/metrics", http.StatusOK, `certgate_config_entries{source="denials"} 2`)
	want(t, r, r.AdminAddr(), "/metrics", http.StatusOK, `certgate_config_info{digest="`+l.DenialsDigest+`",source="denials"} 1`)
	want(t, r, r.AdminAddr(), "/metrics", http.StatusOK, `certgate_config_info{digest="`+l.RulesDigest+`",source="rules"} 1`)
	want(t, r, r.AdminAddr(), "/metrics", http.StatusOK, `certgate_config_info{digest="`+first[0].KeysDigest+`",source="keys"} 1`)
}

// TestDroppedDenials checks the warning about removed entries of the deny list, which
// contains a limited number of them.
func TestDroppedDenials(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("-short: this test waits until a file has not changed for 2 seconds")
	}
	s := newFiles(t)
	many := deniesMail + "  - serial: 'FF:01'\n"
	for i := range 30 {
		many += fmt.Sprintf("  - client: client-%02d\n", i)
	}
	write(t, s.rules, many)
	r := start(t, load(t, hello(t), map[string]string{"AUTH_PUBLIC_KEY_FILE": s.keys, "ACCESS_RULES_FILE": s.rules}))
	const warning = "the new rules deny less than the previous rules"
	write(t, s.rules, deniesMail+"  - client: another\n")
	eventually(t, "a warning", func() bool { return len(r.lines(warning)) == 1 })
	l := r.lines(warning)[0]
	if l.Level != "warn" || l.Dropped != 31 || len(l.DroppedDenials) != 20 || l.DroppedDenials[0] != `client "client-00"` || l.File != s.rules {
		t.Errorf("want a warning about 31 denials, found %+v", l)
	}
	write(t, s.rules, allowsMail)
	eventually(t, "another warning", func() bool { return len(r.lines(warning)) == 2 })
	if l := r.lines(warning)[1]; !slices.Equal(l.DroppedDenials, []string{`client "another"`, `client "mail"`}) {
		t.Errorf("want both denials named, found %+v", l)
	}
	write(t, s.rules, deniesMail)
	eventually(t, "the denial again", func() bool { return r.count(reloaded, "rules") == 3 })
	if n := len(r.lines(warning)); n != 2 {
		t.Errorf("want no warning about more denials, found %d", n)
	}
}

// TestDuplicateKeyIsLogged checks that a reload warns of a duplicate key and trusts it.
func TestDuplicateKeyIsLogged(t *testing.T) {
	t.Parallel()
	s := newFiles(t)
	r := s.start(t)
	key := newCredentials(t).publicKey
	write(t, s.keys, key+key)
	eventually(t, "a warning", func() bool { return len(r.lines("configuration")) == 1 })
	got := r.lines("configuration")[0]
	if got.Level != "warn" || got.Source != "keys" || !strings.Contains(got.Warning, "found the key of block 1 again, which has no effect") {
		t.Errorf("want a warning that a key is there twice, found %+v", got)
	}
	want(t, r, r.Addr(), "/events", http.StatusOK, "hello")
}

// TestWrittenInPlace checks that a file that is written in place is reloaded later, and
// that Reload logs this state. Package filewatch tests the delay.
func TestWrittenInPlace(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("-short: this test waits until a file has not changed for 2 seconds")
	}
	s := newFiles(t)
	r := s.start(t)
	r.reload(filewatch.Result{Requested: true, Waiting: []string{s.rules}})
	const waiting = "changed in place: the content takes effect after it has not changed for a while"
	if r.count(waiting, "rules") != 1 || r.count("unchanged", "keys") != 2 {
		t.Errorf("want the rules waiting, found %s", r.log)
	}
	if err := os.WriteFile(s.rules, []byte(deniesMail), 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the rules reloaded", func() bool { return r.count(reloaded, "rules") == 1 })
	want(t, r, r.Addr(), "/events", http.StatusForbidden, "access_denied")
}

// TestPipeAsFile checks that a named pipe in the place of a file blocks neither requests,
// nor reloads of other files, nor the end.
func TestPipeAsFile(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("-short: this test waits until a file has not changed for 2 seconds")
	}
	s := newFiles(t)
	r := s.start(t)
	if err := syscall.Mkfifo(s.keys+".new", 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(s.keys+".new", s.keys); err != nil {
		t.Fatal(err)
	}
	eventually(t, "an error about the keys", func() bool { return r.count(notReloaded, "keys") == 1 })
	if l := r.lines(notReloaded)[0]; !strings.Contains(l.Error, "named pipe, not a regular file") {
		t.Errorf("want the pipe named, found %+v", l)
	}
	write(t, s.rules, deniesMail)
	eventually(t, "the rules reloaded", func() bool { return r.count(reloaded, "rules") == 1 })
	want(t, r, r.Addr(), "/events", http.StatusForbidden, "access_denied")
	r.cancel()
	r.client.CloseIdleConnections()
	if err := <-r.done; err != nil {
		t.Errorf("Run: %v, want nil", err)
	}
}

// TestNothingToReload checks the log line of Reload without files, before Run.
func TestNothingToReload(t *testing.T) {
	g, log, err := build(t, load(t, hello(t), nil))
	if err != nil {
		t.Fatal(err)
	}
	g.Reload()
	if !strings.Contains(log.String(), "nothing to reload") {
		t.Errorf("want a log line, found %s", log)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := g.Run(ctx); err != nil {
		t.Error(err)
	}
}

// TestConcurrentReloads checks that requests are decided correctly during reloads.
func TestConcurrentReloads(t *testing.T) {
	s := newFiles(t)
	r := start(t, load(t, hello(t), map[string]string{"AUTH_PUBLIC_KEY_FILE": s.keys, "ACCESS_RULES_FILE": s.rules}))
	done := make(chan struct{})
	var all sync.WaitGroup
	for i := range 2 {
		all.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-done:
					return
				default:
					if i == 0 {
						write(t, s.rules, allowsMail+fmt.Sprintf("# %d\n", n))
					}
					r.Reload()
				}
			}
		})
	}
	requests := 200
	if testing.Short() {
		requests = 50
	}
	for range requests {
		want(t, r, r.Addr(), "/events", http.StatusOK, "hello")
	}
	close(done)
	all.Wait()
}

// TestCRLsFollowKeys checks that revocation lists are verified again after a change of the
// keys, and logged only if the result changes.
func TestCRLsFollowKeys(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("-short: this test waits until a file has not changed for 2 seconds")
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	list, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
		Number: big.NewInt(1), ThisUpdate: now.Add(-time.Hour), NextUpdate: now.Add(time.Hour),
	}, &x509.Certificate{KeyUsage: x509.KeyUsageCRLSign, SubjectKeyId: []byte{1}, RawSubject: []byte{0x30, 0}}, key)
	if err != nil {
		t.Fatal(err)
	}
	s := newFiles(t)
	signer := string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}))
	both, crl := newCredentials(t).publicKey+signer, filepath.Join(t.TempDir(), "list.crl")
	write(t, s.keys, both)
	write(t, crl, string(list))
	r := start(t, load(t, hello(t), map[string]string{"AUTH_PUBLIC_KEY_FILE": s.keys, "AUTH_CRL_FILE": crl}))
	steps := []struct {
		name, keys         string
		reloads, crlErrors int
	}{
		{"the same keys in another order", signer + newCredentials(t).publicKey, 0, 0},
		{"without the key of the list", newCredentials(t).publicKey, 0, 1},
		{"with it again", both, 1, 1},
	}
	for i, step := range steps {
		write(t, s.keys, step.keys)
		eventually(t, step.name, func() bool { return r.count(reloaded, "keys") == i+1 })
		r.Reload()
		eventually(t, "the log lines of Reload", func() bool { return r.count("unchanged", "keys") == i+1 })
		eventually(t, step.name+": the lists", func() bool { return r.count(reloaded, "crls") == step.reloads })
		// Reload repeats the error.
		if n := r.count(notReloaded, "crls"); n < step.crlErrors || n > 2*step.crlErrors {
			t.Errorf("%s: want %d errors about the lists, found %d", step.name, step.crlErrors, n)
		}
	}
}
