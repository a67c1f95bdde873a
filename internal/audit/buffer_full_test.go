package audit

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap/zapcore"
)

// TestBufferDropsLinesWhenFull checks that up to 1 MiB of lines is kept while the writer
// is stuck or fails, and that every further line is counted.
func TestBufferDropsLinesWhenFull(t *testing.T) {
	const size = 1 << 10
	faults := map[string]struct {
		ruin, repair func(*sink)
	}{
		"stuck": {func(s *sink) { s.gate = make(chan struct{}) }, func(s *sink) { close(s.gate) }},
		"full":  {func(s *sink) { s.fail(errors.New("no space left"), 0) }, func(s *sink) { s.fail(nil, 0) }},
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var s sink
				fault.ruin(&s)
				b := NewBuffer(&s, Continue)
				log, _ := NewBufferedLogger(zapcore.InfoLevel, "json", b)
				r := New(log, prometheus.NewRegistry())
				line := lineOf("x", size)
				for range maxPending / size {
					put(b, line)
				}
				time.Sleep(time.Minute)
				if lost, err := b.Lost(), r.Ready(); lost != 0 || err != nil {
					t.Errorf("%d lines lost, %v: want none yet", lost, err)
				}
				start := time.Now()
				put(b, "no room\n", "no room\n")
				log.Error("no room")
				if waited := time.Since(start); waited != 0 {
					t.Errorf("waited %v, want no wait", waited)
				}
				if err := r.Ready(); b.Lost() != 3 || err == nil || !strings.Contains(err.Error(), "log lines are being lost, 3 so far: ") {
					t.Errorf("%d lines lost, ready: %v: want 3 and the reason", b.Lost(), err)
				}
				if err := r.Refusal(); err != nil {
					t.Errorf("refused: %v, want that requests go on", err)
				}
				fault.repair(&s)
				time.Sleep(flushDelay)
				synctest.Wait()
				written, rest, _ := strings.Cut(s.String(), "{")
				if written != strings.Repeat(line, maxPending/size) || !strings.Contains(rest, `"msg":"log lines were lost","lines":3}`) {
					t.Errorf("%d bytes and then %q: want every line that was taken, and how many were lost", len(written), rest)
				}
				if err := r.Ready(); err != nil {
					t.Errorf("ready: %v, want ready again", err)
				}
				if err := b.Close(); err != nil {
					t.Fatal(err)
				}
			})
		})
	}
}

// TestBufferLosingWithSlowReader checks that Losing returns an error as long as lines
// are dropped, even if a slow reader makes room repeatedly.
func TestBufferLosingWithSlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := sink{gate: make(chan struct{})}
		b := NewBuffer(&s, Continue)
		line := lineOf("x", batchSize)
		fill := func() {
			for range maxPending/batchSize + 1 {
				put(b, line)
				synctest.Wait()
			}
		}
		fill()
		for range 3 {
			s.gate <- struct{}{} // one chunk
			synctest.Wait()
			fill()
			if err := b.Losing(); !errors.Is(err, errSlow) {
				t.Errorf("losing: %v, want %v", err, errSlow)
			}
		}
		close(s.gate)
		if err := b.Close(); err != nil || b.Losing() != nil {
			t.Errorf("close: %v, losing: %v", err, b.Losing())
		}
	})
}

// TestBufferWaitsOnceForStuckWriter checks that a call waits until the write is
// considered stuck, and that later calls do not wait.
func TestBufferWaitsOnceForStuckWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := sink{gate: make(chan struct{})}
		b := NewBuffer(&s, Continue)
		for _, want := range []time.Duration{stallAfter, 0, 0} {
			start := time.Now()
			b.put([]byte("urgent\n"), urgent)
			if waited := time.Since(start); waited != want {
				t.Errorf("waited %v, want %v", waited, want)
			}
		}
		close(s.gate)
		synctest.Wait()
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		if have, want := s.String(), strings.Repeat("urgent\n", 3); have != want {
			t.Errorf("log %q, want %q", have, want)
		}
	})
}
