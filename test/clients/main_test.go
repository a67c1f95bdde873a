// Package clients runs the client programs of this folder against a real gateway.
package clients

import (
	"os"
	"testing"

	"github.com/certgate/certgate/test/harness"
)

// TestMain removes the built programs afterwards, and searches the output of all processes
// for credentials.
func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }
