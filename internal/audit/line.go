package audit

import (
	"time"

	"go.uber.org/zap/zapcore"
)

// line is a record on its way through zap.
type line Record

// newLine is what may be written of the record.
func newLine(rec *Record) *line {
	l := line(*rec)
	l.RequestID, l.Method, l.Path = plain(l.RequestID, maxRequestID), plain(l.Method, maxMethod), plain(l.Path, maxPath)
	l.Detail, l.Source = plain(l.Detail, maxDetail), plain(l.Source, maxSource)
	return &l
}

// fits reports whether no untrusted text is too long.
func (rec *Record) fits() bool {
	return len(rec.RequestID) <= maxRequestID && len(rec.Method) <= maxMethod && len(rec.Path) <= maxPath &&
		len(rec.Detail) <= maxDetail && len(rec.Source) <= maxSource
}

// word is a text of the record and its key.
type word struct{ key, text string }

// words are in the order of the line. Their keys are part of the contract with
// whoever reads the log. Empty ones are left out.
func (rec *Record) words() [15]word {
	return [...]word{
		{"surface", string(rec.Surface)},
		{"request_id", rec.RequestID},
		{"client", rec.Client},
		{"auth", rec.Auth},
		{"method", rec.Method},
		{"path", rec.Path},
		{"decision", string(rec.Decision)},
		{"reason", string(rec.Reason)},
		{"detail", rec.Detail},
		{"would_refuse", string(rec.WouldRefuse)},
		{"rule", rec.Rule},
		{"key_id", rec.KeyID},
		{"serial", rec.Serial},
		{"source", rec.Source},
		{"upstream", rec.Upstream},
	}
}

// MarshalLogObject implements [zapcore.ObjectMarshaler].
func (l *line) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	rec := (*Record)(l)
	for _, w := range rec.words() {
		if w.text != "" {
			enc.AddString(w.key, w.text)
		}
	}
	if !rec.NotAfter.IsZero() {
		enc.AddString("not_after", rec.NotAfter.UTC().Format(time.RFC3339))
	}
	if rec.usesSharedKey() {
		enc.AddBool("legacy_shared_key", true)
	}
	if rec.Status != 0 {
		enc.AddInt("status", rec.Status)
	}
	enc.AddFloat64("duration_ms", float64(rec.Duration.Microseconds())/1000)
	enc.AddInt64("bytes_in", rec.BytesIn)
	enc.AddInt64("bytes_out", rec.BytesOut)
	return nil
}
