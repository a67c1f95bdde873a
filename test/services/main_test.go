// Package services runs the verifiers of this folder with assertions of a real gateway.
package services

import (
	"os"
	"testing"

	"github.com/certgate/certgate/test/harness"
)

// TestMain removes the built programs afterwards, and searches the output of all processes
// for credentials.
func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }
