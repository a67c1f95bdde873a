package deploy

import (
	"os"
	"testing"

	"github.com/certgate/certgate/test/harness"
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }
