package audit

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/certgate/certgate/internal/core/refusal"
)

// refusing returns a recorder with the policy Refuse.
func refusing(s *sink) (*Buffer, *Recorder) {
	b := NewBuffer(s, Refuse)
	log, _ := NewBufferedLogger(zapcore.InfoLevel, "json", b)
	return b, New(log, prometheus.NewRegistry())
}

func wantRefusal(t *testing.T, r *Recorder, detail string) {
	t.Helper()
	d := r.Refusal()
	if detail == "" {
		if d != nil || r.Ready() != nil {
			t.Errorf("refused: %v, ready: %v, want neither", d, r.Ready())
		}
		return
	}
	if d == nil || d.Reason != refusal.Overloaded || d.RetryAfter == 0 || !strings.Contains(d.Detail, detail) || !errors.Is(r.Ready(), d) && r.Ready() == nil {
		t.Errorf("refused: %v, ready: %v, want both for %q", d, r.Ready(), detail)
	}
}

// TestRefuseAfterFailedWrite checks that LOG_FAILURE=refuse refuses requests from the
// first failed write to the next successful one, before lines are lost.
func TestRefuseAfterFailedWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s sink
		b, r := refusing(&s)
		wantRefusal(t, r, "")
		s.fail(errors.New("no space left"), 0)
		r.Record(usual())
		wantRefusal(t, r, "")
		time.Sleep(flushDelay)
		synctest.Wait()
		wantRefusal(t, r, "the log cannot be written: no space left")
		s.fail(nil, 0)
		time.Sleep(flushDelay)
		synctest.Wait()
		wantRefusal(t, r, "")
		if err := b.Close(); err != nil || b.Lost() != 0 {
			t.Errorf("close: %v, %d lines lost", err, b.Lost())
		}
	})
}

func TestRefuseDuringStuckWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := sink{gate: make(chan struct{})}
		b, r := refusing(&s)
		r.Record(usual())
		time.Sleep(flushDelay)
		synctest.Wait()
		wantRefusal(t, r, "")
		time.Sleep(stallAfter)
		wantRefusal(t, r, "the reader of the log does not read")
		close(s.gate)
		synctest.Wait()
		wantRefusal(t, r, "")
		_ = b.Close()
	})
}

// TestRefuseReservesBuffer checks that lines of refused requests do not use the half of
// the buffer that is reserved for requests accepted before the log failed.
func TestRefuseReservesBuffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := sink{gate: make(chan struct{})}
		b, r := refusing(&s)
		refused := usual()
		refused.Decision, refused.Reason, refused.RequestID = Refused, refusal.Overloaded, "refused"
		through := usual()
		through.RequestID = "r-\x01" // through zap
		for range maxPending / len(byZap(t, refused)) {
			r.Record(refused)
			synctest.Wait()
		}
		wantRefusal(t, r, "the reader of the log is too slow")
		lost := b.Lost()
		if lost == 0 {
			t.Error("want that lines of refused requests are lost, found none")
		}
		const n = 1000
		for range n / 2 {
			r.Record(usual())
			r.Record(through)
		}
		if b.Lost() != lost {
			t.Errorf("%d lines of requests that were let through are lost, want none", b.Lost()-lost)
		}
		close(s.gate)
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		if have := strings.Count(s.String(), `"decision":"allowed"`); have != n {
			t.Errorf("%d lines of allowed requests, want %d", have, n)
		}
	})
}

// TestLostLinesMetric checks the metric with a buffer, and without one, where it is 0.
func TestLostLinesMetric(t *testing.T) {
	b := NewBuffer(&sink{}, Continue)
	defer b.Close()
	buffered, _ := NewBufferedLogger(zapcore.InfoLevel, "console", b)
	direct, _ := NewLogger(zapcore.InfoLevel, "json", zapcore.AddSync(&sink{}))
	b.put([]byte(lineOf("x", maxPending+1)), routine)
	for _, tt := range []struct {
		name string
		log  *zap.Logger
		want float64
	}{{"buffered", buffered, 1}, {"direct", direct, 0}} {
		t.Run(tt.name, func(t *testing.T) {
			reg := prometheus.NewRegistry()
			New(tt.log, reg)
			families, err := reg.Gather()
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range families {
				if f.GetName() == "certgate_log_lines_lost_total" {
					if have := f.GetMetric()[0].GetCounter().GetValue(); have != tt.want {
						t.Errorf("%v lines, want %v", have, tt.want)
					}
					return
				}
			}
			t.Error("want the metric, found none")
		})
	}
}
