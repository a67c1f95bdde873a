package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestDoctorUsage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if code, _, stderr := call(t.Context(), nil, "ca", "init", "--dir", dir); code != exitOK {
		t.Fatal(stderr)
	}
	if code, _, stderr := call(t.Context(), nil, "issue", "--client", "mail", "--ca-dir", dir); code != exitOK {
		t.Fatal(stderr)
	}
	mail, empty := filepath.Join(dir, "mail.crt"), filepath.Join(dir, "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	const closed = "http://127.0.0.1:1"
	tests := []struct {
		name string
		args []string
		code int
		want string
	}{
		{"no server", []string{"--url", closed, "--cert", mail}, exitFailure, "problem  connection: 127.0.0.1:1 does not respond"},
		{"no server, as JSON", []string{"--url", closed, "--cert", mail, "--json"}, exitFailure, `"verdict": "problem"`},
		{"no URL", []string{"--cert", mail}, exitUsage, "--url"},
		{"no certificate", []string{"--url", closed}, exitUsage, "--cert"},
		{"no scheme", []string{"--url", "127.0.0.1:1", "--cert", mail}, exitUsage, "want http:// or https:// with a host"},
		{"another scheme", []string{"--url", "ftp://127.0.0.1", "--cert", mail}, exitUsage, "want http:// or https:// with a host"},
		{"a query", []string{"--url", closed + "?a", "--cert", mail}, exitUsage, "want no user, query or fragment"},
		{"a password", []string{"--url", "http://a:b@127.0.0.1:1", "--cert", mail}, exitUsage, "want no user, query or fragment"},
		{"no such file", []string{"--url", closed, "--cert", dir + "/none"}, exitUsage, "no such file"},
		{"an empty file", []string{"--url", closed, "--cert", empty}, exitUsage, "want a certificate"},
		{"a key", []string{"--url", closed, "--cert", dir + "/mail.key"}, exitUsage, "want a certificate"},
		{"invalid header name", []string{"--url", closed, "--cert", mail, "--header", "X SSL"}, exitUsage, "--header"},
		{"no CA certificate", []string{"--url", closed, "--cert", mail, "--ca", empty}, exitUsage, "--ca"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			code, stdout, stderr := call(t.Context(), nil, append([]string{"doctor"}, test.args...)...)
			if code != test.code || !strings.Contains(stdout+stderr, test.want) {
				t.Errorf("want exit code %d and %q, found %d and %q", test.code, test.want, code, stdout+stderr)
			}
		})
	}
}

func TestEchoURL(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"https://schedule.example.com":          "https://schedule.example.com/certgate/echo",
		"https://schedule.example.com/":         "https://schedule.example.com/certgate/echo",
		"https://schedule.example.com/api/echo": "https://schedule.example.com/api/echo",
	} {
		if u, err := echoURL(text); err != nil || u.String() != want {
			t.Errorf("%s: want %s, found %v and %v", text, want, u, err)
		}
	}
}

func TestWrapText(t *testing.T) {
	t.Parallel()
	text := strings.TrimSpace(strings.Repeat("fünf ", 20))
	if found, want := wrapText(text, 9), strings.TrimSpace(strings.Repeat("fünf ", 14))+"\n         "+strings.TrimSpace(strings.Repeat("fünf ", 6)); found != want {
		t.Errorf("want %q, found %q", want, found)
	}
}
