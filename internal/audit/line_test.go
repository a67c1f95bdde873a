package audit

import (
	"math"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap/zapcore"

	"github.com/certgate/certgate/internal/denial"
)

// FuzzLine: the line of a request is the one that zap's own encoder writes.
func FuzzLine(f *testing.F) {
	f.Add("r-1", "mail", "/events", "", "apps", int64(1795305600), int64(0), int64(1500), int64(120), 201)
	f.Add("r-1", "", "/a\n", `issuer "CN=\x"`, "", int64(0), int64(5), int64(0), int64(-1), 0)
	f.Add("", "", "", "", "Regel für Post", int64(-1), int64(999999999), int64(999), int64(math.MaxInt64), 599)
	f.Add("", "", "", "\x7f", "a\xffb", int64(253402300800), int64(1), int64(math.MaxInt64/1000), int64(0), 1)
	f.Add(strings.Repeat("i", 200), "\u2028", strings.Repeat("\\", 300), "", "\t\r", int64(-62135596800), int64(0), int64(-5), int64(7), -1)
	f.Fuzz(func(t *testing.T, id, client, path, detail, rule string, seconds, nanoseconds, microseconds, bytes int64, status int) {
		l, ok := newLine().(*line)
		if !ok {
			t.Fatal("want a line")
		}
		l.record = Record{
			Surface: Verify, RequestID: id, Client: client, Auth: "bearer", Method: "POST", Path: path, Rule: rule, KeyID: "0123456789abcdef", Serial: "4f3a09",
			SharedKey: bytes%2 == 0, Source: "192.0.2.7", Decision: Refused, Reason: denial.AccessDenied, Detail: detail, WouldRefuse: denial.ProofMissing,
			Status: status, Duration: time.Duration(microseconds) * time.Microsecond, BytesIn: bytes, BytesOut: -bytes,
		}
		entry := zapcore.Entry{Level: zapcore.InfoLevel, Time: time.Unix(seconds, nanoseconds).In(time.FixedZone("", 3600)), Message: requestMessage}
		for range 2 { // a line is used again
			want, err := zapcore.NewJSONEncoder(encoderConfig()).EncodeEntry(entry, l.fields[:])
			if err != nil {
				t.Fatal(err)
			}
			have, err := newEncoder().EncodeEntry(entry, l.fields[:])
			if err != nil || have.String() != want.String() {
				t.Errorf("%v\n%s, want\n%s", err, have, want)
			}
		}
	})
}

// TestLineOfItsOwn: the usual line does not take zap's way, and one of a logger
// with fields or a name of its own does.
func TestLineOfItsOwn(t *testing.T) {
	l, ok := newLine().(*line)
	if !ok {
		t.Fatal("want a line")
	}
	l.record = Record{RequestID: "r-1", Client: "mail", Rule: "apps", Detail: `issuer "CN=certgate CA"`, Decision: Allowed, Duration: 1234567}
	entry := zapcore.Entry{Time: time.Unix(1795305600, 5), Message: requestMessage}
	if !l.encode(&entry) {
		t.Error("want a line in one pass")
	}
	with := newEncoder().Clone()
	with.AddString("of", "its own")
	if b, err := with.EncodeEntry(entry, l.fields[:]); err != nil || !strings.Contains(b.String(), `"of":"its own"`) {
		t.Errorf("%s, %v: want the logger's field", b, err)
	}
	entry.LoggerName = "named"
	if b, err := newEncoder().EncodeEntry(entry, l.fields[:]); err != nil || !strings.Contains(b.String(), `"logger":"named"`) {
		t.Errorf("%s, %v: want the logger's name", b, err)
	}
}
