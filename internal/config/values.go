package config

import (
	"errors"
	"regexp"
	"strconv"
	"time"

	"github.com/dustin/go-humanize"
	"go.uber.org/zap/zapcore"
)

// The errors of the types below say what was found; the want tag of the
// variable completes the sentence.

type timeout time.Duration

func (t *timeout) UnmarshalText(text []byte) error {
	d, err := duration(string(text), 1)
	*t = timeout(d)
	return err
}

// delay is a duration that may be 0.
type delay time.Duration

func (d *delay) UnmarshalText(text []byte) error {
	parsed, err := duration(string(text), 0)
	*d = delay(parsed)
	return err
}

type skew time.Duration

const (
	maxSkew  = 24 * time.Hour
	longSkew = 10 * time.Minute // above it there is a warning
)

func (s *skew) UnmarshalText(text []byte) error {
	d, err := duration(string(text), 0)
	if err == nil && d > maxSkew {
		err = errors.New(quote(string(text)))
	}
	*s = skew(d)
	return err
}

// lifetime is 0 when off.
type lifetime time.Duration

func (l *lifetime) UnmarshalText(text []byte) error {
	if string(text) == "off" {
		return nil
	}
	d, err := duration(string(text), 1)
	*l = lifetime(d)
	return err
}

func duration(text string, least time.Duration) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil || d < least {
		return 0, errors.New(quote(text))
	}
	return d, nil
}

type rsaBits int

const (
	minRSABits  = 1024
	weakRSABits = 2048 // below it there is a warning
	maxRSABits  = 8192
)

func (b *rsaBits) UnmarshalText(text []byte) error {
	n, err := whole(string(text), minRSABits, maxRSABits)
	*b = rsaBits(n)
	return err
}

// most is how many of something there may be at a time.
type most int

func (m *most) UnmarshalText(text []byte) error {
	n, err := whole(string(text), 1, 1_000_000)
	*m = most(n)
	return err
}

// failureRate is 0 when off.
type failureRate int

func (r *failureRate) UnmarshalText(text []byte) error {
	n, err := whole(string(text), 0, 1_000_000)
	*r = failureRate(n)
	return err
}

func whole(text string, least, most int) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < least || n > most {
		return 0, errors.New(quote(text))
	}
	return n, nil
}

type bodySize int64

func (s *bodySize) UnmarshalText(text []byte) error {
	n, err := size(string(text), 1, humanize.TiByte)
	*s = bodySize(n)
	return err
}

type credentialSize int

func (s *credentialSize) UnmarshalText(text []byte) error {
	n, err := size(string(text), humanize.KiByte, humanize.MiByte)
	*s = credentialSize(n)
	return err
}

// sizeForm is what humanize may read. It would also take "1,5MiB" for 15 MiB
// and the "1k" of nginx, which is 1024, for 1000.
var sizeForm = regexp.MustCompile(`^[0-9]+([kKmMgGtT][iI]?)?[bB]$|^[0-9]+$`)

func size(text string, least, most uint64) (int64, error) {
	if !sizeForm.MatchString(text) {
		return 0, errors.New(quote(text))
	}
	n, err := humanize.ParseBytes(text)
	if err != nil || n < least || n > most {
		return 0, errors.New(quote(text))
	}
	return int64(n), nil //nolint:gosec // most is far below 2^63
}

// decision is spelled in one way only.
type decision bool

func (d *decision) UnmarshalText(text []byte) error {
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

type level zapcore.Level

func (l *level) UnmarshalText(text []byte) error {
	switch string(text) {
	case "debug":
		*l = level(zapcore.DebugLevel)
	case "info":
		*l = level(zapcore.InfoLevel)
	case "warn":
		*l = level(zapcore.WarnLevel)
	case "error":
		*l = level(zapcore.ErrorLevel)
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

// path is the name of a file. It is checked by reading the file.
type path string
