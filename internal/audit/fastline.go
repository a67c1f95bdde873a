package audit

import (
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
	b = append(b, `","msg":"`+requestMessage+`"`...)
	b, ok := rec.appendTextFields(b)
	return append(rec.appendNumbers(b), "}\n"...), ok
}

// appendTime appends a time in [timeLayout]. It reuses the formatted second of the
// previous line, because a second has many requests.
func (s *jsonCore) appendTime(b []byte, t time.Time) []byte {
	latest := s.second.Load()
	if unix := t.Unix(); latest == nil || latest.unix != unix {
		current := &formattedSecond{unix, t.UTC().Format(time.DateOnly + "T" + time.TimeOnly)}
		if latest == nil || latest.unix < unix {
			s.second.Store(current)
		}
		latest = current
	}
	return append(appendFraction(append(b, latest.text...), t.Nanosecond(), 1e9), 'Z')
}

// appendTextFields appends the texts of the record. It returns false if one contains
// other characters than printable ASCII.
func (rec *Record) appendTextFields(b []byte) ([]byte, bool) {
	fields := rec.textFields()
	for i := range fields {
		f := &fields[i]
		if f.text == "" {
			continue
		}
		var ok bool
		if b, ok = appendText(append(append(append(b, ',', '"'), f.key...), `":"`...), f.text); !ok {
			return b, false
		}
		b = append(b, '"')
	}
	return b, true
}

// appendText appends s with JSON escapes. It returns false if s contains other
// characters than printable ASCII.
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

// appendNumbers appends the fields that are not texts.
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

// appendMilliseconds appends a number of microseconds in milliseconds, with the shortest
// decimal fraction, as strconv formats it.
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

// appendFraction appends the decimal fraction n/parts with its decimal point. parts is a
// power of ten; the fraction has as many digits as parts has zeros.
func appendFraction(b []byte, n, parts int) []byte {
	point := len(b)
	b = strconv.AppendInt(b, int64(parts+n), 10)
	b[point] = '.' // replaces the leading 1
	return b
}
