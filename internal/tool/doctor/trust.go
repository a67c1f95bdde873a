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

// spoofedAddress is an address that is reserved for documentation (RFC 5737).
const spoofedAddress = "192.0.2.66"

// forwardedFor checks which client address the gateway uses, and whether a client can
// choose it.
func (e *examination) forwardedFor(ctx context.Context) {
	const check = "X-Forwarded-For"
	e.source(check)
	a := e.send(ctx, with(check, spoofedAddress))
	switch {
	case a.answer == nil:
		e.add(OK, "spoofed "+check, "a request with a client's own X-Forwarded-For is refused: "+a.describe())
	case a.answer.Source == spoofedAddress && !strings.HasSuffix(strings.Join(a.answer.ForwardedFor, ","), spoofedAddress):
		e.add(Note, "spoofed "+check, "the load balancer appends to a client's own X-Forwarded-For, which is correct, but it appends an address in TRUSTED_PROXIES, so the gateway trusts the part that the client has sent; run the doctor from another network")
	case a.answer.Source == spoofedAddress:
		e.add(Problem, "spoofed "+check, "a client can choose its address: the load balancer forwards a client's own X-Forwarded-For unchanged, and the gateway trusts it; configure the load balancer to set the header or to append to it (nginx: proxy_set_header X-Forwarded-For $remote_addr)")
	case !slices.ContainsFunc(a.answer.ForwardedFor, func(line string) bool { return strings.Contains(line, spoofedAddress) }):
		e.add(OK, "spoofed "+check, "a client's own X-Forwarded-For is replaced")
	case a.answer.PeerTrusted:
		e.add(OK, "spoofed "+check, fmt.Sprintf("the load balancer appends to a client's own X-Forwarded-For, and the gateway uses the appended address: %s", a.answer.Source))
	default:
		e.add(Note, "spoofed "+check, "a client's own X-Forwarded-For arrives, and the gateway ignores it; do not add the load balancer to TRUSTED_PROXIES until it sets the header or appends to it")
	}
}

// source reports the client address of a request without X-Forwarded-For.
func (e *examination) source(check string) {
	b := e.base
	peer := b.Peer
	if host, _, err := net.SplitHostPort(b.Peer); err == nil {
		peer = host
	}
	received := "the load balancer sends none"
	if len(b.ForwardedFor) > 0 {
		received = fmt.Sprintf("the gateway receives %.400q", strings.Join(b.ForwardedFor, ", "))
	}
	switch {
	case !b.PeerTrusted && len(b.ForwardedFor) > 0:
		e.add(Note, check, fmt.Sprintf("%s and ignores it, because it comes from %s, which is not in TRUSTED_PROXIES: all clients have that address", received, peer))
	case !b.PeerTrusted:
		e.add(Note, check, fmt.Sprintf("%s: all clients have the address %s at the gateway", received, peer))
	case len(b.ForwardedFor) > 0:
		e.add(OK, check, fmt.Sprintf("%s from %s, which it trusts, and uses %s as the client's address", received, peer, b.Source))
	default:
		e.add(Problem, check, fmt.Sprintf("%s, and %s is in TRUSTED_PROXIES: configure the load balancer to set the header, or remove it from TRUSTED_PROXIES", received, peer))
	}
}

// spoofedValue returns the value that the doctor sends in a header of a proxy.
func (e *examination) spoofedValue(name string) string {
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

// spoofs sends the headers that only proxies should send, and reports how they arrive.
func (e *examination) spoofs(ctx context.Context) {
	const check = "proxy headers"
	var replaced, deleted, ignored []string
	for _, name := range echo.Spoofed() {
		value := e.spoofedValue(name)
		a := e.send(ctx, with(name, value))
		switch {
		case a.answer == nil && a.reason != "":
			e.explainSpoofRefusal(name, a)
		case a.answer == nil, !slices.Contains(a.answer.Header(name), echo.Of(value)):
			replaced = append(replaced, name)
		case name == "X-Client-Id":
			deleted = append(deleted, name)
		case a.answer.PeerTrusted && name == "X-Request-Id":
			e.add(Problem, check, "a client's own X-Request-Id arrives from the load balancer, which the gateway trusts, so the client chooses the id of its requests in the log and at the upstream: configure the load balancer to set or delete it (nginx: proxy_set_header X-Request-Id $request_id)")
		case a.answer.PeerTrusted && strings.HasPrefix(name, "X-Forwarded-") && !strings.HasSuffix(name, "-Cert"):
			e.add(Problem, check, fmt.Sprintf("a client's own %s arrives from the load balancer, which the gateway trusts, so the upstream trusts the client's value: configure the load balancer to set the header", name))
		default:
			ignored = append(ignored, name)
		}
	}
	if len(replaced) > 0 {
		e.add(OK, check, "the load balancer removes or replaces a client's own "+strings.Join(replaced, ", "))
	}
	if len(deleted) > 0 {
		e.add(OK, check, "a client's own "+strings.Join(deleted, ", ")+" arrives, and the gateway deletes it")
	}
	if len(ignored) > 0 {
		e.add(Note, check, fmt.Sprintf("a client's own %s arrives, and the gateway ignores it; configure the load balancer to set or delete such a header before TRUSTED_PROXIES and AUTH_PROXY_HEADER make the gateway trust it", strings.Join(ignored, ", ")))
	}
}

// explainSpoofRefusal reports why the gateway refuses a request with a spoofed header.
func (e *examination) explainSpoofRefusal(name string, a result) {
	switch {
	case a.reason == string(refusal.CredentialMalformed):
		e.add(Problem, "proxy headers", fmt.Sprintf("every client can impersonate any other client: a client's own %s arrives, and the gateway trusts it as the load balancer's (AUTH_PROXY_HEADER); configure the load balancer to set or delete it on every request", name))
	case a.reason == string(refusal.CredentialDuplicated):
		e.add(Note, "proxy headers", fmt.Sprintf("a client's own %s arrives in addition to the load balancer's, and the gateway refuses the request; configure the load balancer to replace it", name))
	case a.status() >= http.StatusInternalServerError || a.status() == http.StatusTooManyRequests:
		e.add(Problem, "proxy headers", fmt.Sprintf("%s could not be checked: %s", name, a.describe()))
	default:
		e.add(Note, "proxy headers", fmt.Sprintf("with a client's own %s %s", name, a.describe()))
	}
}
