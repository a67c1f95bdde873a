package doctor

import (
	"testing"

	"github.com/certgate/certgate/internal/surface/echo"
)

// TestDamageAtTheEnds: what becomes a space at either end does not arrive at all.
func TestDamageAtTheEnds(t *testing.T) {
	const want = "each + arrives as a space"
	for sent, arrived := range map[string]string{"a+b": "a b", "a+b+": "a b", "+a+b": "a b", "+a++": "a"} {
		if found := damage(sent, []echo.Value{echo.Of(arrived)}); found != want {
			t.Errorf("%q arrives as %q: %q, want %q", sent, arrived, found, want)
		}
	}
}
