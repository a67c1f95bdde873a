// Package settings reads the environment of the schedule service.
package settings

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/caarlos0/env/v11"
	"go.uber.org/zap/zapcore"
)

// variables holds the environment variables as text, so that every fault can name its
// variable.
type variables struct {
	ListenAddr      string `env:"LISTEN_ADDR" envDefault:"127.0.0.1:8081" help:"the address to listen on; port 0 selects a free port, which is logged"`
	Database        string `env:"DATABASE" envDefault:"schedule.db" help:"the SQLite file; it is created if it does not exist"`
	LogLevel        string `env:"LOG_LEVEL" envDefault:"info" help:"debug, info, warn or error"`
	ShutdownTimeout string `env:"SHUTDOWN_TIMEOUT" envDefault:"30s" help:"how long open requests may take after SIGTERM"`

	KeySetURL string `env:"ASSERTION_JWKS_URL" help:"the gateway's /.well-known/jwks.json; if set, requests for /events need an assertion that the gateway signed; https, or http in a trusted network"`
	Issuer    string `env:"ASSERTION_ISSUER" help:"ASSERTION_ISSUER of the gateway; required with ASSERTION_JWKS_URL"`
	Audience  string `env:"ASSERTION_AUDIENCE" help:"ASSERTION_AUDIENCE of the gateway; required with ASSERTION_JWKS_URL"`
}

// Settings is the checked configuration.
type Settings struct {
	ListenAddr      string
	Database        string
	LogLevel        zapcore.Level
	ShutdownTimeout time.Duration

	// KeySetURL is empty if assertions are not verified.
	KeySetURL, Issuer, Audience string
}

// Load reads the environment. Its error contains every fault, one per line, with
// the name of the variable. An empty variable is a fault, because it is probably a mistake
// of the operator.
func Load(environ map[string]string) (Settings, error) {
	var v variables
	if err := env.ParseWithOptions(&v, env.Options{Environment: environ}); err != nil {
		return Settings{}, err
	}
	s := Settings{ListenAddr: v.ListenAddr, Database: v.Database, KeySetURL: v.KeySetURL, Issuer: v.Issuer, Audience: v.Audience}
	var faults []error
	check := func(name, value, want string, ok func(string) bool) {
		if given, set := environ[name]; set && given == "" {
			faults = append(faults, fmt.Errorf("%s: found an empty value, want %s, or leave the variable unset", name, want))
		} else if !ok(value) {
			faults = append(faults, fmt.Errorf("%s: found %q, want %s", name, value, want))
		}
	}
	check("LISTEN_ADDR", v.ListenAddr, "host:port such as 127.0.0.1:8081", isAddress)
	check("DATABASE", v.Database, "the path of a file", func(s string) bool { return !strings.ContainsRune(s, 0) })
	check("LOG_LEVEL", v.LogLevel, "debug, info, warn or error", func(text string) bool {
		level, err := zapcore.ParseLevel(text)
		s.LogLevel = level
		return err == nil && level <= zapcore.ErrorLevel
	})
	check("SHUTDOWN_TIMEOUT", v.ShutdownTimeout, "a positive duration such as 30s", func(text string) bool {
		d, err := time.ParseDuration(text)
		s.ShutdownTimeout = d
		return err == nil && d > 0
	})
	together := (v.Issuer != "") == (v.KeySetURL != "") && (v.Audience != "") == (v.KeySetURL != "")
	check("ASSERTION_JWKS_URL", v.KeySetURL, "an http or https URL, with ASSERTION_ISSUER and ASSERTION_AUDIENCE", func(text string) bool {
		return together && (text == "" || isWebURL(text))
	})
	check("ASSERTION_ISSUER", v.Issuer, "the issuer", func(string) bool { return true })
	check("ASSERTION_AUDIENCE", v.Audience, "the audience", func(string) bool { return true })
	return s, errors.Join(faults...)
}

func isWebURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}

func isAddress(s string) bool {
	_, port, err := net.SplitHostPort(s)
	if err != nil {
		return false
	}
	_, err = strconv.ParseUint(port, 10, 16)
	return err == nil
}

// WriteHelp writes the text of schedule --help.
func WriteHelp(w io.Writer) error {
	_, err := io.WriteString(w, `Usage: schedule

Stores the events of all applications and shows them on a page at /.

With ASSERTION_JWKS_URL it accepts only requests that the gateway has signed. Without, it
trusts the X-Client-Id header, so it must be reachable through the gateway only.

Environment variables:
`)
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, line := range helpLines() {
		_, _ = fmt.Fprintln(table, line) // Flush returns the error
	}
	if err := table.Flush(); err != nil {
		return err
	}
	_, err = io.WriteString(w, `
Example:
  LISTEN_ADDR=127.0.0.1:8081 DATABASE=/var/lib/schedule/schedule.db schedule

  curl -H 'X-Client-Id: mail' -H 'Content-Type: application/json' \
    -d '{"event":{"start_time":"2013-08-01T16:20:00+00:00","end_time":"2013-08-01T18:20:00+00:00","name":"Meeting"}}' \
    http://127.0.0.1:8081/events

Exit codes: 0 after SIGTERM, 1 after a failure, 2 for a wrong setting.
`)
	return err
}

// helpLines returns one line with tab-separated columns for each field of variables.
func helpLines() []string {
	var lines []string
	for field := range reflect.TypeFor[variables]().Fields() {
		lines = append(lines, fmt.Sprintf("  %s\t%s\t%s",
			field.Tag.Get("env"), field.Tag.Get("envDefault"), field.Tag.Get("help")))
	}
	return lines
}
