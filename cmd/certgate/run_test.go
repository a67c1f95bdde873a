package main

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// call runs the program as main does, with the given environment variables and arguments.
func call(ctx context.Context, environ []string, args ...string) (code int, stdout, stderr string) {
	var out, err bytes.Buffer
	code = run(ctx, args, environment{environ: environ, stdin: strings.NewReader(""), stdout: &out, stderr: &err})
	return code, out.String(), err.String()
}

func TestHealth(t *testing.T) {
	t.Parallel()
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/draining", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	mux.Handle("/elsewhere", http.RedirectHandler("/healthz", http.StatusFound))
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	address := strings.TrimPrefix(server.URL, "http://")
	tests := []struct {
		name    string
		environ []string
		args    []string
		code    int
		want    string // part of the output
	}{
		{"LISTEN_ADDR", []string{"LISTEN_ADDR=" + address}, nil, exitOK, "ok"},
		{"no host in LISTEN_ADDR", []string{"LISTEN_ADDR=:" + address[strings.LastIndex(address, ":")+1:]}, nil, exitOK, "ok"},
		{"--url", nil, []string{"--url", server.URL + "/healthz"}, exitOK, "ok"},
		{"no forward proxy", []string{"HTTP_PROXY=http://127.0.0.1:1"}, []string{"--url", server.URL + "/healthz"}, exitOK, "ok"},
		{"draining", nil, []string{"--url", server.URL + "/draining"}, exitFailure, "want 200, found 503"},
		{"redirected to a healthy URL", nil, []string{"--url", server.URL + "/elsewhere"}, exitFailure, "want 200, found 302"},
		{"no scheme", nil, []string{"--url", address}, exitUsage, "--url"},
		{"another scheme", nil, []string{"--url", "file:///etc/hostname"}, exitUsage, "--url"},
		{"no host", nil, []string{"--url", "http:///healthz"}, exitUsage, "--url"},
		{"no URL", nil, []string{"--url", "http://a b/"}, exitUsage, "--url"},
		{"port 0", []string{"LISTEN_ADDR=:0"}, nil, exitUsage, "LISTEN_ADDR"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			code, stdout, stderr := call(t.Context(), test.environ, append([]string{"health"}, test.args...)...)
			if code != test.code || !strings.Contains(stdout+stderr, test.want) {
				t.Errorf("want exit code %d and %q, found %d and %q", test.code, test.want, code, stdout+stderr)
			}
		})
	}
}

func TestHealthURL(t *testing.T) {
	t.Parallel()
	for listen, want := range map[string]string{
		"":               "http://127.0.0.1:8080/healthz",
		":8080":          "http://127.0.0.1:8080/healthz",
		"0.0.0.0:80":     "http://127.0.0.1:80/healthz",
		"[::]:80":        "http://127.0.0.1:80/healthz",
		"[::1]:80":       "http://[::1]:80/healthz",
		"10.1.2.3:8080":  "http://10.1.2.3:8080/healthz",
		"localhost:8080": "http://localhost:8080/healthz",
	} {
		if found, err := healthURL(listen); err != nil || found != want {
			t.Errorf("%q: want %s, found %s and %v", listen, want, found, err)
		}
	}
}

// errClosed is the error of a write to a pipe without a reader.
var errClosed = errors.New("the pipe has no reader")

type closedPipe struct{}

func (closedPipe) Write([]byte) (int, error) { return 0, errClosed }

// TestOutputLost checks that a command fails if its output cannot be written.
func TestOutputLost(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if code, _, stderr := call(t.Context(), nil, "ca", "init", "--dir", dir); code != exitOK {
		t.Fatal(stderr)
	}
	if code, _, stderr := call(t.Context(), nil, "issue", "--client", "mail", "--ca-dir", dir); code != exitOK {
		t.Fatal(stderr)
	}
	for _, args := range [][]string{
		{"version"}, {"header", dir + "/mail.crt"},
		{"inspect", dir + "/mail.crt"}, {"inspect", "--json", dir + "/mail.crt"},
		{"keys", dir + "/ca.pub"}, {"keys", "--json", dir + "/ca.pub"},
	} {
		var stderr bytes.Buffer
		code := run(t.Context(), args, environment{stdin: strings.NewReader(""), stdout: closedPipe{}, stderr: &stderr})
		if code != exitFailure || !strings.Contains(stderr.String(), errClosed.Error()) {
			t.Errorf("%q: want exit code 1 and the error, found %d and %q", args, code, stderr.String())
		}
	}
}
