// Package sameorigin recognizes requests that a browser sends to a local server for a page
// of another origin.
//
// Browsers in the same network reach a server on a loopback or internal address, and a page
// of any origin can make a browser send requests to it. [Hosts] detects DNS rebinding, where
// the name of a page resolves to the server's address: the Host field of such requests has
// the page's name. [IsForeign] detects other requests by the fields that a browser adds and
// that a page cannot change.
package sameorigin

import (
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// Hosts is the set of host names that requests may use for a server. It is immutable and
// safe for concurrent use. The zero value contains IP addresses and localhost.
type Hosts struct{ names []string }

// NewHosts returns a set of the names, IP addresses and localhost. Ports are ignored, and
// so are empty names.
func NewHosts(names ...string) Hosts {
	var h Hosts
	for _, name := range names {
		if name = hostname(name); name != "" {
			h.names = append(h.names, name)
		}
	}
	return h
}

// Contains reports whether the value of a Host field is in the set. The set contains every
// IP address, because DNS rebinding needs a name, except those for which [isUnlabelledLocal]
// returns true. It also contains the empty Host, because browsers never send one.
func (h Hosts) Contains(host string) bool {
	name := hostname(host)
	addr, err := netip.ParseAddr(name)
	switch {
	case host == "":
		return true
	case err == nil:
		return !isUnlabelledLocal(addr)
	case endsInNumber(name):
		return false
	default:
		return isLocalhost(name) || name != "" && slices.Contains(h.names, name)
	}
}

// isUnlabelledLocal reports whether the address may reach this machine and browsers do not
// treat it as local: the unspecified address, 0.0.0.0/8, IPv4 addresses written as IPv6 and
// addresses with a zone. Browsers do not send Sec-Fetch-Site to such an address, so a
// request for a foreign page cannot be recognized.
func isUnlabelledLocal(addr netip.Addr) bool {
	return addr.IsUnspecified() || addr.Is4() && addr.As4()[0] == 0 || addr.Is4In6() || addr.Zone() != ""
}

// endsInNumber reports whether the last label of the name is a number. URL parsers read
// such a name as an IPv4 address: 0, 0x0 and 0.0 are 0.0.0.0.
func endsInNumber(name string) bool {
	last := name[strings.LastIndexByte(name, '.')+1:]
	return last != "" && last[0] >= '0' && last[0] <= '9'
}

func isLocalhost(name string) bool {
	return name == "localhost" || strings.HasSuffix(name, ".localhost")
}

// hostname returns the host without port, brackets and final dot, in lower case.
func hostname(hostport string) string {
	name := (&url.URL{Host: hostport}).Hostname()
	return strings.ToLower(strings.TrimSuffix(name, "."))
}

// IsForeign reports whether the fields of a browser's request show that a page of another
// origin caused it. Unlike net/http's CrossOriginProtection, it includes GET requests. A
// page at another port of the same host is foreign.
func IsForeign(r *http.Request) bool {
	for _, site := range r.Header.Values("Sec-Fetch-Site") {
		if site != "same-origin" && site != "none" {
			return true
		}
	}
	for _, name := range []string{"Origin", "Referer"} {
		for _, page := range r.Header.Values(name) {
			if u, err := url.Parse(page); err != nil || !strings.EqualFold(u.Host, r.Host) || u.Host == "" {
				return true
			}
		}
	}
	return false
}

// LacksFetchMetadata reports whether a browser sent the request to a host to which browsers
// do not send Sec-Fetch-Site over plain HTTP (W3C Secure Contexts, 3.1): every host except
// localhost and the loopback addresses. A page can cause a GET without Origin and Referer
// there, which [IsForeign] cannot recognize. A server on which a GET has an effect must
// refuse such requests too.
func LacksFetchMetadata(r *http.Request) bool {
	name := hostname(r.Host)
	addr, err := netip.ParseAddr(name)
	hasMetadata := isLocalhost(name) || err == nil && addr.IsLoopback() && !isUnlabelledLocal(addr)
	return !hasMetadata && isBrowser(r)
}

// isBrowser reports whether the User-Agent field is the one of a browser. A page can change
// it only with a preflight request, which has an Origin.
func isBrowser(r *http.Request) bool {
	return slices.ContainsFunc(r.Header.Values("User-Agent"), func(agent string) bool { return strings.HasPrefix(agent, "Mozilla/") })
}
