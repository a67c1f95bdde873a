package proof

import (
	"net/http"
	"strings"

	"github.com/certgate/certgate/internal/denial"
)

// checkHeader refuses fields that anybody could add and that change what the service
// gets of those that are covered: one that lists a covered field as the connection's
// own business, so that it is not forwarded (RFC 9110, section 7.6.1), and one whose
// name some services take for a covered field's, as CGI and WSGI take "_" for "-".
func checkHeader(covered []component, h http.Header) error {
	for _, options := range h["Connection"] {
		for option := range strings.SplitSeq(options, ",") {
			if option = strings.Trim(option, " \t"); coversField(covered, option) {
				return denial.New(denial.ProofMalformed, "want the covered field %.80q to go on to the service, found it listed in Connection", option)
			}
		}
	}
	for name := range h {
		for _, c := range covered {
			if len(name) == len(c.field) && name != c.field && isTwin(name, c.field) {
				return denial.New(denial.ProofMalformed, "want the covered field %.80q without a second one of nearly its name, found %.80q", c.name, name)
			}
		}
	}
	return nil
}

// coversField takes the name in any case.
func coversField(covered []component, name string) bool {
	return covers(covered, name) && !strings.HasPrefix(name, "@")
}

// isTwin reports whether names of the same length are one to a service for which
// case does not count, nor which byte it is that is neither letter nor digit.
func isTwin(a, b string) bool {
	for i := range len(a) {
		if folded(a[i]) != folded(b[i]) {
			return false
		}
	}
	return true
}

func folded(c byte) byte {
	switch {
	case 'A' <= c && c <= 'Z':
		return c + 'a' - 'A'
	case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
		return c
	default:
		return '-'
	}
}
