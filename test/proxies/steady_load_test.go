package proxies

import (
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/certgate/certgate/test/harness"
)

// steadyLoad sends requests without an end, on a bounded number of connections and with
// a pause after each, and repeats none. It ends with the first fault.
type steadyLoad struct {
	stop  chan struct{}
	done  sync.WaitGroup
	mu    sync.Mutex
	fault error
	sent  []string // the X-Load of all requests that were answered
}

const (
	steadyWorkers = 6
	steadyPause   = 5 * time.Millisecond
	steadyLimit   = 20_000 // requests of one worker
)

func (p *twoGateways) startLoad(t *testing.T) *steadyLoad {
	t.Helper()
	l := &steadyLoad{stop: make(chan struct{})}
	for worker := range steadyWorkers {
		l.done.Go(func() {
			if err := p.work(t, l, worker); err != nil {
				l.fail(err)
			}
		})
	}
	t.Cleanup(l.end)
	return l
}

func (l *steadyLoad) end() {
	l.mu.Lock()
	select {
	case <-l.stop:
	default:
		close(l.stop)
	}
	l.mu.Unlock()
	l.done.Wait()
}

func (l *steadyLoad) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fault == nil {
		l.fault = err
	}
}

func (l *steadyLoad) failed() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fault
}

func (l *steadyLoad) answered(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent = append(l.sent, id)
}

// waitFor waits for the condition, and no longer when a request was lost.
func (l *steadyLoad) waitFor(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(harness.Timeout); !condition(); time.Sleep(steadyPause) {
		if err := l.failed(); err != nil {
			t.Fatalf("want no request lost, found %v", err)
		}
		if time.Now().After(deadline) {
			t.Fatalf("want %s in time, found none", what)
		}
	}
}

// work sends GET and POST in turn. It opens another connection only after the proxy has
// announced that it closes the previous one.
func (p *twoGateways) work(t *testing.T, l *steadyLoad, worker int) error {
	t.Helper()
	var c *harness.Conn
	for n := range steadyLimit {
		select {
		case <-l.stop:
			return nil
		case <-time.After(steadyPause):
		}
		id := fmt.Sprintf("%d-%d", worker, n)
		r := harness.Get("/events", p.mail).With("X-Load: " + id)
		if n%2 == 1 {
			r = r.Post("n=" + strconv.Itoa(n))
		}
		if c == nil {
			dialed, err := p.dial(t)
			if err != nil {
				return fmt.Errorf("connecting to the proxy: %w", err)
			}
			c = dialed
		}
		if err := c.SetDeadline(time.Now().Add(harness.Timeout)); err != nil {
			return err
		}
		a, err := RoundTrip(c, r)
		if err != nil {
			return fmt.Errorf("%s %s: %w", r.Method, id, err)
		}
		if a.Status != http.StatusOK {
			return fmt.Errorf("%s %s: want 200, found %d and %.200q", r.Method, id, a.Status, a.Body)
		}
		l.answered(r.Method + " " + id)
		if a.Header.Get("Connection") == "close" {
			_ = c.Close()
			c = nil
		}
	}
	return fmt.Errorf("want the restarts over after %d requests", steadyLimit)
}
