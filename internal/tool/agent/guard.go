package agent

import (
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// hosts are the host names that requests may use for the agent. A page whose own name
// was made to resolve to this machine (DNS rebinding) uses that name.
type hosts struct {
	names []string
	any   bool // true for a Unix socket, which no browser reaches
}

func newHosts(o Options) hosts {
	if strings.HasPrefix(o.Listen, "unix:") {
		return hosts{any: true}
	}
	return hosts{names: append([]string{hostname(o.Listen)}, o.Names...)}
}

// know reports whether the Host field is one of the agent's. IP addresses are, because
// no name server can make an address resolve to another machine, except those that
// [isMasked] names. An empty Host is, too: no browser sends one.
func (h hosts) know(host string) bool {
	name := hostname(host)
	addr, err := netip.ParseAddr(name)
	switch {
	case h.any, host == "":
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

// isForeign reports whether a browser sends the request for a page of another origin.
// GET is included, which net/http's CrossOriginProtection accepts, because here a GET
// speaks as the client, too.
func (h hosts) isForeign(r *http.Request) bool {
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
	return !h.any && !isTrustworthy(hostname(r.Host)) && isBrowser(r)
}

// isTrustworthy reports whether browsers send Sec-Fetch-Site to this host over plain
// HTTP (W3C Secure Contexts, 3.1): localhost and the loopback addresses. To any other
// host a page can send a GET with neither Origin nor Referer.
func isTrustworthy(name string) bool {
	addr, err := netip.ParseAddr(name)
	return isLocalhost(name) || err == nil && addr.IsLoopback() && !isMasked(addr)
}

// isBrowser reports whether the User-Agent field is that of a browser. A page cannot
// change it without a preflight request, which carries an Origin.
func isBrowser(r *http.Request) bool {
	return slices.ContainsFunc(r.Header.Values("User-Agent"), func(agent string) bool { return strings.HasPrefix(agent, "Mozilla/") })
}
