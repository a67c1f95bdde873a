package audit

import (
	"math"
	"strconv"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/buffer"
	"go.uber.org/zap/zapcore"
)

// line is a record on its way to the log, with what is needed to write it and
// can be used again.
type line struct {
	record Record
	fields [1]zap.Field // the line itself, inline
	text   []byte
}

func newLine() any {
	l := new(line)
	l.fields[0] = zap.Inline(l)
	return l
}

// texts are the record's words by their keys, which are part of the contract
// with whoever reads the log. Empty ones are left out.
func (l *line) texts() [15]struct{ key, value string } {
	r := &l.record
	return [...]struct{ key, value string }{
		{"surface", string(r.Surface)},
		{"request_id", plain(r.RequestID, maxRequestID)},
		{"client", r.Client},
		{"auth", r.Auth},
		{"method", plain(r.Method, maxMethod)},
		{"path", plain(r.Path, maxPath)},
		{"decision", string(r.Decision)},
		{"reason", string(r.Reason)},
		{"detail", plain(r.Detail, maxDetail)},
		{"would_refuse", string(r.WouldRefuse)},
		{"rule", r.Rule},
		{"key_id", r.KeyID},
		{"serial", r.Serial},
		{"source", plain(r.Source, maxSource)},
		{"upstream", r.Upstream},
	}
}

// MarshalLogObject implements [zapcore.ObjectMarshaler].
func (l *line) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	for _, t := range l.texts() {
		if t.value != "" {
			enc.AddString(t.key, t.value)
		}
	}
	r := &l.record
	if r.usesSharedKey() {
		enc.AddBool("legacy_shared_key", true)
	}
	if r.Status != 0 {
		enc.AddInt("status", r.Status)
	}
	enc.AddFloat64("duration_ms", float64(r.Duration.Microseconds())/1000)
	enc.AddInt64("bytes_in", r.BytesIn)
	enc.AddInt64("bytes_out", r.BytesOut)
	return nil
}

// lineEncoder is zap's JSON encoder, but for the line of a request, which is by
// far the most frequent: that is written in one pass, and is the same byte for
// byte.
type lineEncoder struct {
	zapcore.Encoder
	buffers buffer.Pool
}

func newEncoder() zapcore.Encoder {
	return lineEncoder{zapcore.NewJSONEncoder(encoderConfig()), buffer.NewPool()}
}

// Clone is zap's encoder: the copy is about to get fields of a logger's own.
func (e lineEncoder) Clone() zapcore.Encoder { return e.Encoder.Clone() }

// EncodeEntry implements [zapcore.Encoder].
func (e lineEncoder) EncodeEntry(entry zapcore.Entry, fields []zapcore.Field) (*buffer.Buffer, error) {
	if len(fields) == 1 && entry.LoggerName == "" {
		if l, ok := fields[0].Interface.(*line); ok && l.encode(&entry) {
			b := e.buffers.Get()
			_, err := b.Write(l.text)
			return b, err
		}
	}
	return e.Encoder.EncodeEntry(entry, fields)
}

// encode writes the line to l.text. It reports false when that takes more than
// it knows to write.
func (l *line) encode(entry *zapcore.Entry) bool {
	r := &l.record
	year := entry.Time.UTC().Year()
	if year < 1000 || year > 9999 || r.Duration < 0 || r.Duration > math.MaxInt32*time.Millisecond {
		return false
	}
	b := append(append(append(l.text[:0], `{"level":"`...), entry.Level.String()...), `","time":"`...)
	b = append(append(append(appendTime(b, entry.Time), `","msg":"`...), entry.Message...), '"')
	for _, t := range l.texts() {
		if t.value == "" {
			continue
		}
		b = append(append(append(b, ',', '"'), t.key...), `":"`...)
		var ok bool
		if b, ok = appendText(b, t.value); !ok {
			return false
		}
		b = append(b, '"')
	}
	if r.usesSharedKey() {
		b = append(b, `,"legacy_shared_key":true`...)
	}
	if r.Status != 0 {
		b = strconv.AppendInt(append(b, `,"status":`...), int64(r.Status), 10)
	}
	b = appendMilliseconds(append(b, `,"duration_ms":`...), r.Duration.Microseconds())
	b = strconv.AppendInt(append(b, `,"bytes_in":`...), r.BytesIn, 10)
	b = strconv.AppendInt(append(b, `,"bytes_out":`...), r.BytesOut, 10)
	l.text = append(b, "}\n"...)
	return true
}

// appendTime is [timeLayout], which time.Time formats more slowly.
func appendTime(b []byte, t time.Time) []byte {
	t = t.UTC()
	b = t.AppendFormat(b, time.RFC3339) // has a fast path, and ends in Z
	b[len(b)-1] = '.'
	return append(appendPadded(b, t.Nanosecond(), 9), 'Z')
}

func appendPadded(b []byte, n, width int) []byte {
	b = append(b, "000000000"[:width]...)
	for i := len(b) - 1; n > 0; i-- {
		b[i] = byte('0' + n%10)
		n /= 10
	}
	return b
}

// appendText is for printable ASCII.
func appendText(b []byte, s string) ([]byte, bool) {
	start := 0
	for i := range len(s) {
		switch c := s[i]; {
		case c < ' ' || c > '~':
			return b, false
		case c == '"' || c == '\\':
			b = append(append(b, s[start:i]...), '\\')
			start = i
		}
	}
	return append(b, s[start:]...), true
}

// appendMilliseconds is what strconv makes of the shortest decimal fraction.
func appendMilliseconds(b []byte, microseconds int64) []byte {
	b = strconv.AppendInt(b, microseconds/1000, 10)
	fraction := int(microseconds % 1000)
	if fraction == 0 {
		return b
	}
	b = appendPadded(append(b, '.'), fraction, 3)
	for b[len(b)-1] == '0' {
		b = b[:len(b)-1]
	}
	return b
}
