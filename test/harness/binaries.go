package harness

import (
	"context"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"
)

// Timeout bounds every wait for an event that takes milliseconds on an idle machine. It
// keeps a failure from hanging; no test measures time with it.
const Timeout = time.Minute

// PollInterval is the time between two checks of a condition for which no event exists.
const PollInterval = 5 * time.Millisecond

// Root is the root of the repository, from the folder of every package below test.
const Root = "../.."

// parallelTests is the number of tests of one package that run at once. Most of them wait
// for a process more than they compute, so it exceeds the number of cores.
const parallelTests = "12"

// shared is the state of all tests of a package.
var shared = session{secrets: newSecrets(), binaries: map[string]string{}, rsaKeys: map[string]int{}}

// session holds the built programs and the output of all processes.
type session struct {
	secrets *secrets

	mu       sync.Mutex
	dir      string            // of the built programs
	binaries map[string]string // path by name
	rsaKeys  map[string]int    // number of keys of [ca.RSAKey] by test and size
}

// Main runs the tests of a package, as [testing.M.Run] does, and returns the exit code. It
// removes the built programs afterwards, and fails when the output of any process contains
// a part of a credential.
func Main(m *testing.M) int {
	flag.Parse()
	if parallel := flag.Lookup("test.parallel"); parallel.Value.String() == strconv.Itoa(runtime.GOMAXPROCS(0)) {
		if err := parallel.Value.Set(parallelTests); err != nil {
			panic(err)
		}
	}
	code := m.Run()
	if shared.dir != "" {
		if err := os.RemoveAll(shared.dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
	for _, leak := range shared.secrets.leaks() {
		fmt.Fprintln(os.Stderr, "FAIL: a part of a credential in the output of "+leak)
		code = 1
	}
	return code
}

// RaceDetector reports whether the programs are built with the race detector, which
// TEST_RACE=true requests.
func RaceDetector() bool { return os.Getenv("TEST_RACE") == "true" }

// BinaryPath returns the path of the program cmd/NAME. The first call for a name builds it,
// with the flags of the Dockerfile, or with the race detector if [RaceDetector] is true.
func BinaryPath(t testing.TB, name string) string {
	t.Helper()
	SkipIfShort(t)
	path, err := shared.binary(name)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func (s *session) binary(name string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if path := s.binaries[name]; path != "" {
		return path, nil
	}
	if s.dir == "" {
		if err := readSources(); err != nil {
			return "", err
		}
		dir, err := os.MkdirTemp("", "certgate-test-")
		if err != nil {
			return "", err
		}
		s.dir = dir
	}
	path := filepath.Join(s.dir, name)
	if err := build(path, "./cmd/"+name); err != nil {
		return "", err
	}
	s.binaries[name] = path
	return path, nil
}

// build copies a compiled program to path. It calls go run with cp in place of the program,
// because the build cache keeps the linked program for go run but not for go build, so that
// all packages below test together link it once. Without the race detector the flags are
// those of the Dockerfile, so that scripts/check.sh and the tests compile each package once.
func build(path, source string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	args, env := []string{"-trimpath"}, "CGO_ENABLED=0"
	if RaceDetector() {
		args, env = []string{"-race"}, "CGO_ENABLED=1"
	}
	args = append([]string{"run", "-exec", "cp", "-tags", "nomsgpack", "-ldflags", "-s -w"}, append(args, source, path)...)
	command := exec.CommandContext(ctx, "go", args...)
	command.Dir, command.Env = Root, append(os.Environ(), env)
	if text, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("go run %s: %w\n%s", source, err, text)
	}
	return nil
}

// readSources calls os.Stat for every source file of the programs. The go command records
// the files that a test accesses, and does not reuse the cached result of the test when one
// has changed.
func readSources() error {
	for _, name := range []string{"go.mod", "go.sum"} {
		if _, err := os.Stat(filepath.Join(Root, name)); err != nil {
			return err
		}
	}
	for _, folder := range []string{"cmd", "internal"} {
		err := filepath.WalkDir(filepath.Join(Root, folder), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			_, err = os.Stat(path)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
