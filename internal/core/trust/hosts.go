package trust

import (
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
)

// checkHosts applies the permitted email and URI constraints of every CA of a chain to the
// certificates below it. Both limit hosts: a constraint with a leading period permits the
// hosts below it, and one without permits exactly this host (RFC 5280, section 4.2.1.10).
// crypto/x509 has checked the chain already, but permits the hosts below both forms: a CA
// for partner.example could issue spiffe://tenant.partner.example/mail. The wider
// comparison is safe for excluded constraints, which crypto/x509 checks alone.
func checkHosts(chain []*x509.Certificate) error {
	for i, ca := range chain[1:] {
		for _, c := range chain[:i+1] {
			if err := checkPermittedHosts(ca, c); err != nil {
				return fmt.Errorf("the name constraints of the CA %.200q: %w", SubjectText(ca), err)
			}
		}
	}
	return nil
}

func checkPermittedHosts(ca, c *x509.Certificate) error {
	if permitted := ca.PermittedURIDomains; len(permitted) > 0 {
		for _, uri := range c.URIs {
			if !slices.ContainsFunc(permitted, func(base string) bool { return permitsHost(base, uri.Hostname()) }) {
				return fmt.Errorf("want a URI with a permitted host, found %.200q", uri)
			}
		}
	}
	if permitted := ca.PermittedEmailAddresses; len(permitted) > 0 {
		for _, address := range c.EmailAddresses {
			if !slices.ContainsFunc(permitted, func(base string) bool { return permitsAddress(base, address) }) {
				return fmt.Errorf("want a permitted email address, found %.200q", address)
			}
		}
	}
	return nil
}

// permitsHost reports whether a constraint permits the host. The empty constraint permits
// every host.
func permitsHost(base, host string) bool {
	base, host = strings.ToLower(base), strings.ToLower(host)
	return base == "" || base == host || base[0] == '.' && strings.HasSuffix(host, base)
}

// permitsAddress reports whether a constraint permits the email address. A constraint with
// @ permits this address only.
func permitsAddress(base, address string) bool {
	at := strings.LastIndex(address, "@")
	if at < 0 {
		return false
	}
	local, host := address[:at], address[at+1:]
	if i := strings.LastIndex(base, "@"); i >= 0 {
		return base[:i] == local && strings.EqualFold(base[i+1:], host)
	}
	return permitsHost(base, host)
}
