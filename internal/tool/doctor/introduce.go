package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"

	"github.com/certgate/certgate/internal/core/certheader"
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/surface/echo"
)

// introduce finds a form of the certificate that the gateway takes. Without one
// there is no echo, and nothing more to ask.
func (e *examination) introduce(ctx context.Context) bool {
	// The robust forms first.
	order := append([]certheader.Form{certheader.Base64PEM, certheader.Base64DER, certheader.RFC9440}, certheader.Forms()...)
	var first arrival
	for i, form := range order {
		e.form = form
		a := e.send(ctx, canary{})
		if i == 0 {
			first = a
			if e.connection(a); a.response == nil {
				return false
			}
		}
		if a.answer != nil {
			e.known(*a.answer)
			return true
		}
		if !dependsOnForm(a) {
			break
		}
	}
	e.say(Problem, "echo", e.unknown(first))
	return false
}

// dependsOnForm is false for answers that another form would get as well.
func dependsOnForm(a arrival) bool {
	switch refusal.Reason(a.reason) {
	case refusal.CredentialMalformed, refusal.CredentialTooLarge, refusal.RequestMalformed:
		return true
	case "":
		s := a.status()
		return s == 0 || s == http.StatusBadRequest || s == http.StatusForbidden || s == http.StatusRequestEntityTooLarge ||
			s == http.StatusRequestHeaderFieldsTooLarge || s == http.StatusInternalServerError
	default:
		return false
	}
}

// connection is about the way to the load balancer.
func (e *examination) connection(a arrival) {
	const check = "connection"
	host := e.URL.Host
	switch {
	case a.response == nil:
		e.say(Problem, check, unreachable(host, a.err))
	case a.response.TLS != nil:
		e.say(OK, check, fmt.Sprintf("%s answers by %s over %s with a certificate that holds", host, a.response.Proto, tls.VersionName(a.response.TLS.Version)))
	case isLoopback(e.URL.Hostname()):
		e.say(Note, check, fmt.Sprintf("%s answers by %s without TLS, on this machine", host, a.response.Proto))
	default:
		e.say(Problem, check, fmt.Sprintf("%s answers by %s without TLS: whoever sees the certificate on its way can send it again; use https", host, a.response.Proto))
	}
}

func unreachable(host string, err error) string {
	if unknown, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return fmt.Sprintf("%s shows a certificate of an authority that this machine does not know (%v): give the authority's certificate with --ca", host, unknown)
	}
	if wrong, ok := errors.AsType[x509.HostnameError](err); ok {
		return fmt.Sprintf("%s shows a certificate for another name (%v): use the name in it, or give the load balancer one for this name", host, wrong)
	}
	return fmt.Sprintf("%s does not answer: %v", host, err)
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// known notes what the first answer of the echo says.
func (e *examination) known(a echo.Answer) {
	e.base = a
	e.say(OK, "echo", fmt.Sprintf("the gateway knows the certificate, in form %s, for that of client %s", e.form, a.Client))
	path := e.target(canary{})
	for rest := path; rest != ""; rest = behindFirstSegment(rest) {
		if a.Target == echo.Of(rest) {
			e.prefix = strings.TrimSuffix(path, rest)
			if e.prefix != "" {
				e.say(Note, "path", fmt.Sprintf("the load balancer takes %s off the path: access rules are about the rest", e.prefix))
			}
			return
		}
	}
	e.foreign = true
	e.say(Note, "path", fmt.Sprintf("the load balancer makes another path of %s (%d bytes instead of %d): access rules are about what arrives; nothing else is tried about paths", path, a.Target.Length, len(path)))
}

// behindFirstSegment is "/b/c" of "/a/b/c", and "" of "/a".
func behindFirstSegment(path string) string {
	i := strings.IndexByte(path[1:], '/')
	if i < 0 {
		return ""
	}
	return path[1+i:]
}

// unknown says why the first canary was not answered by the echo, and what to do.
func (e *examination) unknown(a arrival) string {
	path := e.URL.EscapedPath()
	switch refusal.Reason(a.reason) {
	case "":
		return e.unanswered(a)
	case refusal.CredentialMissing, refusal.ProxyUntrusted:
		return fmt.Sprintf("the gateway finds no certificate in %s: let the load balancer pass %s on%s", e.wanted(a), e.wanted(a), e.renamed(a))
	case refusal.CredentialMalformed:
		return fmt.Sprintf("the gateway can read the certificate in no form: the load balancer damages %s; let it pass the value on as it is", e.Header)
	case refusal.CredentialDuplicated:
		return fmt.Sprintf("%s is sent once and arrives more than once: let the load balancer add none of its own", e.Header)
	case refusal.AccessDenied:
		return fmt.Sprintf("the gateway knows the certificate and has no echo at %s, or its deny list names the client: set ECHO_PATH=%s there", path, path)
	case refusal.Overloaded, refusal.RateLimited, refusal.Draining:
		return a.refusal() + ": try again later"
	default:
		return a.refusal() + ": certgate inspect shows what speaks against the certificate, and the gateway's log has the details"
	}
}

// wanted is the header that the gateway asks for.
func (e *examination) wanted(a arrival) string {
	_, rest, _ := strings.Cut(a.response.Header.Get("WWW-Authenticate"), `header="`)
	if name, _, ok := strings.Cut(rest, `"`); ok && name != "" && len(name) <= 100 {
		return name
	}
	return e.Header
}

func (e *examination) renamed(a arrival) string {
	if strings.EqualFold(e.wanted(a), e.Header) {
		return ""
	}
	return fmt.Sprintf(", and call certgate doctor with --header %s: the doctor has sent %s", e.wanted(a), e.Header)
}

// unanswered is unknown where the gateway has said nothing.
func (e *examination) unanswered(a arrival) string {
	path := e.URL.EscapedPath()
	switch s := a.status(); {
	case s >= 300 && s < 400:
		return fmt.Sprintf("%s redirects to %.200q: give that address with --url, because the doctor sends the certificate nowhere else", e.URL.Host, a.response.Header.Get("Location"))
	case s == http.StatusBadGateway || s == http.StatusServiceUnavailable || s == http.StatusGatewayTimeout:
		return fmt.Sprintf("the load balancer answers %d: it does not reach the gateway; look at its backend address and health check", s)
	case s == http.StatusBadRequest || s == http.StatusRequestEntityTooLarge || s == http.StatusRequestHeaderFieldsTooLarge:
		return fmt.Sprintf("the load balancer answers %d to a header of %d bytes: raise its limit for header lines", s, len(e.value(certheader.Base64PEM)))
	case s == http.StatusUnauthorized || s == http.StatusForbidden:
		return fmt.Sprintf("%s answers %d, and it is not the gateway: let the load balancer pass requests for %s on as they are", e.URL.Host, s, path)
	default:
		return fmt.Sprintf("%s answers %d, and it is not the echo: set ECHO_PATH=%s at the gateway, and let the load balancer send that path there", e.URL.Host, s, path)
	}
}
