package doctor

import (
	"context"
	"fmt"
	"strings"

	"github.com/certgate/certgate/internal/surface/echo"
)

// probe is a target that can come to harm, and the harms with their words. A
// harm without words is what any reader takes for the same.
type probe struct {
	behind string
	harms  []harm
}

type harm struct{ arrives, words string }

func probes() []probe {
	return []probe{
		{"/a%20b", []harm{{"/a+b", "%20 becomes +"}}},
		{"/a+b", []harm{{"/a%20b", "+ becomes %20"}, {"/a%2Bb", ""}}},
		{"/%41", []harm{{"/A", ""}}},
		{"/a/", []harm{{"/a", "the slash at the end is lost"}}},
		{"/a", []harm{{"/a/", "there is a slash more at the end"}}},
		{"/a;b=1", []harm{{"/a", "what is behind ; is lost"}, {"/a%3Bb=1", "; becomes %3B"}}},
		{"?q=a%20b+c%2Fd&q=&Q=1", []harm{
			{"", "the query is lost"}, {"?q=a+b+c%2Fd&q=&Q=1", "%20 becomes +"}, {"?q=a%20b%20c%2Fd&q=&Q=1", "+ becomes %20"},
			{"?q=a%20b+c/d&q=&Q=1", "%2F is decoded"}, {"?Q=1&q=a%20b+c%2Fd&q=", "the query is put in another order"},
			{"?q=a+b+c%2Fd&q=&Q=1", "%20 becomes +"}, {"?Q=1&q=a+b+c%2Fd&q=", "the query is written anew"},
		}},
	}
}

// targets looks at whether paths and queries arrive byte for byte: access rules
// are about what arrives.
func (e *examination) targets(ctx context.Context) {
	const check = "path and query"
	if e.foreign {
		return
	}
	var kept, respelled []string
	for _, p := range probes() {
		switch words, same := e.harmed(ctx, p); {
		case words != "":
			e.say(Problem, check, fmt.Sprintf("%s does not arrive as it is sent: %s; let the load balancer pass the target on as received (nginx: proxy_pass without a path)", p.behind, words))
		case same:
			kept = append(kept, p.behind)
		default:
			respelled = append(respelled, p.behind)
		}
	}
	if len(kept) > 0 {
		e.say(OK, check, "byte for byte: "+strings.Join(kept, ", "))
	}
	if len(respelled) > 0 {
		e.say(Note, check, "arrives in another spelling of the same path, which access rules do not tell apart: "+strings.Join(respelled, ", "))
	}
}

// harmed says what became of a target. Without words, same is whether it arrived
// byte for byte.
func (e *examination) harmed(ctx context.Context, p probe) (words string, same bool) {
	a := e.send(ctx, canary{behind: p.behind})
	if a.answer == nil {
		return a.refusal(), false
	}
	base := strings.TrimPrefix(e.target(canary{}), e.prefix)
	if a.answer.Target == echo.Of(base+p.behind) {
		return "", true
	}
	for _, h := range p.harms {
		if a.answer.Target == echo.Of(base+h.arrives) {
			return h.words, false
		}
	}
	return fmt.Sprintf("%d bytes are sent and %d arrive", len(base+p.behind), a.answer.Target.Length), false
}

// hop is about the connections from the load balancer to the gateway, of which
// every answer has told the other end.
func (e *examination) hop() {
	const check = "hop"
	again := 0
	seen := map[string]bool{}
	for _, peer := range e.peers {
		if seen[peer] {
			again++
		}
		seen[peer] = true
	}
	if e.base.Protocol == "HTTP/1.0" {
		e.say(Note, check, "the load balancer speaks HTTP/1.0 to the gateway: let it speak HTTP/1.1 (nginx: proxy_http_version 1.1)")
	}
	if again == 0 {
		e.say(Note, check, fmt.Sprintf("each of %d requests came to the gateway on a connection of its own: let the load balancer keep connections, they save time (nginx: keepalive in upstream, and proxy_set_header Connection \"\")", len(e.peers)))
		return
	}
	e.say(OK, check, fmt.Sprintf("the load balancer keeps its connections to the gateway: %d requests came on %d", len(e.peers), len(seen)))
}
