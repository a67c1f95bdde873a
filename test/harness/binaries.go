package harness

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

// Timeout bounds every wait for something that takes milliseconds on an idle
// machine. Nothing is measured by it: it only keeps a failure from hanging.
const Timeout = time.Minute

// PollInterval is the time between two looks at a condition that does not announce itself.
const PollInterval = 5 * time.Millisecond

// shared is what all tests of this run share: the binaries and everything that
// their processes have said.
var shared = &session{secrets: newSecrets()}

// session builds the binaries when the first test needs one.
type session struct {
	secrets *secrets

	once sync.Once
	dir  string // of the binaries
	err  error
}

// Main runs the tests of a package. It removes the binaries afterwards, and fails when
// the output of any process contains a piece of a credential.
func Main(m *testing.M) int {
	code := m.Run()
	if err := os.RemoveAll(shared.dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	for _, leak := range shared.secrets.leaks() {
		fmt.Fprintln(os.Stderr, "FAIL: a piece of a credential in the output of "+leak)
		code = 1
	}
	return code
}

// Root is the root of the repository, from the folder of every package below test.
const Root = "../.."

// RaceDetector reports whether the binaries are built with the race detector, which
// TEST_RACE=true asks for.
func RaceDetector() bool { return os.Getenv("TEST_RACE") == "true" }

// BinaryPath returns the path of cmd/NAME, which the first call builds.
func BinaryPath(t testing.TB, name string) string {
	t.Helper()
	return shared.binary(t, name)
}

// binary is the path of cmd/NAME, built as it is shipped.
func (r *session) binary(t testing.TB, name string) string {
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
	if RaceDetector() {
		args = append(args, "-race")
	}
	command := exec.CommandContext(ctx, "go", append(args, "./cmd/certgate", "./cmd/schedule", "./cmd/demo")...)
	command.Dir = Root
	if said, err := command.CombinedOutput(); err != nil {
		return dir, fmt.Errorf("go build: %w\n%s", err, said)
	}
	return dir, nil
}
