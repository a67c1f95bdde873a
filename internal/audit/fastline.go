package audit

import (
	"encoding/binary"
	"math"
	"strconv"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// jsonCore is the core of a logger that writes JSON to a buffer. It serializes the line
// of a request directly, without zap's encoder, to the same bytes; nearly all lines are
// of this kind. The inner core writes all other lines, and the lines of requests with
// unusual values.
type jsonCore struct {
	zapcore.Core
	buffer *Buffer
	second atomic.Pointer[formattedSecond] // the second of the latest line
}

// formattedSecond is a formatted time without its fraction.
type formattedSecond struct {
	unix int64
	text string
}

// typicalLineSize is greater than the size of nearly every line, in bytes.
const typicalLineSize = 1 << 10

// jsonCoreOf returns the jsonCore of a logger. It returns nil for a logger without one,
// and for a logger with fields or a name, because they are part of each line.
func jsonCoreOf(log *zap.Logger) *jsonCore {
	s, ok := log.Core().(*jsonCore)
	if !ok || log.Name() != "" {
		return nil
	}
	return s
}

// writeRecord writes the line of a request at the level info. It returns false without
// writing if the line needs zap.
func (s *jsonCore) writeRecord(rec *Record) bool {
	if !s.Enabled(zapcore.InfoLevel) {
		return false
	}
	var space [typicalLineSize]byte
	line, ok := s.appendLine(space[:0], rec)
	if ok {
		s.buffer.put(line, rec.class())
	}
	return ok
}

// appendLine appends the line of a record. It returns false if a value needs zap's
// encoder.
func (s *jsonCore) appendLine(b []byte, rec *Record) ([]byte, bool) {
	if rec.Time.IsZero() || !rec.fits() || rec.Duration < 0 || rec.Duration > math.MaxInt32*time.Millisecond {
		return b, false
	}
	b = s.appendTime(append(b, `{"level":"info","time":"`...), rec.Time)
	texts := rec.texts()
	b, ok := appendTexts(append(b, `","msg":"`+requestMessage...), texts[:])
	return append(rec.appendNumbers(append(b, '"')), "}\n"...), ok
}

// appendTime appends a time in [timeLayout]. It reuses the formatted second of the
// previous line, because a second has many requests.
func (s *jsonCore) appendTime(b []byte, t time.Time) []byte {
	second := s.second.Load()
	if second == nil || second.unix != t.Unix() {
		second = s.formatSecond(t)
	}
	return append(appendFraction(append(b, second.text...), t.Nanosecond(), 9), 'Z')
}

// formatSecond formats a time without its fraction. It stores the result unless that of a later
// line is stored.
func (s *jsonCore) formatSecond(t time.Time) *formattedSecond {
	current := &formattedSecond{t.Unix(), t.UTC().Format(time.DateOnly + "T" + time.TimeOnly)}
	if latest := s.second.Load(); latest == nil || latest.unix < current.unix {
		s.second.Store(current)
	}
	return current
}

// appendTexts appends texts with their prefixes, without the quote after the last text. It
// returns false if one contains other characters than printable ASCII.
func appendTexts(b []byte, texts []string) (_ []byte, ok bool) {
	for i, text := range texts {
		if text == "" {
			continue
		}
		b = append(b, prefixes[i]...)
		if isPlain(text) {
			b = append(b, text...)
		} else if b, ok = appendEscaped(b, text); !ok {
			return b, false
		}
	}
	return b, true
}

// isPlain reports whether s consists of printable ASCII characters that JSON does not escape.
func isPlain(s string) bool {
	for ; len(s) >= 8; s = s[8:] {
		if !isPlainWord(binary.LittleEndian.Uint64([]byte(s[:8]))) {
			return false
		}
	}
	word := uint64(' ' * ones)
	for i := range len(s) {
		word = word<<8 | uint64(s[i])
	}
	return isPlainWord(word)
}

// ones has the value 1 in each byte.
const ones = 0x0101010101010101

// isPlainWord does the same as isPlain for eight bytes. The top bit of a byte is set in w for a
// byte above 0x7f, in w+ones for 0x7f, in w-ones*' ' for a byte below a space, and in the other
// terms for a quote and a backslash. A carry or borrow that sets the top bit of another byte
// comes from one of these bytes.
func isPlainWord(w uint64) bool {
	return (w|(w+ones)|(w-ones*' ')|(w^ones*'"'-ones)|(w^ones*'\\'-ones))&(ones*0x80) == 0
}

// appendEscaped appends s with JSON escapes. It returns false if s contains other characters
// than printable ASCII.
func appendEscaped(b []byte, s string) ([]byte, bool) {
	for i := range len(s) {
		switch c := s[i]; {
		case c < ' ' || c > '~':
			return b, false
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		default:
			b = append(b, c)
		}
	}
	return b, true
}

// appendNumbers appends the fields that are not texts.
func (rec *Record) appendNumbers(b []byte) []byte {
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

// appendMilliseconds appends a number of microseconds in milliseconds, with the shortest
// decimal fraction, as strconv formats it.
func appendMilliseconds(b []byte, microseconds int64) []byte {
	b = strconv.AppendInt(b, microseconds/1000, 10)
	fraction := int(microseconds % 1000)
	if fraction == 0 {
		return b
	}
	b = appendFraction(b, fraction, 3)
	for b[len(b)-1] == '0' {
		b = b[:len(b)-1]
	}
	return b
}

// appendFraction appends the decimal fraction with the value n and the given number of digits,
// with its decimal point. n has at most as many digits.
func appendFraction(b []byte, n, digits int) []byte {
	b = append(b, ".000000000"[:1+digits]...)
	for i := len(b) - 1; n > 0; i-- {
		b[i] = "0123456789"[n%10]
		n /= 10
	}
	return b
}
