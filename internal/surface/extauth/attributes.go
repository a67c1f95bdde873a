package extauth

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	auth "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"

	"github.com/certgate/certgate/internal/core/gate"
	"github.com/certgate/certgate/internal/core/headers"
	"github.com/certgate/certgate/internal/core/refusal"
)

// headerOf returns the header of the request in canonical form, including the HTTP/2
// pseudo-header fields. It accepts both encodings that Envoy sends.
//
// By default Envoy joins the values of one name with commas, so that two certificates
// cannot be distinguished from a chain. A comma is therefore always read as a separator
// of values. Certificate chains require encode_raw_headers.
func headerOf(r *auth.AttributeContext_HttpRequest) http.Header {
	h := http.Header{}
	for name, joined := range r.GetHeaders() {
		name = http.CanonicalHeaderKey(name)
		h[name] = append(h[name], strings.Split(joined, ",")...)
	}
	for _, field := range r.GetHeaderMap().GetHeaders() {
		name := http.CanonicalHeaderKey(field.GetKey())
		if raw := field.GetRawValue(); len(raw) > 0 {
			h[name] = append(h[name], string(raw))
		}
		if field.GetValue() != "" || len(field.GetRawValue()) == 0 {
			h[name] = append(h[name], field.GetValue())
		}
	}
	return h
}

// describeAttributes returns the request that the attributes of a check describe. It
// refuses attributes that contain the same information twice with different values.
func describeAttributes(a *auth.AttributeContext, h http.Header) (request, *refusal.Error) {
	r := a.GetRequest().GetHttp()
	switch {
	case r.GetMethod() == "" || r.GetPath() == "":
		return request{}, refusal.New(refusal.OriginMissing, "want the attributes request.http.method and path, found %.20q and %.80q", r.GetMethod(), r.GetPath())
	case len(r.GetHeaders()) > 0 && len(r.GetHeaderMap().GetHeaders()) > 0:
		return request{}, refusal.New(refusal.OriginAmbiguous, "want either headers or header_map, found both")
	case !isConsistent(h[":method"], r.GetMethod(), r.GetHeaders()[":method"]) || !isConsistent(h[":path"], r.GetPath(), r.GetHeaders()[":path"]):
		return request{}, refusal.New(refusal.OriginAmbiguous, "the pseudo-header fields contradict the method and path of the attributes %.20q and %.80q", r.GetMethod(), r.GetPath())
	}
	return request{
		method: r.GetMethod(), target: r.GetPath(), header: h, handshake: a.GetSource().GetCertificate(),
		hasBody: len(contentOf(r)) > 0 || declaresBody(h), body: bodyOf(r, h),
	}, nil
}

// contentOf returns the part of the content that Envoy sends (with_request_body).
func contentOf(r *auth.AttributeContext_HttpRequest) []byte {
	if body := r.GetRawBody(); len(body) > 0 {
		return body
	}
	return []byte(r.GetBody())
}

// bodyOf returns the content if Envoy sends all of it, else nil. Empty content is not
// proof of an empty body, because the headers that would prove it can be set by the
// client. Partial content (allow_partial_message) is not used, because a signature could
// cover exactly the received part of a longer body.
func bodyOf(r *auth.AttributeContext_HttpRequest, h http.Header) gate.Body {
	body := contentOf(r)
	if len(body) == 0 || !onlyContains(h["X-Envoy-Auth-Partial-Body"], "false") || !onlyContains(h[headers.ContentLength], strconv.Itoa(len(body))) {
		return nil
	}
	return receivedBody{content: body}
}

// receivedBody is a body that Envoy sent with its check, or the error for which the body
// was dropped.
type receivedBody struct {
	content []byte
	err     error
}

// Hold implements [gate.Body].
func (b receivedBody) Hold(string) ([]byte, error) { return b.content, b.err }

// hold reserves budget for the content of the request and returns the number of reserved
// bytes. If the budget is exhausted, hold drops the content. The request can then still
// be allowed, unless a signature covers the content.
func (l *receiveLimiter) hold(r *request, attributes *auth.AttributeContext_HttpRequest) int64 {
	size := int64(len(attributes.GetRawBody()) + len(attributes.GetBody()))
	if size == 0 || l.budget.acquire(size) {
		return size
	}
	attributes.Body, attributes.RawBody = "", nil
	r.body = receivedBody{err: overloaded("want %d free bytes for the content, found fewer", size)}
	return 0
}

// declaresBody reports whether the header fields declare content. Any Content-Length
// other than 0 counts, and so does Transfer-Encoding.
func declaresBody(h http.Header) bool {
	return !onlyContains(h[headers.ContentLength], "0") || len(h[headers.TransferEncoding]) > 0
}

// onlyContains reports whether all values equal want. It is true for no values.
func onlyContains(values []string, want string) bool {
	return !slices.ContainsFunc(values, func(value string) bool { return value != want })
}

// isConsistent reports whether a field is absent or has the one value want. joined is
// the original value, before it was split at commas.
func isConsistent(values []string, want, joined string) bool {
	return len(values) == 0 || joined == want || slices.Equal(values, []string{want})
}
