package config

import (
	"errors"
	"regexp"
	"strconv"
	"time"

	"github.com/dustin/go-humanize"
	"go.uber.org/zap/zapcore"

	"github.com/certgate/certgate/internal/core/identity"
)

// The errors of the types below describe the value that was found. The loader adds the
// want tag of the variable.

type timeout time.Duration

func (t *timeout) UnmarshalText(text []byte) error {
	d, err := parseDuration(string(text), 1)
	*t = timeout(d)
	return err
}

// delay is a duration of at least 0.
type delay time.Duration

func (d *delay) UnmarshalText(text []byte) error {
	parsed, err := parseDuration(string(text), 0)
	*d = delay(parsed)
	return err
}

type clockSkew time.Duration

const (
	maxSkew  = 24 * time.Hour
	longSkew = 10 * time.Minute // a longer one is valid, with a warning
)

func (s *clockSkew) UnmarshalText(text []byte) error {
	d, err := parseDuration(string(text), 0)
	if err == nil && d > maxSkew {
		err = errors.New(quote(string(text)))
	}
	*s = clockSkew(d)
	return err
}

// lifetime is a duration, or 0 for "off".
type lifetime time.Duration

func (l *lifetime) UnmarshalText(text []byte) error {
	if string(text) == "off" {
		return nil
	}
	d, err := parseDuration(string(text), 1)
	*l = lifetime(d)
	return err
}

func parseDuration(text string, minimum time.Duration) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil || d < minimum {
		return 0, errors.New(quote(text))
	}
	return d, nil
}

type rsaBits int

const (
	minRSABits  = 1024
	weakRSABits = 2048 // a shorter key is valid, with a warning
	maxRSABits  = 8192
)

func (b *rsaBits) UnmarshalText(text []byte) error {
	n, err := parseInt(string(text), minRSABits, maxRSABits)
	*b = rsaBits(n)
	return err
}

// countLimit is a limit on the number of things at a time.
type countLimit int

func (m *countLimit) UnmarshalText(text []byte) error {
	n, err := parseInt(string(text), 1, 1_000_000)
	*m = countLimit(n)
	return err
}

// failureRate is a number of failures per second; 0 means no limit.
type failureRate int

func (r *failureRate) UnmarshalText(text []byte) error {
	n, err := parseInt(string(text), 0, 1_000_000)
	*r = failureRate(n)
	return err
}

func parseInt(text string, minimum, maximum int) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < minimum || n > maximum {
		return 0, errors.New(quote(text))
	}
	return n, nil
}

type bodySize int64

func (s *bodySize) UnmarshalText(text []byte) error {
	n, err := parseSize(string(text), 1, humanize.TiByte)
	*s = bodySize(n)
	return err
}

type credentialSize int

func (s *credentialSize) UnmarshalText(text []byte) error {
	n, err := parseSize(string(text), humanize.KiByte, humanize.MiByte)
	*s = credentialSize(n)
	return err
}

// sizePattern restricts the syntax that humanize accepts: it reads "1,5MiB" as 15 MiB,
// and "1k", which is 1024 in the configuration of nginx, as 1000.
var sizePattern = regexp.MustCompile(`^[0-9]+([kKmMgGtT][iI]?)?[bB]$|^[0-9]+$`)

func parseSize(text string, minimum, maximum uint64) (int64, error) {
	if !sizePattern.MatchString(text) {
		return 0, errors.New(quote(text))
	}
	n, err := humanize.ParseBytes(text)
	if err != nil || n < minimum || n > maximum {
		return 0, errors.New(quote(text))
	}
	return int64(n), nil //nolint:gosec // maximum is far below 2^63
}

// boolean accepts only "true" and "false".
type boolean bool

func (d *boolean) UnmarshalText(text []byte) error {
	switch string(text) {
	case "true":
		*d = true
	case "false":
		*d = false
	default:
		return errors.New(quote(string(text)))
	}
	return nil
}

// identitySource is the part of a certificate that holds the client's name.
type identitySource identity.Source

func (s *identitySource) UnmarshalText(text []byte) error {
	source, err := identity.ParseSource(string(text))
	*s = identitySource(source)
	if err != nil {
		return errors.New(quote(string(text)))
	}
	return nil
}

type logLevel zapcore.Level

func (l *logLevel) UnmarshalText(text []byte) error {
	switch string(text) {
	case "debug":
		*l = logLevel(zapcore.DebugLevel)
	case "info":
		*l = logLevel(zapcore.InfoLevel)
	case "warn":
		*l = logLevel(zapcore.WarnLevel)
	case "error":
		*l = logLevel(zapcore.ErrorLevel)
	default:
		return errors.New(quote(string(text)))
	}
	return nil
}

type logFormat string

func (f *logFormat) UnmarshalText(text []byte) error {
	switch s := string(text); s {
	case "json", "console":
		*f = logFormat(s)
		return nil
	default:
		return errors.New(quote(s))
	}
}

type logFailure string

func (f *logFailure) UnmarshalText(text []byte) error {
	switch s := string(text); s {
	case "continue", "refuse":
		*f = logFailure(s)
		return nil
	default:
		return errors.New(quote(s))
	}
}

// fileName is the name of a file. The loader validates it by reading the file.
type fileName string
