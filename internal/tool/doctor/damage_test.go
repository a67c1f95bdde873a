package doctor

import (
	"testing"

	"github.com/certgate/certgate/internal/surface/echo"
)

// TestDamageAtEnds checks values whose first or last character becomes a space, which is
// not part of the value any more.
func TestDamageAtEnds(t *testing.T) {
	const want = "each + arrives as a space"
	for sent, arrived := range map[string]string{"a+b": "a b", "a+b+": "a b", "+a+b": "a b", "+a++": "a"} {
		if found := describeDamage(sent, []echo.Value{echo.Of(arrived)}); found != want {
			t.Errorf("%q arrives as %q: %q, want %q", sent, arrived, found, want)
		}
	}
}
