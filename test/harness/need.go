package harness

import (
	"os"
	"os/exec"
	"testing"
)

// smokeTest is the only test that starts processes with -short.
const smokeTest = "TestSmoke"

// SkipIfShort skips a test that starts processes when the tests run with -short, except
// TestSmoke.
func SkipIfShort(t testing.TB) {
	t.Helper()
	if testing.Short() && t.Name() != smokeTest {
		t.Skip("-short: this test starts processes")
	}
}

// LookProgram returns the path of an installed program. Without the program it calls
// [SkipMissing].
func LookProgram(t testing.TB, name string) string {
	t.Helper()
	SkipIfShort(t)
	path, err := exec.LookPath(name)
	if err != nil {
		SkipMissing(t, name)
	}
	return path
}

// SkipMissing skips a test that needs something that is not installed. With CI=true it
// fails the test instead.
func SkipMissing(t testing.TB, name string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("want %s in CI, found none", name)
	}
	t.Skipf("%s is not installed", name)
}
