package audit

import (
	"strings"

	"go.uber.org/zap/zapcore"
)

// line is a record with sanitized texts, as zap encodes it.
type line Record

// newLine returns the line of a record.
func newLine(rec *Record) *line {
	l := line(rec.Sanitized())
	return &l
}

// Sanitized returns a copy of the record whose untrusted texts are printable ASCII and not
// longer than in the line.
func (rec *Record) Sanitized() Record {
	c := *rec
	c.RequestID, c.Method, c.Path = sanitize(c.RequestID, maxRequestID), sanitize(c.Method, maxMethod), sanitize(c.Path, maxPath)
	c.Detail, c.Source = sanitize(c.Detail, maxDetail), sanitize(c.Source, maxSource)
	return c
}

// fits reports whether every untrusted text is within its length limit.
func (rec *Record) fits() bool {
	return len(rec.RequestID) <= maxRequestID && len(rec.Method) <= maxMethod && len(rec.Path) <= maxPath &&
		len(rec.Detail) <= maxDetail && len(rec.Source) <= maxSource
}

// prefixes has the JSON before each text of a record, from the end of the value before it. The
// keys and their order are part of the documented log format.
var prefixes = [...]string{
	`","surface":"`, `","request_id":"`, `","trace_id":"`, `","span_id":"`, `","client":"`, `","auth":"`, `","method":"`, `","path":"`,
	`","decision":"`, `","reason":"`, `","detail":"`, `","would_refuse":"`, `","next":"`,
	`","rule":"`, `","key_id":"`, `","serial":"`, `","source":"`, `","upstream":"`, `","not_after":"`,
}

// texts returns the texts that follow the prefixes. The line omits empty ones.
func (rec *Record) texts() [len(prefixes)]string {
	return [...]string{
		string(rec.Surface), rec.RequestID, rec.TraceID, rec.SpanID, rec.Client, rec.Auth, rec.Method, rec.Path,
		string(rec.Decision), string(rec.Reason), rec.Detail, string(rec.WouldRefuse), string(rec.Next),
		rec.Rule, rec.KeyID, rec.Serial, rec.Source, rec.Upstream, rec.NotAfter,
	}
}

// MarshalLogObject implements [zapcore.ObjectMarshaler].
func (l *line) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	rec := (*Record)(l)
	for i, text := range rec.texts() {
		if text != "" {
			enc.AddString(strings.Trim(prefixes[i], `",:`), text)
		}
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
