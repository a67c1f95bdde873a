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

// connect finds a form of the certificate that the gateway accepts. It returns false if
// there is none: without one, the echo does not respond.
func (e *examination) connect(ctx context.Context) bool {
	// The forms that load balancers seldom damage come first.
	order := append([]certheader.Form{certheader.Base64PEM, certheader.Base64DER, certheader.RFC9440}, certheader.Forms()...)
	var first result
	for i, form := range order {
		e.form = form
		a := e.send(ctx, canary{})
		if i == 0 {
			first = a
			if e.checkConnection(a); a.response == nil {
				return false
			}
		}
		if a.answer != nil {
			e.recordBase(*a.answer)
			return true
		}
		if !dependsOnForm(a) {
			break
		}
	}
	e.add(Problem, "echo", e.explainRefusal(first))
	return false
}

// dependsOnForm reports whether another form of the certificate may get another response.
func dependsOnForm(a result) bool {
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

// checkConnection reports on the connection to the load balancer.
func (e *examination) checkConnection(a result) {
	const check = "connection"
	host := e.URL.Host
	switch {
	case a.response == nil:
		e.add(Problem, check, describeConnectionError(host, a.err))
	case a.response.TLS != nil:
		e.add(OK, check, fmt.Sprintf("%s responds over %s and %s with a valid certificate", host, a.response.Proto, tls.VersionName(a.response.TLS.Version)))
	case isLoopback(e.URL.Hostname()):
		e.add(Note, check, fmt.Sprintf("%s responds over %s without TLS, on this machine", host, a.response.Proto))
	default:
		e.add(Problem, check, fmt.Sprintf("%s responds over %s without TLS: everyone who can read the traffic can send the certificate again; use https", host, a.response.Proto))
	}
}

func describeConnectionError(host string, err error) string {
	if unknown, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return fmt.Sprintf("%s has a certificate of a CA that this machine does not trust (%v): set the CA certificate with --ca", host, unknown)
	}
	if wrong, ok := errors.AsType[x509.HostnameError](err); ok {
		return fmt.Sprintf("%s has a certificate for another name (%v): use that name, or install a certificate for this name at the load balancer", host, wrong)
	}
	return fmt.Sprintf("%s does not respond: %v", host, err)
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// recordBase records the first echo, and reports the client and how the path arrived.
func (e *examination) recordBase(a echo.Response) {
	e.base = a
	e.add(OK, "echo", fmt.Sprintf("the gateway accepts the certificate, in form %s, as that of client %s", e.form, a.Client))
	path := e.target(canary{})
	for rest := path; rest != ""; rest = withoutFirstSegment(rest) {
		if a.Target == echo.Of(rest) {
			e.prefix = strings.TrimSuffix(path, rest)
			if e.prefix != "" {
				e.add(Note, "path", fmt.Sprintf("the load balancer removes %s from the path: access rules apply to the rest", e.prefix))
			}
			return
		}
	}
	e.rewritten = true
	e.add(Note, "path", fmt.Sprintf("the load balancer replaces the path %s by another one (%d bytes instead of %d): access rules apply to the path that arrives; the other checks of paths are skipped", path, a.Target.Length, len(path)))
}

// withoutFirstSegment removes the first segment of a path: it returns "/b/c" for "/a/b/c"
// and "" for "/a".
func withoutFirstSegment(path string) string {
	i := strings.IndexByte(path[1:], '/')
	if i < 0 {
		return ""
	}
	return path[1+i:]
}

// explainRefusal describes why the first canary did not reach the echo, and what to do.
func (e *examination) explainRefusal(a result) string {
	path := e.URL.EscapedPath()
	switch refusal.Reason(a.reason) {
	case "":
		return e.explainStatus(a)
	case refusal.CredentialMissing, refusal.ProxyUntrusted:
		return fmt.Sprintf("the gateway finds no certificate in %s: configure the load balancer to forward %s%s", e.expectedHeader(a), e.expectedHeader(a), e.renameHint(a))
	case refusal.CredentialMalformed:
		return fmt.Sprintf("the gateway cannot read the certificate in any form: the load balancer damages %s; configure it to forward the value unchanged", e.Header)
	case refusal.CredentialDuplicated:
		return fmt.Sprintf("%s is sent once and arrives more than once: configure the load balancer to add no %[1]s of its own", e.Header)
	case refusal.AccessDenied:
		return fmt.Sprintf("the gateway accepts the certificate, but has no echo at %s, or its deny list contains the client: set ECHO_PATH=%s at the gateway", path, path)
	case refusal.Overloaded, refusal.RateLimited, refusal.Draining:
		return a.describe() + ": try again later"
	default:
		return a.describe() + ": certgate inspect shows the reasons to refuse the certificate, and the gateway's log contains the details"
	}
}

// expectedHeader returns the header in which the gateway expects the certificate.
func (e *examination) expectedHeader(a result) string {
	_, rest, _ := strings.Cut(a.response.Header.Get("WWW-Authenticate"), `header="`)
	if name, _, ok := strings.Cut(rest, `"`); ok && name != "" && len(name) <= 100 {
		return name
	}
	return e.Header
}

func (e *examination) renameHint(a result) string {
	if strings.EqualFold(e.expectedHeader(a), e.Header) {
		return ""
	}
	return fmt.Sprintf(", and run certgate doctor with --header %s: the doctor has sent %s", e.expectedHeader(a), e.Header)
}

// explainStatus describes a response that is not the gateway's.
func (e *examination) explainStatus(a result) string {
	path := e.URL.EscapedPath()
	switch s := a.status(); {
	case s >= 300 && s < 400:
		return fmt.Sprintf("%s redirects to %.200q: use that address as --url, because the doctor follows no redirects with the certificate", e.URL.Host, a.response.Header.Get("Location"))
	case s == http.StatusBadGateway || s == http.StatusServiceUnavailable || s == http.StatusGatewayTimeout:
		return fmt.Sprintf("the load balancer responds with %d: it cannot reach the gateway; check its backend address and health check", s)
	case s == http.StatusBadRequest || s == http.StatusRequestEntityTooLarge || s == http.StatusRequestHeaderFieldsTooLarge:
		return fmt.Sprintf("the load balancer responds with %d to a header of %d bytes: raise its limit for header lines", s, len(e.value(certheader.Base64PEM)))
	case s == http.StatusUnauthorized || s == http.StatusForbidden:
		return fmt.Sprintf("%s responds with %d, and this is not the gateway's response: configure the load balancer to forward requests for %s unchanged", e.URL.Host, s, path)
	default:
		return fmt.Sprintf("%s responds with %d, and this is not the echo: set ECHO_PATH=%s at the gateway, and configure the load balancer to forward that path to the gateway", e.URL.Host, s, path)
	}
}
