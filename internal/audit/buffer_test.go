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

	"github.com/certgate/certgate/internal/denial"
)

// sink is what a buffer writes to. It can fail, and wait to be let through.
type sink struct {
	mu     sync.Mutex
	text   bytes.Buffer
	writes int
	err    error
	// Without a gate it is open; else each write says that it has come, and waits.
	gate, come chan struct{}
}

func (s *sink) Write(p []byte) (int, error) {
	if s.gate != nil {
		s.come <- struct{}{}
		<-s.gate
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writes++
	if s.err != nil {
		return 0, s.err
	}
	return s.text.Write(p)
}

func (s *sink) Sync() error { return nil }

func (s *sink) wants(t *testing.T, text string, writes int) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.text.String() != text || s.writes != writes {
		t.Errorf("%d bytes in %d writes: want %d in %d", s.text.Len(), s.writes, len(text), writes)
	}
}

func write(t *testing.T, b *Buffer, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if n, err := b.Write([]byte(line)); n != len(line) || err != nil {
			t.Errorf("write: %d, %v", n, err)
		}
	}
}

func TestBufferWritesLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s sink
		b := NewBuffer(&s)
		for round := 1; round <= 2; round++ {
			write(t, b, "a\n")
			time.Sleep(flushDelay / 2)
			write(t, b, "b\n")
			s.wants(t, strings.Repeat("a\nb\n", round-1), round-1)
			time.Sleep(flushDelay / 2)
			synctest.Wait()
			s.wants(t, strings.Repeat("a\nb\n", round), round)
		}
		time.Sleep(time.Hour)
		s.wants(t, "a\nb\na\nb\n", 2)
	})
}

func TestBufferWritesWhenFull(t *testing.T) {
	var s sink
	b := NewBuffer(&s)
	defer b.Close()
	half := strings.Repeat("x", bufferSize/2-1) + "\n"
	write(t, b, half, half)
	s.wants(t, "", 0)
	write(t, b, "next\n")
	s.wants(t, half+half, 1)
	long := strings.Repeat("y", 2*bufferSize) + "\n"
	write(t, b, long, "last\n")
	if err := b.Sync(); err != nil {
		t.Fatal(err)
	}
	s.wants(t, half+half+"next\n"+long+"last\n", 4)
}

func TestBufferClose(t *testing.T) {
	var s sink
	b := NewBuffer(&s)
	write(t, b, "a\n", "b\n")
	for range 2 {
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		s.wants(t, "a\nb\n", 1)
	}
	write(t, b, "c\n")
	s.wants(t, "a\nb\nc\n", 2)
	write(t, b, "d\n")
	s.wants(t, "a\nb\nc\nd\n", 3)
}

// TestBufferTellsOfFaults: whoever writes next hears of a write that failed.
func TestBufferTellsOfFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		full := errors.New("no space left")
		s := sink{err: full}
		b := NewBuffer(&s)
		write(t, b, "a\n")
		time.Sleep(flushDelay)
		synctest.Wait()
		if _, err := b.Write([]byte("b\n")); !errors.Is(err, full) {
			t.Errorf("want the error of the write before, found %v", err)
		}
		if err := b.Sync(); !errors.Is(err, full) {
			t.Errorf("sync: want the error, found %v", err)
		}
		write(t, b, "c\n")
		if err := b.Close(); !errors.Is(err, full) {
			t.Errorf("close: want the error, found %v", err)
		}
	})
}

// TestBufferWaitsForItsReader: while the reader stands still, as much as fits is
// taken and no more; when it goes on, everything is there.
func TestBufferWaitsForItsReader(t *testing.T) {
	s := sink{gate: make(chan struct{}), come: make(chan struct{}, 10)}
	b := NewBuffer(&s)
	first, second := strings.Repeat("x", bufferSize-1)+"\n", strings.Repeat("y", bufferSize-1)+"\n"
	write(t, b, first)
	var stuck sync.WaitGroup
	stuck.Go(func() { write(t, b, "third\n") }) // has to write the first
	<-s.come
	write(t, b, second)
	if taken, _ := b.add([]byte("one more\n")); taken {
		t.Error("want no room, found some")
	}
	stuck.Go(func() { write(t, b, "fourth\n") })
	close(s.gate)
	stuck.Wait()
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	rest, ok := strings.CutPrefix(s.text.String(), first+second)
	if !ok || rest != "third\nfourth\n" && rest != "fourth\nthird\n" {
		t.Errorf("%d bytes and then %q: want every line once", len(s.text.String())-len(rest), rest)
	}
}

func TestBufferKeepsLinesWhole(t *testing.T) {
	var s sink
	b := NewBuffer(&s)
	const writers, each = 8, 2000
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for i := range each {
				write(t, b, fmt.Sprintf("%d %d %s\n", w, i, strings.Repeat("z", i%97)))
			}
		})
	}
	all.Wait()
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	var next [writers]int
	for line := range strings.Lines(s.text.String()) {
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

// TestOnlyRequestsWait: what is for the operator's eyes goes out at once, with
// everything before it.
func TestOnlyRequestsWait(t *testing.T) {
	then := usual().Time
	tests := []struct {
		name string
		say  func(*zap.Logger, *Recorder)
		want int // lines that are out
	}{
		{"allowed", func(_ *zap.Logger, r *Recorder) { r.Record(&Record{Time: then, Decision: Allowed}) }, 0},
		{"refused", func(_ *zap.Logger, r *Recorder) {
			r.Record(&Record{Time: then, Decision: Refused, Reason: denial.AccessDenied})
		}, 0},
		{"failed", func(_ *zap.Logger, r *Recorder) {
			r.Record(&Record{Time: then, Decision: Failed, Reason: denial.UpstreamFailed})
		}, 2},
		{"start", func(l *zap.Logger, _ *Recorder) { l.Info("listening") }, 2},
		{"warning", func(l *zap.Logger, _ *Recorder) { l.Warn("configuration") }, 2},
		{"fault", func(l *zap.Logger, _ *Recorder) { l.Error("reload") }, 2},
	}
	for _, format := range []string{"json", "console"} {
		for _, tt := range tests {
			t.Run(format+"/"+tt.name, func(t *testing.T) {
				var s sink
				b := NewBuffer(&s)
				defer b.Close()
				log, _ := NewLogger(zapcore.InfoLevel, format, b)
				r := New(log, prometheus.NewRegistry())
				r.Record(&Record{Time: then, Decision: Allowed})
				tt.say(log, r)
				if n := strings.Count(s.text.String(), "\n"); n != tt.want {
					t.Errorf("%d lines are out, want %d", n, tt.want)
				}
			})
		}
	}
}
