// Package sameorigin recognizes requests that a browser sends to a local server for a
// page of another site.
//
// A server on a loopback or internal address is reached by the browsers of its network
// too, and a page of any site can make a browser send requests there. [Hosts] refuses
// requests of a page whose own name was made to resolve to the server's address (DNS
// rebinding): these ask for the page's name. [IsForeign] recognizes the others by the
// fields that a browser adds and a page cannot change.
package sameorigin

import (
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// Hosts are the names by which a server may be asked. It is immutable and safe for
// concurrent use; the zero value knows IP addresses and localhost.
type Hosts struct{ names []string }

// NewHosts makes the hosts of these names beside IP addresses and localhost. A name may
// have a port, which does not count. Empty names are ignored.
func NewHosts(names ...string) Hosts {
	var h Hosts
	for _, name := range names {
		if name = hostname(name); name != "" {
			h.names = append(h.names, name)
		}
	}
	return h
}

// Know reports whether the value of a Host field is one of the hosts. An IP address
// is, because nobody can make it resolve to another machine, except an unspecified one
// (0.0.0.0, [::]), by which some browsers let pages reach their own machine. An empty
// value is one too: only programs send it.
func (h Hosts) Know(host string) bool {
	name := hostname(host)
	if addr, err := netip.ParseAddr(name); err == nil {
		return !addr.Unmap().WithZone("").IsUnspecified()
	}
	switch {
	case host == "", name == "localhost", strings.HasSuffix(name, ".localhost"):
		return true
	default:
		return name != "" && slices.Contains(h.names, name)
	}
}

// hostname returns the host without port, brackets, final dot and case.
func hostname(hostport string) string {
	name := (&url.URL{Host: hostport}).Hostname()
	return strings.ToLower(strings.TrimSuffix(name, "."))
}

// IsForeign reports whether a browser sends the request for a page that is not the
// server's own. Every method counts: net/http's CrossOriginProtection lets GET pass. A
// page of the same site, such as another port of localhost, is foreign.
func IsForeign(r *http.Request) bool {
	for _, site := range r.Header["Sec-Fetch-Site"] {
		if site != "same-origin" && site != "none" {
			return true
		}
	}
	for _, name := range []string{"Origin", "Referer"} {
		for _, from := range r.Header[name] {
			if u, err := url.Parse(from); err != nil || u.Host == "" || !strings.EqualFold(u.Host, r.Host) {
				return true
			}
		}
	}
	return false
}
