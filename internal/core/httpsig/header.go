package httpsig

import (
	"net/http"
	"slices"
	"strings"

	"github.com/certgate/certgate/internal/core/headers"
	"github.com/certgate/certgate/internal/core/refusal"
)

// MayCover reports whether a signature in the header may cover the field with the given
// name, in lower case. It looks for the name as a string in Signature-Input. It does not
// parse the field, because a service behind the gateway may verify signatures that the
// gateway does not. It reports true for some signatures that do not cover the field.
func MayCover(h http.Header, name string) bool {
	quoted := `"` + name + `"`
	return slices.ContainsFunc(h[headers.SignatureInput], func(value string) bool {
		return strings.Contains(strings.ToLower(value), quoted)
	})
}

// checkHeader refuses fields that an intermediary could add to a signed request and that
// change which covered fields reach the service: a Connection field that lists a
// covered field, so that it is not forwarded (RFC 9110, section 7.6.1), and a field
// whose name folds to that of a covered field. Connection fields with more options
// than certgate reads are refused too. The error is a [*refusal.Error] of reason
// ProofMalformed.
func checkHeader(covered []component, h http.Header) error {
	listed, err := headers.ParseConnection(h[headers.Connection])
	if err != nil {
		return refusal.New(refusal.ProofMalformed, "%v", err)
	}
	for _, c := range covered {
		if !strings.HasPrefix(c.name, "@") && listed.List(c.name) {
			return refusal.New(refusal.ProofMalformed, "want the covered field %.80q to be forwarded to the service, found it listed in Connection", c.name)
		}
	}
	for name := range h {
		for _, c := range covered {
			if name != c.field && headers.Same(name, c.field) {
				return refusal.New(refusal.ProofMalformed, "want the covered field %.80q without another field whose name folds to the same, found %.80q", c.name, name)
			}
		}
	}
	return nil
}
