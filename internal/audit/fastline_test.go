package audit

import (
	"bytes"
	"fmt"
	"math"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/certgate/certgate/internal/core/refusal"
)

// usual returns a record of an allowed request.
func usual() *Record {
	return &Record{
		Time: time.Unix(1795305600, 5).In(time.FixedZone("", 3600)), RequestID: "r-1", Client: "mail", Auth: "bearer", Method: "POST",
		Path: "/events", Rule: "apps", KeyID: "0123456789abcdef", Serial: "4f3a09", NotAfter: "2027-01-15T08:00:00Z", Source: "192.0.2.7", Decision: Allowed,
		Status: 201, Duration: 1234567, BytesIn: 120, BytesOut: 45,
	}
}

// recording returns a recorder that writes JSON through a buffer.
func recording(b *Buffer) (*Recorder, *zap.Logger, zap.AtomicLevel) {
	log, level := NewBufferedLogger(zapcore.InfoLevel, "json", b)
	return New(log, prometheus.NewRegistry()), log, level
}

// byZap returns the line as zap's encoder writes it.
func byZap(t *testing.T, rec *Record) string {
	t.Helper()
	entry := zapcore.Entry{Level: zapcore.InfoLevel, Time: rec.Time, Message: requestMessage}
	b, err := newEncoder("json").EncodeEntry(entry, []zapcore.Field{zap.Inline(newLine(rec))})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// FuzzLine compares directly serialized lines with those of zap's encoder.
func FuzzLine(f *testing.F) {
	f.Add("r-1", "mail", "/events", "", "apps", int64(1795305600), int64(0), int64(1500), int64(120), 201)
	f.Add("r-1", "", "/a\n", `issuer "CN=\x"`, "", int64(0), int64(5), int64(0), int64(-1), 0)
	f.Add("", "", "", "", "Regel für Post", int64(-1), int64(999999999), int64(999), int64(math.MaxInt64), 599)
	f.Add("", "", "", "\x7f", "a\xffb", int64(253402300800), int64(1), int64(math.MaxInt64/1000), int64(0), 1)
	f.Add(strings.Repeat("i", 200), "\u2028", strings.Repeat("\\", 300), "", "\t\r", int64(-62135596800), int64(0), int64(5), int64(7), -1)
	f.Add("r-1", "mail", "/events", "", "apps", int64(253402300800), int64(0), int64(1500), int64(120), 201)
	f.Fuzz(func(t *testing.T, id, client, path, detail, rule string, seconds, nanoseconds, microseconds, bytes int64, status int) {
		rec := usual()
		rec.Surface, rec.Decision, rec.Reason, rec.WouldRefuse = Verify, Refused, refusal.AccessDenied, refusal.ProofMissing
		rec.RequestID, rec.Client, rec.Path, rec.Detail, rec.Rule, rec.Status = id, client, path, detail, rule, status
		rec.Time = time.Unix(seconds, nanoseconds).In(rec.Time.Location())
		rec.Duration = time.Duration(microseconds) * time.Microsecond
		rec.BytesIn, rec.BytesOut, rec.SharedKey = bytes, -bytes, bytes%2 == 0
		var s jsonCore
		for range 2 { // the second iteration uses the cached second
			if have, ok := s.appendLine(nil, rec); ok && string(have) != byZap(t, rec) {
				t.Errorf("%s, want\n%s", have, byZap(t, rec))
			}
		}
	})
}

// TestWriteRecord checks which lines are serialized directly, and that they equal the
// lines of zap's encoder.
func TestWriteRecord(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Record)
		want   bool
	}{
		{"allowed", func(*Record) {}, true},
		{"refused", func(r *Record) {
			r.Decision, r.Reason, r.Detail = Refused, refusal.AccessDenied, `issuer "CN=certgate CA"`
		}, true},
		{"decision for a proxy, observed", func(r *Record) { r.Surface, r.WouldRefuse, r.SharedKey = Verify, refusal.ProofMissing, true }, true},
		{"longest texts", func(r *Record) { r.Path, r.Detail = strings.Repeat("x", maxPath), strings.Repeat(`"`, maxDetail) }, true},
		{"longer than most lines", func(r *Record) { r.Rule = strings.Repeat("x", 2*typicalLineSize) }, true},
		{"without a time", func(r *Record) { r.Time = time.Time{} }, false},
		{"negative duration", func(r *Record) { r.Duration = -1 }, false},
		{"longest duration", func(r *Record) { r.Duration = math.MaxInt64 }, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out sink
			b := NewBuffer(&out, Continue)
			r, _, _ := recording(b)
			rec := usual()
			tt.change(rec)
			if have := r.jsonCore.writeRecord(rec); have != tt.want {
				t.Fatalf("written directly: %v, want %v", have, tt.want)
			}
			if err := b.Close(); err != nil {
				t.Fatal(err)
			}
			if have := out.String(); tt.want && have != byZap(t, rec) || !tt.want && have != "" {
				t.Errorf("line %q, want zap's: %v", have, tt.want)
			}
		})
	}
}

// TestIsPlain compares isPlain with a simple definition, for each byte at each position of
// texts of several lengths.
func TestIsPlain(t *testing.T) {
	for length := range 18 {
		if s := strings.Repeat("~", length); !isPlain(s) {
			t.Errorf("%q is not plain, want plain", s)
		}
		for i := range length {
			for c := range 256 {
				text := bytes.Repeat([]byte(" "), length)
				text[i] = byte(c)
				want := isPrintableASCII(string(text)) && c != '"' && c != '\\'
				if have := isPlain(string(text)); have != want {
					t.Errorf("%q is plain: %v, want %v", text, have, want)
				}
			}
		}
	}
}

// TestEveryText checks with different texts in every field that the lines of a buffered
// logger equal those of an unbuffered one.
func TestEveryText(t *testing.T) {
	texts := []string{"", string(Failed), string(refusal.Internal), `a"b\c`, "a\nb", "\x7f", "für", "\u2028", "a\xff", "<&>"}
	for _, limit := range []int{maxMethod, maxSource, maxRequestID, maxPath, maxDetail} {
		texts = append(texts, strings.Repeat("x", limit), strings.Repeat("x", limit+1))
	}
	var direct, through bytes.Buffer
	b := NewBuffer(&direct, Continue)
	r, _, _ := recording(b)
	log, _ := NewLogger(zapcore.InfoLevel, "json", zapcore.AddSync(&through))
	other := New(log, prometheus.NewRegistry())
	for field := range reflect.TypeFor[Record]().NumField() {
		for _, text := range texts {
			rec := usual()
			f := reflect.ValueOf(rec).Elem().Field(field)
			if f.Kind() != reflect.String {
				continue
			}
			f.SetString(text)
			r.Record(rec)
			other.Record(rec)
		}
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if direct.String() != through.String() || direct.Len() == 0 {
		t.Errorf("%s, want\n%s", &direct, &through)
	}
}

// TestTimesOutOfOrder checks the cached second with lines that are not in the order of
// time.
func TestTimesOutOfOrder(t *testing.T) {
	var s jsonCore
	for _, after := range []time.Duration{0, 1, time.Second - 5, time.Second, 999999994, -1, time.Hour, -time.Hour, 2 * time.Hour, time.Hour + 1} {
		rec := usual()
		rec.Time = rec.Time.Add(after)
		if have, ok := s.appendLine(nil, rec); !ok || string(have) != byZap(t, rec) {
			t.Errorf("after %v: %v, %s, want\n%s", after, ok, have, byZap(t, rec))
		}
	}
	if want := usual().Time.Add(2 * time.Hour).Unix(); s.second.Load().unix != want {
		t.Errorf("cached second %d, want the latest, %d", s.second.Load().unix, want)
	}
}

// TestJSONCoreOf checks that lines of loggers with additional fields, names or hooks go
// through zap.
func TestJSONCoreOf(t *testing.T) {
	tests := []struct {
		name   string
		format string
		change func(*zap.Logger) *zap.Logger
		want   string // in the line
		direct bool
	}{
		{"the logger of the program", "json", func(l *zap.Logger) *zap.Logger { return l }, `"decision":"allowed"`, true},
		{"console format", "console", func(l *zap.Logger) *zap.Logger { return l }, `"decision": "allowed"`, false},
		{"with a field", "json", func(l *zap.Logger) *zap.Logger { return l.With(zap.String("of", "its own")) }, `"of":"its own"`, false},
		{"with a name", "json", func(l *zap.Logger) *zap.Logger { return l.Named("named") }, `"logger":"named"`, false},
		{"with a hook", "json", func(l *zap.Logger) *zap.Logger {
			return l.WithOptions(zap.Hooks(func(zapcore.Entry) error { return nil }))
		}, `"decision":"allowed"`, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out sink
			b := NewBuffer(&out, Continue)
			log, _ := NewBufferedLogger(zapcore.InfoLevel, tt.format, b)
			r := New(tt.change(log), prometheus.NewRegistry())
			if direct := r.jsonCore != nil; direct != tt.direct {
				t.Errorf("jsonCore: %v, want %v", direct, tt.direct)
			}
			r.Record(usual())
			out.check(t, "", 0) // the line is queued in any case
			if err := b.Close(); err != nil {
				t.Fatal(err)
			}
			if line := out.String(); strings.Count(line, "\n") != 1 || !strings.Contains(line, tt.want) {
				t.Errorf("line %q, want %q in it", line, tt.want)
			}
		})
	}
}

// messages returns the request ids and other messages of a log in their order.
func messages(log string) string {
	var list []string
	for line := range strings.Lines(log) {
		parts := strings.SplitN(line, `"request_id":"`, 2)
		if len(parts) == 1 {
			parts = strings.SplitN(line, `"msg":"`, 2)
		}
		text, _, _ := strings.Cut(parts[len(parts)-1], `"`)
		list = append(list, text)
	}
	return strings.Join(list, " ")
}

// TestOrderOfLines checks that all lines are written in order, also after a change of the
// level and after the buffer was closed.
func TestOrderOfLines(t *testing.T) {
	var out sink
	b := NewBuffer(&out, Continue)
	r, log, level := recording(b)
	record := func(id string, reason refusal.Reason) {
		rec := usual()
		rec.RequestID, rec.Decision, rec.Reason = id, Failed, reason
		r.Record(rec)
	}
	record("1", refusal.ClientClosed)
	record("2", refusal.ClientClosed)
	log.Info("3")
	record("4", refusal.ClientClosed)
	record("5", refusal.Internal)
	record("6", refusal.ClientClosed)
	level.SetLevel(zapcore.ErrorLevel)
	record("hidden", refusal.ClientClosed)
	log.Warn("hidden")
	record("7", refusal.Internal)
	level.SetLevel(zapcore.InfoLevel)
	record("8\n", refusal.ClientClosed) // through zap
	record("9", refusal.ClientClosed)
	if have, want := messages(out.String()), "1 2 3 4 5 6 7"; have != want {
		t.Errorf("out: %s, want %s", have, want)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	record("10", refusal.ClientClosed)
	log.Info("11")
	record("12", refusal.ClientClosed)
	if have, want := messages(out.String()), `1 2 3 4 5 6 7 8\\x0a 9 10 11 12`; have != want {
		t.Errorf("out: %s, want %s", have, want)
	}
}

// TestNoLineIsLost writes lines of requests and other lines concurrently with changes of
// the level and the end of the program.
func TestNoLineIsLost(t *testing.T) {
	var out sink
	b := NewBuffer(&out, Continue)
	r, log, level := recording(b)
	const writers, each = 8, 250 // less than maxPending in total: a full buffer drops lines
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			rec := usual()
			for i := range each {
				rec.RequestID = fmt.Sprintf("%d-%d", w, i)
				rec.Time = rec.Time.Add(time.Second / 3)
				r.Record(rec)
				if w == 0 && i%100 == 0 {
					log.Info("between")
					level.SetLevel(zapcore.DebugLevel)
				}
				if w == 1 && i == each/2 {
					_ = b.Close()
				}
			}
		})
	}
	all.Wait()
	if n := len(out.String()); n > maxPending {
		t.Fatalf("want at most %d bytes of lines, found %d", maxPending, n)
	}
	var next [writers]int
	for word := range strings.FieldsSeq(messages(out.String())) {
		var w, i int
		if _, err := fmt.Sscanf(word, "%d-%d", &w, &i); err != nil {
			continue
		}
		if i != next[w] {
			t.Fatalf("line %d of writer %d, want %d", i, w, next[w])
		}
		next[w]++
	}
	for w, n := range next {
		if n != each {
			t.Errorf("%d lines of writer %d, want %d", n, w, each)
		}
	}
}
