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

// headerOf reads the header in either of the forms in which Envoy sends it, with
// canonical names and the pseudo-header fields of HTTP/2 among them.
//
// By default Envoy joins the values of one name with commas, so that two certificates
// and a chain look alike. A comma therefore always separates two values. Chains need
// encode_raw_headers.
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

// describeAttributes reads the request that Envoy asks about. What the attributes
// say twice must be the same.
func describeAttributes(a *auth.AttributeContext, h http.Header) (request, *refusal.Error) {
	r := a.GetRequest().GetHttp()
	switch {
	case r.GetMethod() == "" || r.GetPath() == "":
		return request{}, refusal.New(refusal.OriginMissing, "want the attributes request.http.method and path, found %.20q and %.80q", r.GetMethod(), r.GetPath())
	case len(r.GetHeaders()) > 0 && len(r.GetHeaderMap().GetHeaders()) > 0:
		return request{}, refusal.New(refusal.OriginAmbiguous, "want either headers or header_map, found both")
	case !agrees(h[":method"], r.GetMethod(), r.GetHeaders()[":method"]) || !agrees(h[":path"], r.GetPath(), r.GetHeaders()[":path"]):
		return request{}, refusal.New(refusal.OriginAmbiguous, "the pseudo-header fields say another method or path than the attributes %.20q and %.80q", r.GetMethod(), r.GetPath())
	}
	return request{
		method: r.GetMethod(), target: r.GetPath(), header: h, handshake: a.GetSource().GetCertificate(),
		hasBody: len(contentOf(r)) > 0 || announcesBody(h), body: bodyOf(r, h),
	}, nil
}

// contentOf is what Envoy sends of the content (with_request_body).
func contentOf(r *auth.AttributeContext_HttpRequest) []byte {
	if body := r.GetRawBody(); len(body) > 0 {
		return body
	}
	return []byte(r.GetBody())
}

// bodyOf is the content, if Envoy sends all of it. Without any it is not known whether
// there is none: what the client writes could be taken for Envoy's word. A part of the
// content (allow_partial_message) could be just what was signed, with more behind it.
func bodyOf(r *auth.AttributeContext_HttpRequest, h http.Header) gate.Body {
	body := contentOf(r)
	if len(body) == 0 || !says(h["X-Envoy-Auth-Partial-Body"], "false") || !says(h[headers.ContentLength], strconv.Itoa(len(body))) {
		return nil
	}
	return receivedBody{content: body}
}

// receivedBody is a body that Envoy sent with its question, or the reason why it was
// dropped.
type receivedBody struct {
	content []byte
	err     error
}

// Hold implements [gate.Body].
func (b receivedBody) Hold(string) ([]byte, error) { return b.content, b.err }

// hold takes the content of the request from the room, and returns how many bytes it
// took. Without room the content is dropped, and the request can still pass, unless a
// signature covers the content.
func (i *inbox) hold(r *request, attributes *auth.AttributeContext_HttpRequest) int64 {
	size := int64(len(attributes.GetRawBody()) + len(attributes.GetBody()))
	if size == 0 || i.room.take(size) {
		return size
	}
	attributes.Body, attributes.RawBody = "", nil
	r.body = receivedBody{err: overloaded("want room for %d bytes of content, found none", size)}
	return 0
}

// announcesBody reports whether the header says that there is content. That it says
// so of no content is not asked.
func announcesBody(h http.Header) bool {
	return !says(h[headers.ContentLength], "0") || len(h[headers.TransferEncoding]) > 0
}

// says reports whether nothing but the value is said, or nothing at all.
func says(values []string, want string) bool {
	return !slices.ContainsFunc(values, func(value string) bool { return value != want })
}

// agrees reports whether the values of a field, if there are any, are the one that
// is wanted; joined is the value where commas may have been taken for separators.
func agrees(values []string, want, joined string) bool {
	return len(values) == 0 || joined == want || slices.Equal(values, []string{want})
}
