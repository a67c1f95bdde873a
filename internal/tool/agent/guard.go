package agent

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/certgate/certgate/internal/core/sameorigin"
)

// guard recognizes requests that a browser sends for a web page of another origin.
type guard struct {
	hosts sameorigin.Hosts
	unix  bool // whether the agent listens on a Unix socket, which browsers cannot reach
}

func newGuard(o Options) guard {
	if strings.HasPrefix(o.Listen, "unix:") {
		return guard{unix: true}
	}
	return guard{hosts: sameorigin.NewHosts(append([]string{o.Listen}, o.Names...)...)}
}

// accepts reports whether the Host of a request is one of the agent's. On a Unix socket
// every Host is.
func (g guard) accepts(host string) bool { return g.unix || g.hosts.Contains(host) }

// isCrossOrigin reports whether a browser sent the request, or may have sent it, for a
// page of another origin. It includes GET, which http.CrossOriginProtection accepts,
// because the agent signs a GET as its client, too.
func (g guard) isCrossOrigin(r *http.Request) bool {
	return sameorigin.IsForeign(r) || !g.unix && sameorigin.LacksFetchMetadata(r)
}

// hostname returns the host of a Host field without port, brackets and final dot, in
// lower case.
func hostname(hostport string) string {
	name := (&url.URL{Host: hostport}).Hostname()
	return strings.ToLower(strings.TrimSuffix(name, "."))
}

func isLocalhost(name string) bool {
	return name == "localhost" || strings.HasSuffix(name, ".localhost")
}
