package audit

import (
	"math"
	"strconv"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// shortcut is the core of a logger that writes JSON to a buffer. The line of a
// request, which is by far the most frequent, need not go through zap to get
// there: it is written in one pass, and is the same byte for byte. Every other line
// goes through the core inside, as does that of a request when there is anything
// unusual about it.
type shortcut struct {
	zapcore.Core
	buffer *Buffer
	second atomic.Pointer[second] // of the latest line
}

// second is the text of a time without its fraction.
type second struct {
	unix int64
	text string
}

// usualLine is longer than nearly every line.
const usualLine = 1 << 10

// shortcutOf is nil for a logger that has none, and for one with fields or a name of
// its own, which are in each of its lines.
func shortcutOf(log *zap.Logger) *shortcut {
	s, ok := log.Core().(*shortcut)
	if !ok || log.Name() != "" {
		return nil
	}
	return s
}

// take writes the line of a request of the level info. It reports false when it has
// written nothing and zap must see to it.
func (s *shortcut) take(rec *Record) bool {
	if !s.Enabled(zapcore.InfoLevel) {
		return false
	}
	var space [usualLine]byte
	line, ok := s.appendLine(space[:0], rec)
	if ok {
		s.buffer.put(line, rec.class())
	}
	return ok
}

// appendLine reports false when the line takes more than it knows to write.
func (s *shortcut) appendLine(b []byte, rec *Record) ([]byte, bool) {
	if rec.Time.IsZero() || !rec.fits() || rec.Duration < 0 || rec.Duration > math.MaxInt32*time.Millisecond {
		return b, false
	}
	b = s.appendTime(append(b, `{"level":"info","time":"`...), rec.Time)
	b = append(b, `","msg":"`+requestMessage+`"`...)
	b, ok := rec.appendWords(b)
	return append(rec.appendNumbers(b), "}\n"...), ok
}

// appendTime is [timeLayout]. Requests come many a second.
func (s *shortcut) appendTime(b []byte, t time.Time) []byte {
	latest := s.second.Load()
	if unix := t.Unix(); latest == nil || latest.unix != unix {
		this := &second{unix, t.UTC().Format(time.DateOnly + "T" + time.TimeOnly)}
		if latest == nil || latest.unix < unix {
			s.second.Store(this)
		}
		latest = this
	}
	return append(appendFraction(append(b, latest.text...), t.Nanosecond(), 1e9), 'Z')
}

// appendWords adds the words. It reports false when one is not printable ASCII.
func (rec *Record) appendWords(b []byte) ([]byte, bool) {
	words := rec.words()
	for i := range words {
		w := &words[i]
		if w.text == "" {
			continue
		}
		var ok bool
		if b, ok = appendText(append(append(append(b, ',', '"'), w.key...), `":"`...), w.text); !ok {
			return b, false
		}
		b = append(b, '"')
	}
	return b, true
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

// appendNumbers adds the times, booleans and numbers.
func (rec *Record) appendNumbers(b []byte) []byte {
	if !rec.NotAfter.IsZero() {
		b = append(rec.NotAfter.UTC().AppendFormat(append(b, `,"not_after":"`...), time.RFC3339), '"')
	}
	if rec.usesSharedKey() {
		b = append(b, `,"legacy_shared_key":true`...)
	}
	if rec.Status != 0 {
		b = strconv.AppendInt(append(b, `,"status":`...), int64(rec.Status), 10)
	}
	b = appendMilliseconds(append(b, `,"duration_ms":`...), rec.Duration.Microseconds())
	b = strconv.AppendInt(append(b, `,"bytes_in":`...), rec.BytesIn, 10)
	return strconv.AppendInt(append(b, `,"bytes_out":`...), rec.BytesOut, 10)
}

// appendMilliseconds is what strconv makes of the shortest decimal fraction.
func appendMilliseconds(b []byte, microseconds int64) []byte {
	b = strconv.AppendInt(b, microseconds/1000, 10)
	fraction := int(microseconds % 1000)
	if fraction == 0 {
		return b
	}
	b = appendFraction(b, fraction, 1000)
	for b[len(b)-1] == '0' {
		b = b[:len(b)-1]
	}
	return b
}

// appendFraction is the point and n of the parts of a whole, which are a power of
// ten, in as many digits as it has zeros.
func appendFraction(b []byte, n, parts int) []byte {
	point := len(b)
	b = strconv.AppendInt(b, int64(parts+n), 10)
	b[point] = '.' // was the 1 of the whole
	return b
}
