// Package sameorigin recognizes requests that a browser sends to a local server for a
// page of another origin.
//
// A server on a loopback or internal address is reached by the browsers of its network
// too, and a page of any origin can make a browser send requests there. [Hosts] refuses
// requests of a page whose own name was made to resolve to the server's address (DNS
// rebinding): these ask for the page's name. [IsForeign] recognizes others by the fields
// that a browser adds and a page cannot change.
package sameorigin

import (
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// Hosts are the host names that requests may use for a server. It is immutable and safe
// for concurrent use. The zero value knows IP addresses and localhost.
type Hosts struct{ names []string }

// NewHosts makes the hosts of these names beside IP addresses and localhost. The port of
// a name does not count. Empty names are ignored.
func NewHosts(names ...string) Hosts {
	var h Hosts
	for _, name := range names {
		if name = hostname(name); name != "" {
			h.names = append(h.names, name)
		}
	}
	return h
}

// Know reports whether the value of a Host field is one of the hosts. IP addresses are,
// because no name server can make an address resolve to another machine, except those
// that [isMasked] names. An empty Host is, too: no browser sends one.
func (h Hosts) Know(host string) bool {
	name := hostname(host)
	addr, err := netip.ParseAddr(name)
	switch {
	case host == "":
		return true
	case err == nil:
		return !isMasked(addr)
	case endsInNumber(name):
		return false
	default:
		return isLocalhost(name) || name != "" && slices.Contains(h.names, name)
	}
}

// isMasked reports whether the address reaches this machine although browsers do not
// count it as this machine: the unspecified address, 0.0.0.0/8, IPv4 addresses written
// as IPv6 and addresses with a zone. Browsers send no Sec-Fetch-Site to such an
// address, and so nothing that tells the request of a foreign page from another.
func isMasked(addr netip.Addr) bool {
	return addr.IsUnspecified() || addr.Is4() && addr.As4()[0] == 0 || addr.Is4In6() || addr.Zone() != ""
}

// endsInNumber reports whether the last label is a number. URL parsers read such a
// name as an IPv4 address in another spelling: 0, 0x0 and 0.0 are 0.0.0.0.
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

// IsForeign reports whether a browser says that it sends the request for a page of
// another origin. GET is included, which net/http's CrossOriginProtection accepts. A page
// at another port of the same host is foreign.
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

// IsUnmarked reports whether a browser sends the request to a host to which browsers
// send no Sec-Fetch-Site over plain HTTP (W3C Secure Contexts, 3.1): any except localhost
// and the loopback addresses. A page can send a GET there with neither Origin nor
// Referer, so [IsForeign] cannot recognize it. A server where a GET has an effect has to
// refuse such requests as well.
func IsUnmarked(r *http.Request) bool {
	name := hostname(r.Host)
	addr, err := netip.ParseAddr(name)
	isMarked := isLocalhost(name) || err == nil && addr.IsLoopback() && !isMasked(addr)
	return !isMarked && isBrowser(r)
}

// isBrowser reports whether the User-Agent field is that of a browser. A page cannot
// change it without a preflight request, which carries an Origin.
func isBrowser(r *http.Request) bool {
	return slices.ContainsFunc(r.Header.Values("User-Agent"), func(agent string) bool { return strings.HasPrefix(agent, "Mozilla/") })
}
