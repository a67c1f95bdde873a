package advice_test

import (
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/tool/advice"
)

// TestEveryReasonHasAdvice checks that each reason has one line of text that ends a sentence.
func TestEveryReasonHasAdvice(t *testing.T) {
	t.Parallel()
	for _, reason := range refusal.Reasons() {
		text := advice.For(reason)
		if !strings.HasSuffix(text, ".") || strings.ContainsAny(text, "\n\t") {
			t.Errorf("%s: want one line that ends with a full stop, found %q", reason, text)
		}
	}
	if text := advice.For("unknown"); text != "" {
		t.Errorf("found %q for an unknown reason", text)
	}
}
