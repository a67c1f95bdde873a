package doctor

import (
	"context"
	"fmt"
	"strings"

	"github.com/certgate/certgate/internal/surface/echo"
)

// targetProbe is the end of a request target, with the changes that load balancers make
// to it.
type targetProbe struct {
	suffix  string
	changes []targetChange
}

// targetChange is a known change of a target. The text is empty if the path has the same
// meaning for access rules.
type targetChange struct{ arrives, text string }

func targetProbes() []targetProbe {
	return []targetProbe{
		{"/a%20b", []targetChange{{"/a+b", "%20 becomes +"}}},
		{"/a+b", []targetChange{{"/a%20b", "+ becomes %20"}, {"/a%2Bb", ""}}},
		{"/%41", []targetChange{{"/A", ""}}},
		{"/a/", []targetChange{{"/a", "the slash at the end is removed"}}},
		{"/a", []targetChange{{"/a/", "a slash is added at the end"}}},
		{"/a;b=1", []targetChange{{"/a", "the part after ; is removed"}, {"/a%3Bb=1", "; becomes %3B"}}},
		{"?q=a%20b+c%2Fd&q=&Q=1", []targetChange{
			{"", "the query is removed"}, {"?q=a+b+c%2Fd&q=&Q=1", "%20 becomes +"}, {"?q=a%20b%20c%2Fd&q=&Q=1", "+ becomes %20"},
			{"?q=a%20b+c/d&q=&Q=1", "%2F is decoded"}, {"?Q=1&q=a%20b+c%2Fd&q=", "the query is reordered"},
			{"?q=a+b+c%2Fd&q=&Q=1", "%20 becomes +"}, {"?Q=1&q=a+b+c%2Fd&q=", "the query is parsed and serialized again"},
		}},
	}
}

// pathAndQuery checks whether paths and queries arrive byte for byte. Access rules apply
// to the path that arrives.
func (e *examination) pathAndQuery(ctx context.Context) {
	const check = "path and query"
	if e.rewritten {
		return
	}
	var unchanged, reencoded []string
	for _, p := range targetProbes() {
		switch change, same := e.checkTarget(ctx, p); {
		case change != "":
			e.add(Problem, check, fmt.Sprintf("%s does not arrive unchanged: %s; configure the load balancer to forward the request target unchanged (nginx: proxy_pass without a path)", p.suffix, change))
		case same:
			unchanged = append(unchanged, p.suffix)
		default:
			reencoded = append(reencoded, p.suffix)
		}
	}
	if len(unchanged) > 0 {
		e.add(OK, check, "arrives byte for byte: "+strings.Join(unchanged, ", "))
	}
	if len(reencoded) > 0 {
		e.add(Note, check, "arrives in another encoding of the same path, which makes no difference for access rules: "+strings.Join(reencoded, ", "))
	}
}

// checkTarget sends a target and describes how it changed. If change is empty, same
// reports whether the target arrived byte for byte.
func (e *examination) checkTarget(ctx context.Context, p targetProbe) (change string, same bool) {
	a := e.send(ctx, canary{suffix: p.suffix})
	if a.answer == nil {
		return a.describe(), false
	}
	base := strings.TrimPrefix(e.target(canary{}), e.prefix)
	if a.answer.Target == echo.Of(base+p.suffix) {
		return "", true
	}
	for _, c := range p.changes {
		if a.answer.Target == echo.Of(base+c.arrives) {
			return c.text, false
		}
	}
	return fmt.Sprintf("%d bytes are sent and %d arrive", len(base+p.suffix), a.answer.Target.Length), false
}

// connections checks whether the load balancer reuses its connections to the gateway. The
// echo reports the peer address of each request.
func (e *examination) connections() {
	const check = "hop"
	reused := 0
	seen := map[string]bool{}
	for _, peer := range e.peers {
		if seen[peer] {
			reused++
		}
		seen[peer] = true
	}
	if e.base.Protocol == "HTTP/1.0" {
		e.add(Note, check, "the load balancer uses HTTP/1.0 to the gateway: configure HTTP/1.1 (nginx: proxy_http_version 1.1)")
	}
	if reused == 0 {
		e.add(Note, check, fmt.Sprintf("each of %d requests arrived on a connection of its own: configure the load balancer to reuse connections, which saves time (nginx: keepalive in upstream, and proxy_set_header Connection \"\")", len(e.peers)))
		return
	}
	e.add(OK, check, fmt.Sprintf("the load balancer reuses its connections to the gateway: %d requests arrived on %d", len(e.peers), len(seen)))
}
