package certheader_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/core/certheader"
	"github.com/certgate/certgate/internal/core/refusal"
)

// limit is the gateway's default limit for the size of a value.
const limit = 16 << 10

func TestParseReadsEncodedForms(t *testing.T) {
	for _, algorithm := range []string{"rsa", "p256", "ed25519"} {
		f := newFixture(t, algorithm)
		for _, form := range certheader.Forms() {
			t.Run(algorithm+" "+string(form), func(t *testing.T) {
				cert, err := certheader.Parse([]string{certheader.Encode(form, f.der)}, limit)
				if err != nil {
					t.Fatalf("refused: %v", err)
				}
				if !bytes.Equal(cert.Leaf.Raw, f.der) {
					t.Error("want the encoded certificate, found another")
				}
			})
		}
	}
}

func TestParseNumberOfValues(t *testing.T) {
	good := certheader.Encode(certheader.Base64DER, newFixture(t, "ed25519").der)
	tests := []struct {
		name   string
		values []string
		want   refusal.Reason
	}{
		{"one", []string{good}, ""},
		{"none", nil, refusal.CredentialMissing},
		{"none, not nil", []string{}, refusal.CredentialMissing},
		{"one empty", []string{""}, refusal.CredentialMissing},
		{"the same twice", []string{good, good}, refusal.CredentialDuplicated},
		{"good and empty", []string{good, ""}, refusal.CredentialDuplicated},
		{"empty and good", []string{"", good}, refusal.CredentialDuplicated},
		{"two empty", []string{"", ""}, refusal.CredentialDuplicated},
		{"many", strings.Split(strings.Repeat("x,", 100), ","), refusal.CredentialDuplicated},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := certheader.Parse(tt.values, limit)
			checkReason(t, err, tt.want)
		})
	}
}

func TestParseSize(t *testing.T) {
	good := certheader.Encode(certheader.PercentPEM, newFixture(t, "ed25519").der)
	tests := []struct {
		name  string
		value string
		max   int
		want  refusal.Reason
	}{
		{"exactly the limit", good, len(good), ""},
		{"one byte more", good, len(good) - 1, refusal.CredentialTooLarge},
		{"no limit set", good, 0, refusal.CredentialTooLarge},
		{"a negative limit", good, -1, refusal.CredentialTooLarge},
		{"the size is checked before the form", strings.Repeat("x", limit+1), limit, refusal.CredentialTooLarge},
		{"valid, with spaces over the limit", good + strings.Repeat(" ", limit), limit, refusal.CredentialTooLarge},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := certheader.Parse([]string{tt.value}, tt.max)
			checkReason(t, err, tt.want)
		})
	}
}

// checkReason fails unless err is a refusal with the reason, or nil if the reason is "".
func checkReason(t *testing.T, err error, want refusal.Reason) {
	t.Helper()
	refused := refusal.Of(err)
	switch {
	case want == "" && err != nil:
		t.Errorf("want it accepted, found %v", err)
	case want != "" && refused == nil:
		t.Errorf("want %s, found %v", want, err)
	case want != "" && refused.Reason != want:
		t.Errorf("want %s, found %v", want, err)
	}
}

// checkQuotesNothing fails if the error contains 12 successive bytes of the value. The
// text of PEM boundary lines is not secret and may occur.
func checkQuotesNothing(t *testing.T, err error, value string) {
	t.Helper()
	if err == nil {
		return
	}
	const piece = 12
	secret := strings.ReplaceAll(value, "CERTIFICATE", "\x00")
	for i := 0; i+piece <= len(secret); i++ {
		if strings.Contains(err.Error(), secret[i:i+piece]) {
			t.Fatalf("the error quotes the value at byte %d", i)
		}
	}
}
