package proof

import (
	"net/http"
	"strings"

	"github.com/certgate/certgate/internal/denial"
)

// checkKept refuses a covered field that Connection lists (RFC 9110, section 7.6.1):
// the next one on the way drops it, so whoever stands in between could take away
// what the client signed.
func checkKept(covered []component, connection []string) error {
	for _, line := range connection {
		for option := range strings.SplitSeq(line, ",") {
			name := http.CanonicalHeaderKey(strings.Trim(option, " \t"))
			for _, c := range covered {
				if c.field != "" && c.field == name {
					return denial.New(denial.ProofMalformed, "want covered fields to go on, found %q listed in Connection", c.name)
				}
			}
		}
	}
	return nil
}
