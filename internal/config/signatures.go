package config

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/certgate/certgate/internal/core/access"
)

// proofMode is the default of the rules' proof field.
type proofMode access.Proof

func (p *proofMode) UnmarshalText(text []byte) error {
	switch s := access.Proof(text); s {
	case access.ProofOff, access.ProofObserve, access.ProofRequire:
		*p = proofMode(s)
		return nil
	default:
		return errors.New(quote(string(s)))
	}
}

// maxAuthorities is the maximum number of hosts in PUBLIC_AUTHORITY.
const maxAuthorities = 16

// authorities is a list of hosts by which clients address the service, in lower case
// and without the default ports of http and https.
type authorities struct {
	list []string
}

func (a *authorities) UnmarshalText(text []byte) error {
	s := string(text)
	if strings.Contains(s, "@") { // an error must not quote a password
		return errors.New("a host with user information")
	}
	var list []string
	for item := range strings.SplitSeq(s, ",") {
		host, err := parseAuthority(strings.TrimSpace(item))
		switch {
		case err != nil:
			return err
		case slices.Contains(list, host):
			return fmt.Errorf("%s twice", quote(host))
		case len(list) == maxAuthorities:
			return fmt.Errorf("more than %d hosts", maxAuthorities)
		}
		list = append(list, host)
	}
	a.list = list
	return nil
}

// authorityPattern matches a name, an IPv4 address or an IPv6 address in brackets, with
// an optional port.
var authorityPattern = regexp.MustCompile(`^(\[[0-9a-f:.]+\]|[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(?:\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*)(?::([0-9]+))?$`)

func parseAuthority(s string) (string, error) {
	lower := strings.ToLower(s)
	parts := authorityPattern.FindStringSubmatch(lower)
	if parts == nil {
		return "", errors.New(quote(s))
	}
	host, port := parts[1], parts[len(parts)-1]
	if strings.HasPrefix(host, "[") {
		if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err != nil {
			return "", errors.New(quote(s))
		}
	}
	switch number, err := portNumber(port); {
	case port == "", port == "80", port == "443":
		return host, nil
	case err != nil, number == 0, strconv.FormatUint(number, 10) != port:
		return "", fmt.Errorf("port %s in %s", quote(port), quote(s))
	}
	return lower, nil
}

// checksSignatures reports whether any rule verifies signatures, by its own proof field
// or by the default.
func checksSignatures(p *access.Policy, setting access.Proof) bool {
	return !p.EveryRule(func(rule access.Proof) bool { return cmp.Or(rule, setting) == access.ProofOff })
}

// warnNoAuthority describes the risk of signatures without PUBLIC_AUTHORITY.
const warnNoAuthority = "PUBLIC_AUTHORITY: without it, signatures are verified for the Host of each request: another service that receives a signed request can replay it here with that Host; set the hosts of this service"
