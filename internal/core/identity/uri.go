package identity

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// maxURI is the maximum length of a URI in bytes.
const maxURI = 255

// checkURI checks a SPIFFE ID or another absolute URI. Only URIs that have no other
// spelling with the same meaning are valid, because names are compared byte for byte.
func checkURI(name string) error {
	if n := utf8.RuneCountInString(name); n == 0 || len(name) > maxURI {
		return fmt.Errorf("want 1 to %d characters, found %d", maxURI, n)
	}
	for _, r := range name {
		if !isAlphanumeric(r) && !strings.ContainsRune("-._~:/@+=", r) {
			return fmt.Errorf("want only ASCII letters, digits and - . _ ~ : / @ + = in a URI, found %q", r)
		}
	}
	scheme, rest, absolute := strings.Cut(name, ":")
	switch {
	case !absolute || rest == "":
		return errors.New("want an absolute URI such as spiffe://example.org/mail or urn:example:mail, found one without scheme or path")
	case scheme == "" || scheme[0] < 'a' || scheme[0] > 'z' || strings.ContainsFunc(scheme, isNotScheme):
		return errors.New("want a scheme of lower-case letters, digits and + - . after a letter, found another")
	case scheme == "spiffe":
		return checkSPIFFE(name)
	case rest == "//":
		return errors.New("want a host after //, found none")
	}
	path := rest
	if after, found := strings.CutPrefix(rest, "//"); found {
		authority, _, _ := strings.Cut(after, "/")
		if err := checkAuthority(authority); err != nil {
			return err
		}
		path = after[len(authority):]
	}
	return checkPath(path)
}

// isNotScheme reports a character that is not valid in the scheme of a name. Schemes are
// case-insensitive (RFC 3986, section 3.1), so only one spelling is valid.
func isNotScheme(r rune) bool { return !isLowerAlphanumeric(r) && !strings.ContainsRune("+-.", r) }

// checkSPIFFE checks a SPIFFE ID. The path is required: an ID without one names a trust
// domain, and the X.509-SVID standard allows it in CA certificates only.
func checkSPIFFE(name string) error {
	id, err := spiffeid.FromString(name)
	switch {
	case err != nil:
		return fmt.Errorf("want a SPIFFE ID: %w", err)
	case id.Path() == "":
		return errors.New("want a SPIFFE ID with a path, found only a trust domain")
	}
	return nil
}

// checkAuthority checks a host name with an optional port.
func checkAuthority(authority string) error {
	host, port, hasPort := strings.Cut(authority, ":")
	if strings.Contains(authority, "@") {
		return errors.New("want a URI without user information, found @ before its path")
	}
	if err := checkHost(host); err != nil {
		return fmt.Errorf("the host: %w", err)
	}
	if n, err := strconv.ParseUint(port, 10, 16); hasPort && (err != nil || n == 0 || port[0] == '0') {
		return errors.New("want a port from 1 to 65535 without leading zeros, found another")
	}
	return nil
}

// checkPath refuses segments that programs remove or resolve. One slash at the end is
// valid.
func checkPath(path string) error {
	if strings.Contains(path, "//") {
		return errors.New("want a path without empty segments, found one")
	}
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "." || segment == ".." {
			return errors.New("want a path without dot segments, found one")
		}
	}
	return nil
}
