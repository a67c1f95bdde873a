package public

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/certgate/certgate/internal/audit"
	"github.com/certgate/certgate/internal/core/access"
	"github.com/certgate/certgate/internal/core/headers"
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/http1/framing"
	"github.com/certgate/certgate/internal/proxy/ingress"
	"github.com/certgate/certgate/internal/surface/problem"
)

// NewRefuser returns the function with which a [framing.Listener] responds to requests
// that net/http refuses before any handler runs. It produces the same problem documents
// and audit records as the other refusals of the surface; status maps a reason to the
// surface's HTTP status. The recorded source is the peer, because the client address
// that a trusted proxy forwards is in a header, and the header was not parsed.
func NewRefuser(r *audit.Recorder, surface audit.Surface, status func(refusal.Reason) int) func(framing.Refusal) []byte {
	return func(refused framing.Refusal) []byte {
		now := time.Now()
		method, target := splitRequestLine(refused.RequestLine)
		reason := reasonFor(refused, target)
		p := problem.Problem{
			Reason: reason, Status: status(reason), RequestID: ingress.NewRequestID(), Hint: hintFor(refused, reason),
		}
		extra := retryAfter(reason)
		if surface != audit.Public {
			extra += headers.Reason + ": " + string(reason) + "\r\n"
		}
		response, n := rawProblem(p, now, extra)
		source := ""
		if addr, err := netip.ParseAddrPort(refused.Remote.String()); err == nil {
			source = addr.Addr().Unmap().String()
		}
		r.Record(&audit.Record{
			Time: now, Surface: surface, RequestID: p.RequestID, Method: method, Path: audit.PathWithoutQuery(target), Source: source,
			Decision: audit.Refused, Reason: reason, Detail: detailOf(refused, p.Hint),
			Status: p.Status, BytesOut: int64(n), Duration: time.Since(now),
		})
		return response
	}
}

func detailOf(r framing.Refusal, hint string) string {
	switch {
	case r.NotAdmitted:
		return "the connection is not from AUTHZ_PEERS"
	case r.Status == http.StatusServiceUnavailable:
		return "the connection limit is reached"
	case hint != "":
		return fmt.Sprintf("refused by net/http with status %d. %s", r.Status, hint)
	default:
		return fmt.Sprintf("refused by net/http with status %d", r.Status)
	}
}

// hintFor returns the hint for a PEM value with line breaks in a header, or "". Clients
// that do not validate header values, such as curl, make this mistake.
func hintFor(r framing.Refusal, reason refusal.Reason) string {
	switch {
	case r.PEM == "" || reason != refusal.RequestMalformed:
		return ""
	case strings.HasSuffix(r.PEM, "PRIVATE KEY"):
		return "There is a private key in a header, and every system that handled this request may have stored it: " +
			"make a new one, have the old certificate revoked, and attach a certificate"
	default:
		return "There are line breaks in a header: attach the certificate as base64 in one line, or percent-encoded"
	}
}

// splitRequestLine returns the method and the target of a request line. The target is
// everything between the method and the version, including spaces.
func splitRequestLine(line string) (method, target string) {
	method, rest, _ := strings.Cut(line, " ")
	if i := strings.LastIndex(rest, " HTTP/"); i >= 0 {
		rest = rest[:i]
	}
	return method, rest
}

func reasonFor(r framing.Refusal, target string) refusal.Reason {
	switch {
	case r.NotAdmitted:
		return refusal.PeerUntrusted
	case r.Status == http.StatusServiceUnavailable:
		return refusal.Overloaded
	case r.Status == http.StatusRequestHeaderFieldsTooLarge:
		return refusal.CredentialTooLarge
	case r.Status == http.StatusExpectationFailed:
		return refusal.ExpectationFailed
	case r.Ambiguous:
		return refusal.RequestAmbiguous
	}
	if _, err := access.ParseTarget(target); err != nil && target != "" {
		return refusal.PathAmbiguous
	}
	return refusal.RequestMalformed
}

// rawProblem serializes the whole response, with extra lines in its header. n is the
// length of its body in bytes.
func rawProblem(p problem.Problem, now time.Time, extra string) (response []byte, n int) {
	body := p.Document()
	head := fmt.Sprintf("HTTP/1.1 %d %s\r\nCache-Control: no-store\r\nConnection: close\r\nContent-Length: %d\r\n"+
		"Content-Type: "+problem.ContentType+"\r\nDate: %s\r\n%sX-Content-Type-Options: nosniff\r\n"+headers.RequestID+": %s\r\n\r\n",
		p.Status, http.StatusText(p.Status), len(body), now.UTC().Format(http.TimeFormat), extra, p.RequestID)
	return append([]byte(head), body...), len(body)
}

func retryAfter(reason refusal.Reason) string {
	if reason == refusal.Overloaded {
		return "Retry-After: 1\r\n"
	}
	return ""
}
