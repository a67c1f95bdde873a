package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// newPair is a folder with mail.crt and mail.key.
func newPair(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, args := range [][]string{{"ca", "init", "--dir", dir}, {"issue", "--client", "mail", "--ca-dir", dir}} {
		if code, _, stderr := call(t.Context(), nil, args...); code != exitOK {
			t.Fatal(stderr)
		}
	}
	return dir
}

// by are the flags that name the pair.
func by(dir string, args ...string) []string {
	return append([]string{args[0], "--cert", filepath.Join(dir, "mail.crt"), "--key", filepath.Join(dir, "mail.key")}, args[1:]...)
}

// TestRequest: what goes where, and the exit code. Whether the gateway believes
// the signature, ./test/e2e asks the gateway.
func TestRequest(t *testing.T) {
	t.Parallel()
	dir := newPair(t)
	event := filepath.Join(dir, "event.json")
	if err := os.WriteFile(event, []byte("{\r\n}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(answer))
	t.Cleanup(server.Close)
	for _, test := range []struct {
		name           string
		args           []string
		stdin          string
		code           int
		stdout, stderr string // exactly
	}{
		{"GET", []string{"GET", "/events?x=1"}, "", exitOK, "GET /events?x=1 0 \"\" signed\n", "HTTP/1.1 200 OK\n"},
		{"no path", []string{"GET", ""}, "", exitOK, "GET / 0 \"\" signed\n", "HTTP/1.1 200 OK\n"},
		{"text", []string{"POST", "/events", "--data", "{}", "--content-type", "application/json"}, "", exitOK, "POST /events 2 \"application/json\" signed {}\n", "HTTP/1.1 200 OK\n"},
		{"file", []string{"PUT", "/events", "--data", "@" + event}, "", exitOK, "PUT /events 5 \"\" signed {\r\n}\n\n", "HTTP/1.1 200 OK\n"},
		{"standard input", []string{"PUT", "/events", "--data", "@-"}, "from there", exitOK, "PUT /events 10 \"\" signed from there\n", "HTTP/1.1 200 OK\n"},
		{"include", []string{"GET", "/include", "-i"}, "", exitOK, "HTTP/1.1 204 No Content\nDate: now\nX-Answer: yes\n\n", ""},
		{"refused", []string{"GET", "/refused"}, "", exitFailure, hostileProblem, "HTTP/1.1 401 Unauthorized\ncertgate: refused: proof_missing: No\\n\\x1b[31m. Sign it\n"},
		{"another answer", []string{"GET", "/missing"}, "", exitFailure, "404 page not found\n", "HTTP/1.1 404 Not Found\n"},
		{"a redirect", []string{"GET", "/away"}, "", exitFailure, "", "HTTP/1.1 302 Found\n"},
		{"another header", []string{"GET", "/named", "--header", "X-Other"}, "", exitOK, "named\n", "HTTP/1.1 200 OK\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.args[1] = server.URL + test.args[1]
			var stdout, stderr bytes.Buffer
			code := run(t.Context(), by(dir, append([]string{"request"}, test.args...)...), surroundings{
				stdin: strings.NewReader(test.stdin), stdout: &stdout, stderr: &stderr,
			})
			if code != test.code || stdout.String() != test.stdout || stderr.String() != test.stderr {
				t.Errorf("want %d, %q and %q; found %d, %q and %q", test.code, test.stdout, test.stderr, code, stdout.String(), stderr.String())
			}
		})
	}
}

const hostileProblem = `{"title":"No\n\u001b[31m","detail":"Sign it","reason":"proof_missing"}`

func answer(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/include":
		w.Header()["Date"] = []string{"now"}
		w.Header().Set("X-Answer", "yes")
		w.WriteHeader(http.StatusNoContent)
	case "/refused":
		w.Header().Set("Content-Type", "application/problem+json; charset=utf-8")
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, hostileProblem)
	case "/missing":
		http.NotFound(w, r)
	case "/away":
		w.Header().Set("Location", "/events")
		w.WriteHeader(http.StatusFound)
	case "/named":
		if r.Header.Get("X-Other") != "" && r.Header.Get("X-SSL-Auth") == "" {
			_, _ = io.WriteString(w, "named\n")
		}
	default:
		body, _ := io.ReadAll(r.Body)
		signed := "not signed"
		if r.Header.Get("X-SSL-Auth") != "" && r.Header.Get("Signature") != "" {
			signed = "signed"
		}
		_, _ = fmt.Fprintf(w, "%s %s %d %q %s", r.Method, r.RequestURI, len(body), r.Header.Get("Content-Type"), signed)
		if len(body) > 0 {
			_, _ = fmt.Fprintf(w, " %s", body)
		}
		_, _ = io.WriteString(w, "\n")
	}
}

// TestSign prints fields that curl can read, in the order in which a person does.
func TestSign(t *testing.T) {
	t.Parallel()
	dir := newPair(t)
	for _, test := range []struct {
		name string
		args []string
		want []string
	}{
		{"GET", []string{"GET", "https://schedule.example.com/events"}, []string{"X-SSL-Auth", "Signature-Input", "Signature"}},
		{"POST", []string{"POST", "https://schedule.example.com", "--data", "{}", "--content-type", "application/json", "--header", "X-Other"},
			[]string{"X-Other", "Content-Type", "Content-Digest", "Signature-Input", "Signature"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			code, stdout, stderr := call(t.Context(), nil, by(dir, append([]string{"sign"}, test.args...)...)...)
			var names []string
			for line := range strings.Lines(stdout) {
				name, _, _ := strings.Cut(line, ": ")
				names = append(names, name)
			}
			if code != exitOK || stderr != "" || !slices.Equal(names, test.want) {
				t.Errorf("want %q, found exit code %d, %q and %q", test.want, code, names, stderr)
			}
		})
	}
}

// TestClientUsage: what is wrong with a command line is told before anything is
// sent, and none of it costs a key its secret.
func TestClientUsage(t *testing.T) {
	t.Parallel()
	dir := newPair(t)
	nothing, large := filepath.Join(dir, "nothing"), filepath.Join(dir, "large")
	for name, size := range map[string]int{nothing: 0, large: maxInput + 1} {
		if err := os.WriteFile(name, make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const nobody, to = "http://127.0.0.1:1/", "http://127.0.0.1:1"
	for _, test := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"nobody there", by(dir, "request", "GET", nobody), exitFailure, "connection refused"},
		{"no method", by(dir, "request", nobody), exitUsage, "<url>"},
		{"bad method", by(dir, "sign", "G T", nobody), exitUsage, "method"},
		{"no scheme", by(dir, "sign", "GET", "127.0.0.1:1"), exitUsage, "want http:// or https://"},
		{"another scheme", by(dir, "sign", "GET", "ftp://127.0.0.1/"), exitUsage, "want http:// or https://"},
		{"a password", by(dir, "sign", "GET", "http://a:b@127.0.0.1/"), exitUsage, "without user and fragment"},
		{"a fragment", by(dir, "sign", "GET", nobody+"#x"), exitUsage, "without user and fragment"},
		{"odd characters", by(dir, "sign", "GET", nobody+"{id}"), exitUsage, `such as "/%7Bid%7D"`},
		{"dots", by(dir, "sign", "GET", nobody+"a/../b"), exitUsage, "want a URL that the gateway would take"},
		{"no such file", by(dir, "sign", "POST", nobody, "--data", "@"+dir+"/none"), exitUsage, "no such file"},
		{"a large file", by(dir, "sign", "POST", nobody, "--data", "@"+large), exitUsage, "want at most 1048576 bytes"},
		{"no header's name", by(dir, "sign", "GET", nobody, "--header", "X SSL"), exitUsage, "--header"},
		{"a broken type", by(dir, "sign", "POST", nobody, "--data", "x", "--content-type", "a\nb"), exitUsage, "--content-type"},
		{"no certificate", []string{"sign", "--cert", nothing, "--key", dir + "/mail.key", "GET", nobody}, exitUsage, "want a certificate and its private key"},
		{"another key", []string{"sign", "--cert", dir + "/mail.crt", "--key", dir + "/ca.key", "GET", nobody}, exitUsage, "private key does not match"},
		{"no authority", by(dir, "request", "GET", nobody, "--ca", nothing), exitUsage, "--ca"},
		{"agent without target", by(dir, "agent"), exitUsage, "--to"},
		{"agent with a path", by(dir, "agent", "--to", nobody+"v1"), exitUsage, "--to: want no user, path"},
		{"agent with another scheme", by(dir, "agent", "--to", "unix:/x"), exitUsage, "--to: want http:// or https://"},
		{"agent for everybody", by(dir, "agent", "--to", to, "--listen", "0.0.0.0:0"), exitUsage, "--exposed takes it all the same"},
		{"agent nowhere", by(dir, "agent", "--to", to, "--listen", "192.0.2.1:1"), exitFailure, "--listen"},
		{"agent without a certificate", []string{"agent", "--to", to, "--cert", nothing, "--key", nothing}, exitUsage, "want a certificate and its private key"},
		{"agent without bodies", by(dir, "agent", "--to", to, "--max-body", "0"), exitUsage, "--max-body"},
		{"agent without a drain", by(dir, "agent", "--to", to, "--drain", "-1s"), exitUsage, "--drain"},
		{"agent with a port", by(dir, "agent", "--to", to, "--name", "agent:7000"), exitUsage, "--name"},
		{"agent with a header", by(dir, "agent", "--to", to, "--header", ""), exitUsage, "--header"},
		{"agent without an authority", by(dir, "agent", "--to", to, "--ca", nothing), exitUsage, "--ca"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			code, stdout, stderr := call(t.Context(), nil, test.args...)
			if code != test.code || stdout != "" || !strings.Contains(stderr, test.want) {
				t.Errorf("want exit code %d and %q, found %d, %d bytes and %q", test.code, test.want, code, len(stdout), stderr)
			}
		})
	}
}
