package leak

import (
	"testing"
	"time"

	"go.uber.org/goleak"
)

// starter is a [testing.M] whose only test leaves a goroutine running until end is closed.
type starter struct {
	code int
	end  chan struct{}
}

func (s starter) Run() int {
	go func() { <-s.end }()
	return s.code
}

// TestRun: a goroutine may end later than goleak waits for, and one that does not end is an error.
func TestRun(t *testing.T) {
	others := goleak.IgnoreCurrent()
	late := starter{end: make(chan struct{})}
	time.AfterFunc(time.Second, func() { close(late.end) })
	if code := run(late, timeout, others); code != 0 {
		t.Errorf("a goroutine that ends after a second: exit code %d", code)
	}
	endless := starter{end: make(chan struct{})}
	defer close(endless.end)
	if code := run(endless, 0, others); code != 1 {
		t.Errorf("a goroutine that does not end: exit code %d", code)
	}
	failed := starter{code: 2, end: endless.end}
	if code := run(failed, timeout, others); code != 2 {
		t.Errorf("failed tests: exit code %d", code)
	}
}
