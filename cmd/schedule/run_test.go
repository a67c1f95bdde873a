package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap/zapcore"
)

func TestHelpShowsEveryVariable(t *testing.T) {
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"--help"}, nil, &out, &errs); code != exitOK || errs.Len() > 0 {
		t.Fatalf("want exit code 0 and no error, found %d %s", code, errs.String())
	}
	for _, want := range []string{"LISTEN_ADDR", "DATABASE", "LOG_LEVEL", "SHUTDOWN_TIMEOUT", "ASSERTION_JWKS_URL", "127.0.0.1:8081", "Example:", "curl"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("want %q in the help, found %s", want, out.String())
		}
	}
}

// TestRunRefuses checks the exit code and the error for each invalid setting. Each case
// differs from a valid one in one way.
func TestRunRefuses(t *testing.T) {
	for _, tt := range []struct {
		name    string
		args    []string
		environ []string
		code    int
		want    string
	}{
		{"an argument", []string{"serve"}, nil, exitUsage, "unexpected argument serve"},
		{"a flag", []string{"--port=1"}, nil, exitUsage, "unknown flag --port"},
		{"no port", nil, []string{"LISTEN_ADDR=localhost"}, exitUsage, `LISTEN_ADDR: found "localhost", want host:port`},
		{"no such port", nil, []string{"LISTEN_ADDR=:65536"}, exitUsage, `LISTEN_ADDR: found ":65536", want host:port`},
		{"an empty database", nil, []string{"DATABASE="}, exitUsage, "DATABASE: found an empty value"},
		{"unknown level", nil, []string{"LOG_LEVEL=loud"}, exitUsage, `LOG_LEVEL: found "loud", want debug`},
		{"a level that hides errors", nil, []string{"LOG_LEVEL=fatal"}, exitUsage, `LOG_LEVEL: found "fatal", want debug`},
		{"keys without issuer", nil, []string{"ASSERTION_JWKS_URL=https://a.example/", "ASSERTION_AUDIENCE=schedule"}, exitUsage, `ASSERTION_JWKS_URL: found "https://a.example/", want an http or https URL, with ASSERTION_ISSUER and ASSERTION_AUDIENCE`},
		{"keys without audience", nil, []string{"ASSERTION_JWKS_URL=https://a.example/", "ASSERTION_ISSUER=https://a.example"}, exitUsage, "ASSERTION_JWKS_URL: found"},
		{"issuer and audience without keys", nil, []string{"ASSERTION_AUDIENCE=schedule", "ASSERTION_ISSUER=https://a.example"}, exitUsage, `ASSERTION_JWKS_URL: found "", want`},
		{"keys of a file", nil, []string{"ASSERTION_JWKS_URL=file:///jwks.json", "ASSERTION_AUDIENCE=schedule", "ASSERTION_ISSUER=https://a.example"}, exitUsage, `ASSERTION_JWKS_URL: found "file:///jwks.json", want`},
		{"empty keys", nil, []string{"ASSERTION_JWKS_URL="}, exitUsage, "ASSERTION_JWKS_URL: found an empty value"},
		{"empty issuer", nil, []string{"ASSERTION_ISSUER="}, exitUsage, "ASSERTION_ISSUER: found an empty value"},
		{"empty audience", nil, []string{"ASSERTION_AUDIENCE="}, exitUsage, "ASSERTION_AUDIENCE: found an empty value"},
		{"invalid duration", nil, []string{"SHUTDOWN_TIMEOUT=30"}, exitUsage, `SHUTDOWN_TIMEOUT: found "30", want a positive duration`},
		{"no timeout", nil, []string{"SHUTDOWN_TIMEOUT=0s"}, exitUsage, `SHUTDOWN_TIMEOUT: found "0s", want a positive duration`},
		{"no directory", nil, []string{"DATABASE=" + filepath.Join(t.TempDir(), "nowhere", "x.db")}, exitFailure, "unable to open database file"},
		{"no such address", nil, []string{"DATABASE=" + filepath.Join(t.TempDir(), "x.db"), "LISTEN_ADDR=192.0.2.1:0"}, exitFailure, "listen tcp 192.0.2.1:0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out, errs bytes.Buffer
			if code := run(t.Context(), tt.args, tt.environ, &out, &errs); code != tt.code || !strings.Contains(errs.String(), tt.want) {
				t.Errorf("want exit %d and %q, found %d %s", tt.code, tt.want, code, errs.String())
			}
		})
	}
}

func TestEveryFaultAtOnce(t *testing.T) {
	_, err := loadSettings(map[string]string{"LISTEN_ADDR": "x", "DATABASE": "", "LOG_LEVEL": "x", "SHUTDOWN_TIMEOUT": "x"})
	if err == nil {
		t.Fatal("want faults, found none")
	}
	var found []string
	for line := range strings.Lines(err.Error()) {
		name, _, _ := strings.Cut(line, ":")
		found = append(found, name)
	}
	if diff := cmp.Diff([]string{"LISTEN_ADDR", "DATABASE", "LOG_LEVEL", "SHUTDOWN_TIMEOUT"}, found); diff != "" {
		t.Error(diff)
	}
}

func TestDefaults(t *testing.T) {
	got, err := loadSettings(nil)
	want := settings{ListenAddr: "127.0.0.1:8081", Database: "schedule.db", LogLevel: zapcore.InfoLevel, ShutdownTimeout: 30 * time.Second}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Error(diff, err)
	}
}

// TestServeAndStop checks that the program serves on the address in its log, and ends when
// its context ends.
func TestServeAndStop(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	reader, writer := io.Pipe()
	code := make(chan int, 1)
	go func() {
		defer func() { _ = writer.Close() }()
		code <- run(ctx, nil, []string{"LISTEN_ADDR=127.0.0.1:0", "DATABASE=" + filepath.Join(t.TempDir(), "x.db")}, io.Discard, writer)
	}()
	lines := bufio.NewScanner(reader)
	if !lines.Scan() {
		t.Fatalf("want a line in the log, found none: exit %d", <-code)
	}
	var line struct{ Msg, Addr string }
	if err := json.Unmarshal(lines.Bytes(), &line); err != nil || line.Msg != "listening" {
		t.Fatalf("want the listening line, found %s", lines.Text())
	}
	rest := make(chan struct{})
	go func() {
		defer close(rest)
		_, _ = io.Copy(io.Discard, reader) // the log must not block the program
	}()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+line.Addr+"/healthz", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	if err := response.Body.Close(); err != nil || response.StatusCode != http.StatusOK {
		t.Errorf("want 200, found %d, %v", response.StatusCode, err)
	}
	stop()
	if got := <-code; got != exitOK {
		t.Errorf("want exit 0, found %d", got)
	}
	<-rest
}
