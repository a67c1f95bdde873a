package agent

import (
	"net/http"
	"strings"

	"github.com/certgate/certgate/internal/core/sameorigin"
)

// guard refuses what a browser sends for a page of another origin.
type guard struct {
	hosts sameorigin.Hosts
	unix  bool // the agent listens on a Unix socket, which no browser reaches
}

func newGuard(o Options) guard {
	if strings.HasPrefix(o.Listen, "unix:") {
		return guard{unix: true}
	}
	return guard{hosts: sameorigin.NewHosts(append([]string{o.Listen}, o.Names...)...)}
}

// know reports whether the Host field is one of the agent's; every one is on a Unix
// socket.
func (g guard) know(host string) bool { return g.unix || g.hosts.Know(host) }

// isForeign reports whether a browser sends the request, or may send it, for a page of
// another origin. GET is included, because here a GET speaks as the client, too.
func (g guard) isForeign(r *http.Request) bool {
	return sameorigin.IsForeign(r) || !g.unix && sameorigin.IsUnmarked(r)
}
