package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// newPair returns a folder with mail.crt, mail.key and the files of their CA.
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

// withPair adds the flags that name the pair after the command.
func withPair(dir string, args ...string) []string {
	return append([]string{args[0], "--cert", filepath.Join(dir, "mail.crt"), "--key", filepath.Join(dir, "mail.key")}, args[1:]...)
}

// TestRequest checks the request, the output and the exit code. The end-to-end tests
// check that the gateway accepts the signature.
func TestRequest(t *testing.T) {
	t.Parallel()
	dir := newPair(t)
	event := filepath.Join(dir, "event.json")
	if err := os.WriteFile(event, []byte("{\r\n}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(respond))
	t.Cleanup(server.Close)
	for _, test := range []struct {
		name           string
		args           []string
		stdin          string
		code           int
		stdout, stderr string // complete
	}{
		{"GET", []string{"GET", "/events?x=1"}, "", exitOK, "GET /events?x=1 0 \"\" signed\n", "HTTP/1.1 200 OK\n"},
		{"no path", []string{"GET", ""}, "", exitOK, "GET / 0 \"\" signed\n", "HTTP/1.1 200 OK\n"},
		{"text", []string{"POST", "/events", "--data", "{}", "--content-type", "application/json"}, "", exitOK, "POST /events 2 \"application/json\" signed {}\n", "HTTP/1.1 200 OK\n"},
		{"file", []string{"PUT", "/events", "--data", "@" + event}, "", exitOK, "PUT /events 5 \"\" signed {\r\n}\n\n", "HTTP/1.1 200 OK\n"},
		{"standard input", []string{"PUT", "/events", "--data", "@-"}, "from stdin", exitOK, "PUT /events 10 \"\" signed from stdin\n", "HTTP/1.1 200 OK\n"},
		{"include", []string{"GET", "/include", "-i"}, "", exitOK, "HTTP/1.1 204 No Content\nDate: now\nX-Response: yes\n\n", ""},
		{"refused", []string{"GET", "/refused"}, "", exitFailure, hostileProblem, "HTTP/1.1 401 Unauthorized\ncertgate: refused: proof_missing: No\\n\\x1b[31m. Sign it\n"},
		{"status 404", []string{"GET", "/missing"}, "", exitFailure, "404 page not found\n", "HTTP/1.1 404 Not Found\n"},
		{"redirect", []string{"GET", "/away"}, "", exitFailure, "", "HTTP/1.1 302 Found\n"},
		{"another header", []string{"GET", "/named", "--header", "X-Other"}, "", exitOK, "named\n", "HTTP/1.1 200 OK\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.args[1] = server.URL + test.args[1]
			var stdout, stderr bytes.Buffer
			code := run(t.Context(), withPair(dir, append([]string{"request"}, test.args...)...), environment{
				stdin: strings.NewReader(test.stdin), stdout: &stdout, stderr: &stderr,
			})
			if code != test.code || stdout.String() != test.stdout || stderr.String() != test.stderr {
				t.Errorf("want %d, %q and %q; found %d, %q and %q", test.code, test.stdout, test.stderr, code, stdout.String(), stderr.String())
			}
		})
	}
}

const hostileProblem = `{"title":"No\n\u001b[31m","detail":"Sign it","reason":"proof_missing"}`

func respond(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/include":
		w.Header()["Date"] = []string{"now"}
		w.Header().Set("X-Response", "yes")
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

// TestSign checks the names and the order of the header fields that sign prints.
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
			code, stdout, stderr := call(t.Context(), nil, withPair(dir, append([]string{"sign"}, test.args...)...)...)
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

// freeAddress returns a host and port that no program listens on. Where the system
// permits it, the address is one that no other test uses.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.77.0.2:0")
	if err != nil {
		l, err = net.Listen("tcp", "127.0.0.1:0")
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// TestSigningUsage checks that errors in the command line of sign, request and agent are
// reported before a request is sent, and that nothing is printed on standard output.
func TestSigningUsage(t *testing.T) {
	t.Parallel()
	dir := newPair(t)
	empty, large := filepath.Join(dir, "empty"), filepath.Join(dir, "large")
	for name, size := range map[string]int{empty: 0, large: maxInput + 1} {
		if err := os.WriteFile(name, make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	own := freeAddress(t)
	const closed, to = "http://127.0.0.1:1/", "http://127.0.0.1:1"
	for _, test := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"no server", withPair(dir, "request", "GET", closed), exitFailure, "connection refused"},
		{"no method", withPair(dir, "request", closed), exitUsage, "<url>"},
		{"bad method", withPair(dir, "sign", "G T", closed), exitUsage, "method"},
		{"no scheme", withPair(dir, "sign", "GET", "127.0.0.1:1"), exitUsage, "want http:// or https://"},
		{"another scheme", withPair(dir, "sign", "GET", "ftp://127.0.0.1/"), exitUsage, "want http:// or https://"},
		{"a password", withPair(dir, "sign", "GET", "http://a:b@127.0.0.1/"), exitUsage, "without user and fragment"},
		{"a fragment", withPair(dir, "sign", "GET", closed+"#x"), exitUsage, "without user and fragment"},
		{"special characters", withPair(dir, "sign", "GET", closed+"{id}"), exitUsage, `such as "/%7Bid%7D"`},
		{"dots", withPair(dir, "sign", "GET", closed+"a/../b"), exitUsage, "want a URL that the gateway accepts"},
		{"no such file", withPair(dir, "sign", "POST", closed, "--data", "@"+dir+"/none"), exitUsage, "no such file"},
		{"a large file", withPair(dir, "sign", "POST", closed, "--data", "@"+large), exitUsage, "want at most 1048576 bytes"},
		{"invalid header name", withPair(dir, "sign", "GET", closed, "--header", "X SSL"), exitUsage, "--header"},
		{"invalid content type", withPair(dir, "sign", "POST", closed, "--data", "x", "--content-type", "a\nb"), exitUsage, "--content-type"},
		{"no certificate", []string{"sign", "--cert", empty, "--key", dir + "/mail.key", "GET", closed}, exitUsage, "want a certificate and its private key"},
		{"another key", []string{"sign", "--cert", dir + "/mail.crt", "--key", dir + "/ca.key", "GET", closed}, exitUsage, "private key does not match"},
		{"no CA certificate", withPair(dir, "request", "GET", closed, "--ca", empty), exitUsage, "--ca"},
		{"agent without target", withPair(dir, "agent"), exitUsage, "--to"},
		{"agent with a path", withPair(dir, "agent", "--to", closed+"v1"), exitUsage, "--to: want no user, path"},
		{"agent with another scheme", withPair(dir, "agent", "--to", "unix:/x"), exitUsage, "--to: want http:// or https://"},
		{"agent to itself", withPair(dir, "agent", "--to", "http://"+own, "--listen", own), exitUsage, "--to: want the address of the gateway, not the agent's own"},
		{"agent exposed", withPair(dir, "agent", "--to", to, "--listen", "0.0.0.0:0"), exitUsage, "--exposed permits it"},
		{"agent at an address that cannot be bound", withPair(dir, "agent", "--to", to, "--listen", "192.0.2.1:1"), exitFailure, "--listen"},
		{"agent without a certificate", []string{"agent", "--to", to, "--cert", empty, "--key", empty}, exitUsage, "want a certificate and its private key"},
		{"agent with body limit 0", withPair(dir, "agent", "--to", to, "--max-body", "0"), exitUsage, "--max-body"},
		{"agent with negative drain", withPair(dir, "agent", "--to", to, "--drain", "-1s"), exitUsage, "--drain"},
		{"agent with a name with a port", withPair(dir, "agent", "--to", to, "--name", "agent:7000"), exitUsage, "--name"},
		{"agent without a header name", withPair(dir, "agent", "--to", to, "--header", ""), exitUsage, "--header"},
		{"agent without a CA certificate", withPair(dir, "agent", "--to", to, "--ca", empty), exitUsage, "--ca"},
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
