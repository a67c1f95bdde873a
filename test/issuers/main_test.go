// Package issuers makes client certificates with the tools of keys/README.md and sends
// them to a real gateway.
package issuers

import (
	"os"
	"testing"

	"github.com/certgate/certgate/test/harness"
)

// TestMain removes the built programs afterwards, and searches the output of all processes
// for credentials.
func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }
