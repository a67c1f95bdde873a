package agent

import (
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// hosts are the names by which requests may ask for the agent. A page whose own
// name was made to resolve to this machine (DNS rebinding) asks by that name.
type hosts struct {
	names []string
	any   bool // of a Unix socket, which no browser reaches
}

func newHosts(o Options) hosts {
	if strings.HasPrefix(o.Listen, "unix:") {
		return hosts{any: true}
	}
	return hosts{names: append([]string{hostname(o.Listen)}, o.Names...)}
}

// know reports whether the Host field is one of the agent's. An IP address always
// is: nobody can make it resolve to another machine. So is none at all, which no
// browser sends.
func (h hosts) know(host string) bool {
	name := hostname(host)
	switch {
	case h.any, host == "", name == "localhost", strings.HasSuffix(name, ".localhost"):
		return true
	case net.ParseIP(name) != nil:
		return true
	default:
		return name != "" && slices.Contains(h.names, name)
	}
}

// hostname is the host without port, brackets, final dot and case.
func hostname(hostport string) string {
	name := (&url.URL{Host: hostport}).Hostname()
	return strings.ToLower(strings.TrimSuffix(name, "."))
}

// isForeign reports whether a browser sends the request for a page that is not the
// agent's own, be it only to look (net/http's CrossOriginProtection lets GET pass,
// but here even a GET speaks as the client).
func isForeign(r *http.Request) bool {
	for _, site := range r.Header.Values("Sec-Fetch-Site") {
		if site != "same-origin" && site != "none" {
			return true
		}
	}
	for _, origin := range r.Header.Values("Origin") {
		if u, err := url.Parse(origin); err != nil || !strings.EqualFold(u.Host, r.Host) || u.Host == "" {
			return true
		}
	}
	return false
}
