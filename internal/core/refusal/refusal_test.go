package refusal_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/certgate/certgate/internal/core/refusal"
)

func TestOf(t *testing.T) {
	refused := refusal.New(refusal.AccessDenied, "client %q", "mail")
	fault := errors.New("disk full")
	tests := []struct {
		name string
		err  error
		want *refusal.Error
	}{
		{"refusal", refused, refused},
		{"wrapped", fmt.Errorf("decide: %w", refused), refused},
		{"wrapped twice", fmt.Errorf("a: %w", fmt.Errorf("b: %w", refused)), refused},
		{"joined with a fault", errors.Join(fault, refused), refused},
		{"fault", fault, nil},
		{"wrapped fault", fmt.Errorf("read: %w", fault), nil},
		{"fault with the text of a refusal", errors.New(refused.Error()), nil},
		{"nil", nil, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := refusal.Of(tt.err); got != tt.want {
				t.Errorf("found %v, want %v", got, tt.want)
			}
		})
	}
}

func TestErrorContainsReasonAndDetail(t *testing.T) {
	err := refusal.New(refusal.IdentityInvalid, "organizational unit %q", "a\nb")
	if want := `identity_invalid: organizational unit "a\nb"`; err.Error() != want {
		t.Errorf("found %q, want %q", err.Error(), want)
	}
	if want := `organizational unit "a\nb"`; err.Detail != want {
		t.Errorf("detail %q, want %q", err.Detail, want)
	}
}

// TestWithHint checks that the hint reaches the client and that the log contains both
// the detail and the hint.
func TestWithHint(t *testing.T) {
	plain := refusal.New(refusal.AccessDenied, "client %q", "mail")
	hinted := plain.WithHint("Ask the operator")
	if hinted.Hint != "Ask the operator" || hinted.Detail != `client "mail". Ask the operator` || hinted.Reason != refusal.AccessDenied {
		t.Errorf("found %+v", hinted)
	}
	if plain.Hint != "" || plain.Detail != `client "mail"` {
		t.Errorf("want the refusal without a hint unchanged, found %+v", plain)
	}
}
