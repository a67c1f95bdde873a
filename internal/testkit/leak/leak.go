// Package leak finds goroutines that the tests of a package leave running.
package leak

import (
	"os"
	"time"

	"go.uber.org/goleak"
)

// timeout is how long goroutines may take to end after the last test. goleak waits for less than
// half a second, which is too short on a busy machine.
const timeout = 20 * time.Second

// Main is the body of a function TestMain: it runs the tests and ends the program. It fails if a
// goroutine is left over that none of the options ignores.
func Main(m goleak.TestingM, ignored ...goleak.Option) {
	os.Exit(run(m, timeout, ignored...))
}

func run(m goleak.TestingM, timeout time.Duration, ignored ...goleak.Option) (code int) {
	if code = m.Run(); code != 0 {
		return code
	}
	err := goleak.Find(ignored...)
	for start := time.Now(); err != nil && time.Since(start) < timeout; {
		err = goleak.Find(ignored...)
	}
	if err != nil {
		_, _ = os.Stderr.WriteString(err.Error() + "\n")
		return 1
	}
	return 0
}
