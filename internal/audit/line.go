package audit

import "go.uber.org/zap/zapcore"

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

// textField is a text of the record, after the JSON between the value before it and the text.
type textField struct{ prefix, text string }

// key returns the key of the text, which prefix has between `","` and `":"`.
func (f *textField) key() string { return f.prefix[3 : len(f.prefix)-3] }

// textFields returns the texts in the order of the line, which omits empty texts. The
// keys are part of the documented log format.
func (rec *Record) textFields() [19]textField {
	return [...]textField{
		{`","surface":"`, string(rec.Surface)},
		{`","request_id":"`, rec.RequestID},
		{`","trace_id":"`, rec.TraceID},
		{`","span_id":"`, rec.SpanID},
		{`","client":"`, rec.Client},
		{`","auth":"`, rec.Auth},
		{`","method":"`, rec.Method},
		{`","path":"`, rec.Path},
		{`","decision":"`, string(rec.Decision)},
		{`","reason":"`, string(rec.Reason)},
		{`","detail":"`, rec.Detail},
		{`","would_refuse":"`, string(rec.WouldRefuse)},
		{`","next":"`, string(rec.Next)},
		{`","rule":"`, rec.Rule},
		{`","key_id":"`, rec.KeyID},
		{`","serial":"`, rec.Serial},
		{`","source":"`, rec.Source},
		{`","upstream":"`, rec.Upstream},
		{`","not_after":"`, rec.NotAfter},
	}
}

// MarshalLogObject implements [zapcore.ObjectMarshaler].
func (l *line) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	rec := (*Record)(l)
	for _, f := range rec.textFields() {
		if f.text != "" {
			enc.AddString(f.key(), f.text)
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
