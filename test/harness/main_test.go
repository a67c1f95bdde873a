package harness

import (
	"os"
	"testing"
)

// TestMain removes the built programs afterwards, and searches the output of all processes
// for credentials.
func TestMain(m *testing.M) { os.Exit(Main(m)) }
