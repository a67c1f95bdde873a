package certheader_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/certheader"
	"github.com/certgate/certgate/internal/denial"
)

// limit is the gateway's default for the size of a value.
const limit = 16 << 10

func TestParseReadsWhatEncodeWrites(t *testing.T) {
	for _, algorithm := range []string{"rsa", "p256", "ed25519"} {
		f := newFixture(t, algorithm)
		for _, form := range certheader.Forms() {
			t.Run(algorithm+" "+string(form), func(t *testing.T) {
				cert, err := certheader.Parse([]string{certheader.Encode(form, f.der)}, limit)
				if err != nil {
					t.Fatalf("refused: %v", err)
				}
				if !bytes.Equal(cert.Leaf.Raw, f.der) {
					t.Error("another certificate came out")
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
		want   denial.Reason
	}{
		{"one", []string{good}, ""},
		{"none", nil, denial.CredentialMissing},
		{"none, not nil", []string{}, denial.CredentialMissing},
		{"one empty", []string{""}, denial.CredentialMissing},
		{"the same twice", []string{good, good}, denial.CredentialDuplicated},
		{"good and empty", []string{good, ""}, denial.CredentialDuplicated},
		{"empty and good", []string{"", good}, denial.CredentialDuplicated},
		{"two empty", []string{"", ""}, denial.CredentialDuplicated},
		{"many", strings.Split(strings.Repeat("x,", 100), ","), denial.CredentialDuplicated},
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
		want  denial.Reason
	}{
		{"exactly the limit", good, len(good), ""},
		{"one byte more", good, len(good) - 1, denial.CredentialTooLarge},
		{"no limit set", good, 0, denial.CredentialTooLarge},
		{"a negative limit", good, -1, denial.CredentialTooLarge},
		{"size is asked before shape", strings.Repeat("x", limit+1), limit, denial.CredentialTooLarge},
		{"a good one with a tail over the limit", good + strings.Repeat(" ", limit), limit, denial.CredentialTooLarge},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := certheader.Parse([]string{tt.value}, tt.max)
			checkReason(t, err, tt.want)
		})
	}
}

// checkReason wants a refusal with the reason, or none where it is "".
func checkReason(t *testing.T, err error, want denial.Reason) {
	t.Helper()
	refusal := denial.Of(err)
	switch {
	case want == "" && err != nil:
		t.Errorf("want it accepted, found %v", err)
	case want != "" && refusal == nil:
		t.Errorf("want %s, found %v", want, err)
	case want != "" && refusal.Reason != want:
		t.Errorf("want %s, found %v", want, err)
	}
}

// checkQuotesNothing wants no 12 bytes of the value in the error. The words of
// PEM's boundary lines are everybody's.
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
