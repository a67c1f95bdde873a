// Package proxies checks the gateway with real proxies, which run the configuration files of
// this folder.
package proxies

import (
	"os"
	"testing"

	"github.com/certgate/certgate/test/harness"
)

// TestMain removes the built programs afterwards, and searches the output of all processes
// for credentials.
func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }
