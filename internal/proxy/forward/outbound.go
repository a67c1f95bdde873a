package forward

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/certgate/certgate/internal/core/access"
	"github.com/certgate/certgate/internal/core/headers"
	"github.com/certgate/certgate/internal/core/httpsig"
	"github.com/certgate/certgate/internal/http1/client"
	"github.com/certgate/certgate/internal/proxy/body"
	"github.com/certgate/certgate/internal/proxy/upstream"
	"github.com/certgate/certgate/internal/tracing"
)

// outboundRequest is a granted request to the upstream.
type outboundRequest struct {
	r        *http.Request
	g        access.Grant
	client   string // its name
	metadata *Metadata
	body     *body.Body
	// listed are the names in the Connection fields of the client.
	listed headers.Options
	// buffered is the request in memory, or nil if net/http's transport has to send it.
	buffered *client.Request
	small    []byte        // the body, if the transport sends it and it is short; else nil
	call     *tracing.Call // the span of the current attempt, or nil

	assertion   string // the signed assertion about the request, or empty
	reservation upstream.Reservation
	res         response // the zero value until the upstream has responded
}

// repeatable reports whether another attempt can send the whole body.
func (out *outboundRequest) repeatable() bool {
	return out.buffered != nil || out.small != nil || out.body.Unread()
}

// isInMemory reports whether the request was serialized with the whole body, so that nothing reads
// the client's request after the handler has returned. net/http's transport and an upload may.
func (out *outboundRequest) isInMemory() bool {
	if out.buffered == nil {
		return false
	}
	_, complete := out.buffered.Body()
	return complete
}

// eachField calls add with each field of the request to the upstream: first the client's
// fields that are forwarded, then the gateway's own, which no Connection field of the
// client can remove.
func (f *Forwarder) eachField(out *outboundRequest, add func(name, value string)) {
	skip := skipped{listed: out.listed, signaturesRead: out.metadata.SignaturesRead}
	if out.call != nil && !coversTrace(out.r.Header) {
		skip.traceparent, skip.tracestate = true, !out.call.ContinuesTrace()
		add(headers.Traceparent, out.call.Traceparent())
	}
	f.filter.each(out.r.Header, skip, add)
	addIdentity(&out.g, out.metadata, out.assertion, add)
	add(headers.ForwardedFor, out.metadata.For)
	add(headers.ForwardedProto, out.metadata.Proto)
	add(headers.ForwardedHost, out.metadata.Host)
	add(headers.RequestID, out.metadata.RequestID)
}

// coversTrace reports whether a signature of the client may cover the trace context, which
// is then forwarded unchanged. The spans of the service appear below the client's own span.
func coversTrace(h http.Header) bool {
	return httpsig.MayCover(h, "traceparent") || httpsig.MayCover(h, "tracestate")
}

// Identity calls add with each field that tells the upstream which client sent the
// request. It does nothing for an invalid grant.
func Identity(g access.Grant, metadata Metadata, add func(name, value string)) {
	if !g.Valid() {
		return
	}
	addIdentity(&g, &metadata, metadata.Assertion, add)
	add(headers.RequestID, metadata.RequestID)
}

func addIdentity(g *access.Grant, metadata *Metadata, assertion string, add func(name, value string)) {
	client := g.Client()
	cert := client.Certificate()
	add(headers.ClientID, client.Name())
	add(headers.ClientAuth, metadata.Auth)
	add(headers.ClientCertSerial, cert.Serial())
	add(headers.ClientCertFingerprint, cert.Fingerprint())
	if assertion != "" {
		add(headers.ClientAssertion, assertion)
	}
}

// writeRequest serializes the buffered request for the address of its reservation.
func (f *Forwarder) writeRequest(out *outboundRequest) {
	m := out.buffered
	_, host := upstream.Origin(out.reservation.URL())
	m.Begin(out.g.Method(), out.g.Target().String(), host)
	f.eachField(out, m.Field)
	m.End()
}

// transportRequest returns the request for net/http's transport and the address of its
// reservation. The transport reports to u.
func (f *Forwarder) transportRequest(out *outboundRequest, u *use) *http.Request {
	scheme, host := upstream.Origin(out.reservation.URL())
	req := new(http.Request).WithContext(u.withTrace(out.r.Context()))
	req.Method = out.g.Method()
	// The transport sends Opaque unchanged, while it would parse and rewrite Path and
	// RawQuery. A Target never begins with "//", the one case that URL.RequestURI
	// would change.
	req.URL = &url.URL{Scheme: scheme, Host: host, Opaque: out.g.Target().String()}
	req.Host = host
	req.Header = f.transportHeader(out)
	req.ContentLength = out.body.Length()
	if req.ContentLength == 0 {
		return req
	}
	// The transport cannot rewind either body, so it never sends one twice.
	if out.small != nil {
		// The transport recognizes this type and sends the body together with the header.
		req.Body = io.NopCloser(bytes.NewReader(out.small))
	} else {
		u.body = out.body.NewAttempt()
		req.Body = u.body
	}
	// See [client.Request.End].
	req.Close = !client.MethodHasContent(out.g.Method())
	return req
}

// transportHeader returns the header of the request for net/http's transport.
func (f *Forwarder) transportHeader(out *outboundRequest) http.Header {
	const own = 8 // about as many fields as the gateway adds; a larger map needs twice the memory
	h := make(http.Header, len(out.r.Header)+own)
	values := make([]string, 0, len(out.r.Header)+own) // one allocation for all names with a single value
	f.eachField(out, func(name, value string) {
		if earlier, ok := h[name]; ok {
			h[name] = append(earlier, value)
			return
		}
		values = append(values, value)
		h[name] = values[len(values)-1 : len(values) : len(values)]
	})
	hideIdempotencyKeys(h)
	if _, ok := h["User-Agent"]; !ok {
		h["User-Agent"] = nil // otherwise the transport adds its own
	}
	return h
}

// hideIdempotencyKeys renames the fields for which net/http's transport would send a POST
// a second time when a connection breaks. The transport looks for the canonical names only;
// to the upstream, letter case has no meaning.
func hideIdempotencyKeys(h http.Header) {
	for _, name := range []string{"Idempotency-Key", "X-Idempotency-Key"} {
		if values, ok := h[name]; ok {
			delete(h, name)
			h[strings.ToLower(name)] = values
		}
	}
}
