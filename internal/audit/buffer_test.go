package audit

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/certgate/certgate/internal/core/refusal"
)

// sink is a writer that can block, or fail after a number of bytes.
type sink struct {
	mu     sync.Mutex
	text   bytes.Buffer
	writes int
	err    error
	room   int // number of bytes that are written before err, if err is set
	// gate blocks each write until it can receive, if it is set.
	gate chan struct{}
}

func (s *sink) Write(p []byte) (int, error) {
	if s.gate != nil {
		<-s.gate
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writes++
	if s.err != nil {
		n := min(s.room, len(p))
		s.room -= n
		s.text.Write(p[:n])
		return n, s.err
	}
	return s.text.Write(p)
}

func (s *sink) fail(err error, room int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err, s.room = err, room
}

func (s *sink) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

func (s *sink) check(t *testing.T, text string, writes int) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.text.String() != text || s.writes != writes {
		t.Errorf("%d bytes in %d writes: want %d in %d", s.text.Len(), s.writes, len(text), writes)
	}
}

func put(b *Buffer, lines ...string) {
	for _, line := range lines {
		b.put([]byte(line), routine)
	}
}

// lineOf returns a line of n bytes.
func lineOf(letter string, n int) string { return strings.Repeat(letter, n-1) + "\n" }

// TestBufferDelaysWrite checks that a line is written after the flush delay.
func TestBufferDelaysWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s sink
		b := NewBuffer(&s, Continue)
		for round := 1; round <= 2; round++ {
			put(b, "a\n")
			time.Sleep(flushDelay / 2)
			put(b, "b\n")
			s.check(t, strings.Repeat("a\nb\n", round-1), round-1)
			time.Sleep(flushDelay / 2)
			synctest.Wait()
			s.check(t, strings.Repeat("a\nb\n", round), round)
		}
		time.Sleep(time.Hour)
		s.check(t, "a\nb\na\nb\n", 2)
	})
}

// TestBufferWritesFullBatch checks that a full batch is written immediately.
func TestBufferWritesFullBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s sink
		b := NewBuffer(&s, Continue)
		half, long := lineOf("x", batchSize/2), lineOf("y", 2*batchSize)
		put(b, half)
		synctest.Wait()
		s.check(t, "", 0)
		put(b, half)
		synctest.Wait()
		s.check(t, half+half, 1)
		put(b, long)
		synctest.Wait()
		put(b, "last\n")
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		s.check(t, half+half+long+"last\n", 4)
	})
}

func TestBufferClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s sink
		b := NewBuffer(&s, Continue)
		put(b, "a\n", "b\n")
		for range 2 {
			if err := b.Close(); err != nil {
				t.Fatal(err)
			}
			s.check(t, "a\nb\n", 1)
		}
		put(b, "c\n")
		s.check(t, "a\nb\nc\n", 2)
		put(b, "d\n")
		s.check(t, "a\nb\nc\nd\n", 3)
	})
}

// TestBufferEnd checks that each line after End is written before the call returns,
// because a second signal ends the program immediately.
func TestBufferEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s sink
		b := NewBuffer(&s, Continue)
		put(b, "a\n")
		b.End(time.Now().Add(time.Minute))
		put(b, "b\n")
		if have, want := s.String(), "a\nb\n"; have != want {
			t.Errorf("log %q, want %q", have, want)
		}
		synctest.Wait()
	})
}

// TestBufferRepeatsFailedWrite checks that the repetition begins at the first byte that
// was not written, so that no line is damaged by a disk that was full for some time.
func TestBufferRepeatsFailedWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s sink
		s.fail(errors.New("no space left"), 3)
		b := NewBuffer(&s, Continue)
		put(b, "first\n", "second\n")
		time.Sleep(flushDelay)
		synctest.Wait()
		s.check(t, "fir", 1)
		start := time.Now()
		b.put([]byte("third\n"), urgent)
		if waited := time.Since(start); waited != 0 {
			t.Errorf("an urgent line waited %v, want no wait while writes fail", waited)
		}
		s.fail(nil, 0)
		time.Sleep(flushDelay)
		synctest.Wait()
		if have, want := s.String(), "first\nsecond\nthird\n"; have != want {
			t.Errorf("log %q, want %q", have, want)
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// TestBufferCloseReturns checks that Close returns despite a stuck reader or a full
// disk.
func TestBufferCloseReturns(t *testing.T) {
	full := errors.New("no space left")
	tests := []struct {
		name string
		fail func(*sink)
		end  time.Duration // the deadline, if End was called
		want time.Duration
		err  error
	}{
		{"full", func(s *sink) { s.fail(full, 0) }, time.Minute, 0, full},
		{"stuck, no deadline", func(s *sink) { s.gate = make(chan struct{}) }, 0, stallAfter, errStuck},
		{"stuck, with a deadline", func(s *sink) { s.gate = make(chan struct{}) }, time.Minute, time.Minute, errStuck},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var s sink
				tt.fail(&s)
				b := NewBuffer(&s, Continue)
				put(b, "a\n")
				start := time.Now()
				if tt.end > 0 {
					b.End(start.Add(tt.end))
				}
				if err := b.Close(); !errors.Is(err, tt.err) {
					t.Errorf("close: %v, want %v", err, tt.err)
				}
				if waited := time.Since(start); waited != tt.want {
					t.Errorf("waited %v, want %v", waited, tt.want)
				}
				if s.gate != nil {
					close(s.gate)
				}
				s.fail(nil, 0)
				_ = b.Close()
			})
		})
	}
}

func TestBufferKeepsLinesWhole(t *testing.T) {
	var s sink
	b := NewBuffer(&s, Continue)
	const writers, each = 8, 1000
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for i := range each {
				put(b, fmt.Sprintf("%d %d %s\n", w, i, strings.Repeat("z", i%97)))
			}
		})
	}
	all.Wait()
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	var next [writers]int
	for line := range strings.Lines(s.String()) {
		var w, i int
		var tail string
		if _, err := fmt.Sscanf(line, "%d %d %s", &w, &i, &tail); err != nil && i%97 != 0 || i != next[w] || len(tail) != i%97 {
			t.Fatalf("line %q, %v: want line %d of writer %d", line, err, next[w], w)
		}
		next[w]++
	}
	for w, n := range next {
		if n != each {
			t.Errorf("%d lines of writer %d, want %d", n, w, each)
		}
	}
}

// TestOnlyRequestLinesAreDelayed checks that every other line is written when the call
// returns, with all lines before it.
func TestOnlyRequestLinesAreDelayed(t *testing.T) {
	then := usual().Time
	tests := []struct {
		name string
		say  func(*zap.Logger, *Recorder)
		want int // number of written lines
	}{
		{"allowed", func(_ *zap.Logger, r *Recorder) { r.Record(&Record{Time: then, Decision: Allowed}) }, 0},
		{"refused", func(_ *zap.Logger, r *Recorder) {
			r.Record(&Record{Time: then, Decision: Refused, Reason: refusal.AccessDenied})
		}, 0},
		{"failed", func(_ *zap.Logger, r *Recorder) {
			r.Record(&Record{Time: then, Decision: Failed, Reason: refusal.UpstreamFailed})
		}, 2},
		{"start", func(l *zap.Logger, _ *Recorder) { l.Info("listening") }, 2},
		{"warning", func(l *zap.Logger, _ *Recorder) { l.Warn("configuration") }, 2},
		{"fault", func(l *zap.Logger, _ *Recorder) { l.Error("reload") }, 2},
	}
	for _, format := range []string{"json", "console"} {
		for _, tt := range tests {
			t.Run(format+"/"+tt.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var s sink
					b := NewBuffer(&s, Continue)
					defer b.Close()
					log, _ := NewBufferedLogger(zapcore.InfoLevel, format, b)
					r := New(log, prometheus.NewRegistry())
					r.Record(&Record{Time: then, Decision: Allowed})
					tt.say(log, r)
					if n := strings.Count(s.String(), "\n"); n != tt.want {
						t.Errorf("%d lines are out, want %d", n, tt.want)
					}
				})
			})
		}
	}
}
