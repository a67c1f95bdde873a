package harness

import (
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/core/certheader"
)

// TestLeaksAreFound checks that the search for credentials in the output finds them.
func TestLeaksAreFound(t *testing.T) {
	t.Parallel()
	m := NewMasterKey(t, "p256")
	mail := m.Issue(t, OU("mail"))
	s := newSecrets()
	s.keepPEM(mail.PEM)
	clean := `{"level":"info","msg":"request","serial":"4f3a09","detail":"want one header line, found 2"}` + "\n"
	s.recordOutput("without a credential", clean)
	s.keep("X-SSL-Auth: " + mail.HeaderValue(certheader.SpacedPEM))
	s.recordOutput("with an error", "Invalid PEM encoding; must start with -----BEGIN CERTIFICATE-----\n")
	if leaks := s.leaks(); len(leaks) != 0 {
		t.Fatalf("want no leak, found %q", leaks)
	}
	for _, form := range []certheader.Form{certheader.Base64DER, certheader.Base64PEM, certheader.PercentPEM} {
		header := mail.HeaderValue(form)
		middle := len(header) / 2
		s.recordOutput("process with "+string(form), clean+"oops "+header[middle:middle+pieceLength]+"\n")
	}
	if leaks := s.leaks(); len(leaks) != 3 || !strings.Contains(leaks[0], `process with base64, behind "oops "`) {
		t.Errorf("want the three processes, found %q", leaks)
	}
}
