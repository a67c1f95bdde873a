package test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// patience bounds every wait for something that takes milliseconds on an idle
// machine. Nothing is measured by it: it only keeps a failure from hanging.
const patience = time.Minute

// pause is the time between two looks at a condition that does not announce itself.
const pause = 5 * time.Millisecond

// run is what all tests of this run share: the binaries and everything that
// their processes have said.
var run = &testRun{secrets: newSecrets()}

// testRun builds the binaries when the first test needs one.
type testRun struct {
	secrets *secrets

	once sync.Once
	dir  string // of the binaries
	err  error
}

// TestMain removes the binaries in the end, and fails the run if any process
// has said a piece of a credential.
func TestMain(m *testing.M) {
	code := m.Run()
	if err := os.RemoveAll(run.dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	if leaks := run.secrets.leaks(); len(leaks) > 0 {
		for _, leak := range leaks {
			fmt.Fprintln(os.Stderr, "FAIL: a piece of a credential in the output of "+leak)
		}
		code = 1
	}
	os.Exit(code)
}

// binary is the path of cmd/NAME, built as it is shipped.
func (r *testRun) binary(t testing.TB, name string) string {
	t.Helper()
	r.once.Do(func() { r.dir, r.err = build() })
	if r.err != nil {
		t.Fatal(r.err)
	}
	return filepath.Join(r.dir, name)
}

func build() (string, error) {
	dir, err := os.MkdirTemp("", "certgate-test-")
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	args := []string{"build", "-tags", "nomsgpack", "-ldflags", "-s -w", "-o", dir}
	if raceDetector {
		args = append(args, "-race")
	}
	command := exec.CommandContext(ctx, "go", append(args, "./cmd/certgate", "./cmd/schedule", "./cmd/demo")...)
	command.Dir = ".."
	if said, err := command.CombinedOutput(); err != nil {
		return dir, fmt.Errorf("go build: %w\n%s", err, said)
	}
	return dir, nil
}
