package doctor

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"

	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/surface/echo"
)

// invented is an address that nobody has (RFC 5737).
const invented = "192.0.2.66"

// forwardedFor looks at whom the gateway takes for the client, and whether a
// client can say so itself.
func (e *examination) forwardedFor(ctx context.Context) {
	const check = "X-Forwarded-For"
	e.source(check)
	a := e.send(ctx, with(check, invented))
	switch {
	case a.answer == nil:
		e.say(OK, "spoofed "+check, "a client's own X-Forwarded-For is not let through: "+a.refusal())
	case a.answer.Source == invented && !strings.HasSuffix(strings.Join(a.answer.ForwardedFor, ","), invented):
		e.say(Note, "spoofed "+check, "the load balancer appends to a client's own X-Forwarded-For, as it should, but it appends an address in TRUSTED_PROXIES: for what comes from there the gateway believes the client's; run the doctor from outside")
	case a.answer.Source == invented:
		e.say(Problem, "spoofed "+check, "a client can choose its address: the load balancer passes a client's own X-Forwarded-For on as it is, and the gateway trusts it; let the load balancer set or append it (nginx: proxy_set_header X-Forwarded-For $remote_addr)")
	case !slices.ContainsFunc(a.answer.ForwardedFor, func(line string) bool { return strings.Contains(line, invented) }):
		e.say(OK, "spoofed "+check, "a client's own X-Forwarded-For is replaced")
	case a.answer.PeerTrusted:
		e.say(OK, "spoofed "+check, fmt.Sprintf("a client's own X-Forwarded-For arrives with the load balancer's word behind it, and the gateway believes that: %s", a.answer.Source))
	default:
		e.say(Note, "spoofed "+check, "a client's own X-Forwarded-For arrives, and the gateway believes nothing of it; keep it so until the load balancer sets or appends the header")
	}
}

// source is about a request whose client said nothing of its address.
func (e *examination) source(check string) {
	b := e.base
	peer := b.Peer
	if host, _, err := net.SplitHostPort(b.Peer); err == nil {
		peer = host
	}
	said := "the load balancer sends none"
	if len(b.ForwardedFor) > 0 {
		said = fmt.Sprintf("the gateway sees %.400q", strings.Join(b.ForwardedFor, ", "))
	}
	switch {
	case !b.PeerTrusted && len(b.ForwardedFor) > 0:
		e.say(Note, check, fmt.Sprintf("%s and does not believe it, because it comes from %s, which is not in TRUSTED_PROXIES: all clients have that one address", said, peer))
	case !b.PeerTrusted:
		e.say(Note, check, fmt.Sprintf("%s: the gateway sees every client at %s", said, peer))
	case len(b.ForwardedFor) > 0:
		e.say(OK, check, fmt.Sprintf("%s from %s, which it trusts, and takes %s for the client", said, peer, b.Source))
	default:
		e.say(Problem, check, fmt.Sprintf("%s, and %s is in TRUSTED_PROXIES: let it set the header, or take it out of TRUSTED_PROXIES", said, peer))
	}
}

// spoof is what a client invents in a header of a proxy.
func (e *examination) spoof(name string) string {
	switch {
	case name == "X-Forwarded-Host":
		return "certgate-doctor.invalid"
	case name == "X-Forwarded-Proto" && e.URL.Scheme == "https":
		return "http"
	case name == "X-Forwarded-Proto":
		return "https"
	default:
		return "certgate-doctor"
	}
}

// spoofs sends what only proxies should send, and sums up what becomes of it.
func (e *examination) spoofs(ctx context.Context) {
	const check = "proxy headers"
	var stopped, deleted, idle []string
	for _, name := range echo.Spoofed() {
		value := e.spoof(name)
		a := e.send(ctx, with(name, value))
		switch {
		case a.answer == nil && a.reason != "":
			e.taken(name, a)
		case a.answer == nil, !slices.Contains(a.answer.Header(name), echo.Of(value)):
			stopped = append(stopped, name)
		case name == "X-Client-Id":
			deleted = append(deleted, name)
		case a.answer.PeerTrusted && name == "X-Request-Id":
			e.say(Problem, check, "a client's own X-Request-Id arrives from the load balancer, which the gateway trusts, and so the client chooses the id of its requests in the log and at the upstream: let the load balancer set or delete it (nginx: proxy_set_header X-Request-Id $request_id)")
		case a.answer.PeerTrusted && strings.HasPrefix(name, "X-Forwarded-") && !strings.HasSuffix(name, "-Cert"):
			e.say(Problem, check, fmt.Sprintf("a client's own %s arrives from the load balancer, which the gateway trusts, and so the upstream believes it: let the load balancer set it", name))
		default:
			idle = append(idle, name)
		}
	}
	if len(stopped) > 0 {
		e.say(OK, check, "the load balancer stops or replaces a client's own "+strings.Join(stopped, ", "))
	}
	if len(deleted) > 0 {
		e.say(OK, check, "a client's own "+strings.Join(deleted, ", ")+" arrives, and the gateway deletes it")
	}
	if len(idle) > 0 {
		e.say(Note, check, fmt.Sprintf("a client's own %s arrives, and the gateway believes none of it; let the load balancer set or delete one before TRUSTED_PROXIES and AUTH_PROXY_HEADER make the gateway believe it", strings.Join(idle, ", ")))
	}
}

// taken is about a request that the gateway refuses for a header more.
func (e *examination) taken(name string, a arrival) {
	switch {
	case a.reason == string(refusal.CredentialMalformed):
		e.say(Problem, "proxy headers", fmt.Sprintf("anybody can pose as any client: what a client itself sends as %s arrives, and the gateway takes it for the load balancer's word (AUTH_PROXY_HEADER); let the load balancer set it, or delete it, on every request", name))
	case a.reason == string(refusal.CredentialDuplicated):
		e.say(Note, "proxy headers", fmt.Sprintf("a client's own %s arrives beside the load balancer's, and the gateway refuses the two; let the load balancer replace it", name))
	case a.status() >= http.StatusInternalServerError || a.status() == http.StatusTooManyRequests:
		e.say(Problem, "proxy headers", fmt.Sprintf("%s could not be tried: %s", name, a.refusal()))
	default:
		e.say(Note, "proxy headers", fmt.Sprintf("with a client's own %s %s", name, a.refusal()))
	}
}
