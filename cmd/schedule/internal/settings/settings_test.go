package settings

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap/zapcore"
)

func TestHelpShowsEveryVariable(t *testing.T) {
	var out bytes.Buffer
	if err := WriteHelp(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"LISTEN_ADDR", "DATABASE", "LOG_LEVEL", "SHUTDOWN_TIMEOUT", "ASSERTION_JWKS_URL", "127.0.0.1:8081", "Example:", "curl"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("want %q in the help, found %s", want, out.String())
		}
	}
}

// TestInvalidSettings checks the error for each invalid setting. Each case differs from a
// valid one in one way.
func TestInvalidSettings(t *testing.T) {
	for _, tt := range []struct {
		name    string
		environ map[string]string
		want    string
	}{
		{"no port", map[string]string{"LISTEN_ADDR": "localhost"}, `LISTEN_ADDR: found "localhost", want host:port`},
		{"no such port", map[string]string{"LISTEN_ADDR": ":65536"}, `LISTEN_ADDR: found ":65536", want host:port`},
		{"an empty database", map[string]string{"DATABASE": ""}, "DATABASE: found an empty value"},
		{"unknown level", map[string]string{"LOG_LEVEL": "loud"}, `LOG_LEVEL: found "loud", want debug`},
		{"a level that hides errors", map[string]string{"LOG_LEVEL": "fatal"}, `LOG_LEVEL: found "fatal", want debug`},
		{"keys without issuer", map[string]string{"ASSERTION_JWKS_URL": "https://a.example/", "ASSERTION_AUDIENCE": "schedule"}, `ASSERTION_JWKS_URL: found "https://a.example/", want an http or https URL, with ASSERTION_ISSUER and ASSERTION_AUDIENCE`},
		{"keys without audience", map[string]string{"ASSERTION_JWKS_URL": "https://a.example/", "ASSERTION_ISSUER": "https://a.example"}, "ASSERTION_JWKS_URL: found"},
		{"issuer and audience without keys", map[string]string{"ASSERTION_AUDIENCE": "schedule", "ASSERTION_ISSUER": "https://a.example"}, `ASSERTION_JWKS_URL: found "", want`},
		{"keys of a file", map[string]string{"ASSERTION_JWKS_URL": "file:///jwks.json", "ASSERTION_AUDIENCE": "schedule", "ASSERTION_ISSUER": "https://a.example"}, `ASSERTION_JWKS_URL: found "file:///jwks.json", want`},
		{"empty keys", map[string]string{"ASSERTION_JWKS_URL": ""}, "ASSERTION_JWKS_URL: found an empty value"},
		{"empty issuer", map[string]string{"ASSERTION_ISSUER": ""}, "ASSERTION_ISSUER: found an empty value"},
		{"empty audience", map[string]string{"ASSERTION_AUDIENCE": ""}, "ASSERTION_AUDIENCE: found an empty value"},
		{"invalid duration", map[string]string{"SHUTDOWN_TIMEOUT": "30"}, `SHUTDOWN_TIMEOUT: found "30", want a positive duration`},
		{"no timeout", map[string]string{"SHUTDOWN_TIMEOUT": "0s"}, `SHUTDOWN_TIMEOUT: found "0s", want a positive duration`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := Load(tt.environ); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("want %q, found %v", tt.want, err)
			}
		})
	}
}

func TestEveryFaultAtOnce(t *testing.T) {
	_, err := Load(map[string]string{"LISTEN_ADDR": "x", "DATABASE": "", "LOG_LEVEL": "x", "SHUTDOWN_TIMEOUT": "x"})
	if err == nil {
		t.Fatal("want faults, found none")
	}
	var found []string
	for line := range strings.Lines(err.Error()) {
		name, _, _ := strings.Cut(line, ":")
		found = append(found, name)
	}
	if want := []string{"LISTEN_ADDR", "DATABASE", "LOG_LEVEL", "SHUTDOWN_TIMEOUT"}; !slices.Equal(found, want) {
		t.Errorf("want faults of %q, found %q", want, found)
	}
}

func TestDefaults(t *testing.T) {
	got, err := Load(nil)
	want := Settings{ListenAddr: "127.0.0.1:8081", Database: "schedule.db", LogLevel: zapcore.InfoLevel, ShutdownTimeout: 30 * time.Second}
	if got != want || err != nil {
		t.Errorf("want %+v, found %+v, %v", want, got, err)
	}
}
