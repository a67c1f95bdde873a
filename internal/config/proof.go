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

// proof is what holds for the rules that say nothing of proof.
type proof access.Proof

func (p *proof) UnmarshalText(text []byte) error {
	switch s := access.Proof(text); s {
	case access.ProofOff, access.ProofObserve, access.ProofRequire:
		*p = proof(s)
		return nil
	default:
		return errors.New(quote(string(s)))
	}
}

// maxAuthorities is how many names one service has at most.
const maxAuthorities = 16

// authorities are the hosts that clients know the service by, each in one spelling:
// lower case, and without a port that a URL may leave out.
type authorities struct {
	list []string
}

func (a *authorities) UnmarshalText(text []byte) error {
	s := string(text)
	if strings.Contains(s, "@") { // before anything can quote a password
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

// authorityForm is a name, an IPv4 address or an IPv6 address in brackets, and
// perhaps a port.
var authorityForm = regexp.MustCompile(`^(\[[0-9a-f:.]+\]|[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(?:\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*)(?::([0-9]+))?$`)

func parseAuthority(s string) (string, error) {
	lower := strings.ToLower(s)
	parts := authorityForm.FindStringSubmatch(lower)
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

// looksAtSignatures is true when a rule does, by itself or by the setting.
func looksAtSignatures(p *access.Policy, setting access.Proof) bool {
	return !p.EveryRule(func(said access.Proof) bool { return cmp.Or(said, setting) == access.ProofOff })
}

// warnNoAuthority is why a signature is worth less without PUBLIC_AUTHORITY.
const warnNoAuthority = "PUBLIC_AUTHORITY: nothing says for which host clients sign, so the Host of each request counts: another service that receives a signed request can send it here under that Host; name the hosts of this service"
