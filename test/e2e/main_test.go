// Package e2e checks the gateway and its tools from outside: the built programs, the
// scripts, the documents and the architecture.
package e2e

import (
	"os"
	"testing"

	"github.com/certgate/certgate/test/harness"
)

// TestMain removes the built programs afterwards, and searches the output of all processes
// for credentials.
func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }
