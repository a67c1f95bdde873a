package signing

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

const (
	// defaultHeader and defaultMaxBodyBytes are the defaults of the gateway's
	// settings AUTH_HEADER and MAX_BODY_BYTES.
	defaultHeader       = "X-SSL-Auth"
	defaultMaxBodyBytes = 1 << 20
)

// Use [errors.Is] to distinguish these errors. If [Transport.RoundTrip] returns one of
// them, it has not sent the request.
var (
	// ErrOrigin means that the request, which may be a redirect, does not go to
	// [Transport.Origin].
	ErrOrigin = errors.New("want a request for the transport's origin")
	// ErrBodyTooLarge means that the body is longer than [Transport.MaxBodyBytes].
	ErrBodyTooLarge = errors.New("the request's body is too large to be signed")
	// ErrNoCredential means that the transport has no credential, or the zero value.
	ErrNoCredential = errors.New("want a credential, found none")
	// ErrUnsigned means that a signature cannot cover the request, for example because its
	// path contains bytes outside of ASCII, or the key failed to sign.
	ErrUnsigned = errors.New("the request cannot be signed")
)

// Transport is an [http.RoundTripper] that attaches the client's certificate to
// each request and signs the request. It is safe for concurrent use. Its fields
// must not change after the first request.
//
// Transport sets the credential header, Content-Digest, Signature-Input and
// Signature, and removes fields of the same name that the request has. The
// signature covers the method, the host, the path and query, the certificate, the
// body and its Content-Type, and no other header field. Transport reads the whole
// body before it sends the request, because the digest precedes the body. It
// drops trailers. Responses are streamed.
//
// A request is sent a second time in two cases. The gateway accepts a signature
// once, so it never executes a POST twice:
//
//   - Base may repeat a request with the same signature. [http.Transport] does so
//     when it finds that an idle connection was closed. If the gateway had accepted
//     the first one, it refuses the second with 401 proof_replayed.
//   - After a 401 proof_replayed, Transport signs a GET, HEAD or OPTIONS request
//     again and sends it once more. For other methods the caller gets this
//     response: the gateway had accepted the request before.
type Transport struct {
	// Credential signs the requests if Source is nil.
	Credential *Credential
	// Source returns the credential for each request. A program sets it to replace
	// the credential while it runs. It must be safe for concurrent use.
	Source func() *Credential
	// Origin is the origin of the gateway as its clients know it, such as
	// "https://schedule.example.com": scheme, host and optional port. It is
	// required. Requests for any other origin are refused.
	Origin string
	// Base sends the signed requests. If nil, [http.DefaultTransport] is used.
	Base http.RoundTripper
	// Header is the gateway's AUTH_HEADER. If empty, X-SSL-Auth is used.
	Header string
	// MaxBodyBytes is the limit for the body of a request. If 0, it is 1 MiB, the
	// gateway's default.
	MaxBodyBytes int64
}

// RoundTrip signs a copy of the request and sends it. It returns the errors of
// [Transport.Sign] and of Base. No error contains the credential or a signature.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := t.readBody(r)
	if err != nil {
		return nil, err
	}
	res, err := t.signAndSend(r, body)
	if err != nil || !isSafe(r.Method) || !isReplayed(res) {
		return res, err
	}
	_ = res.Body.Close()
	return t.signAndSend(r, body)
}

func (t *Transport) signAndSend(r *http.Request, body []byte) (*http.Response, error) {
	signed, err := t.sign(r, body)
	if err != nil {
		return nil, err
	}
	base := t.Base
	if base == nil {
		base = http.DefaultTransport
	}
	res, err := base.RoundTrip(signed)
	if res != nil {
		res.Request = r // a program that logs the response's request must not log the credential
	}
	return res, err
}

// Sign returns a signed copy of the request, for a program that does not send it with
// RoundTrip. It reads and closes the body of r; the copy has its own body. The gateway
// accepts the signature once and within one minute.
//
// The error is an [ErrOrigin], [ErrBodyTooLarge], [ErrNoCredential] or
// [ErrUnsigned], or the error of reading the body.
func (t *Transport) Sign(r *http.Request) (*http.Request, error) {
	body, err := t.readBody(r)
	if err != nil {
		return nil, err
	}
	return t.sign(r, body)
}

// readBody checks the origin of the request, reads the body and closes it.
func (t *Transport) readBody(r *http.Request) ([]byte, error) {
	if r.Body != nil {
		defer func() { _ = r.Body.Close() }()
	}
	if err := t.checkOrigin(r); err != nil {
		return nil, err
	}
	limit := t.MaxBodyBytes
	if limit == 0 {
		limit = defaultMaxBodyBytes
	}
	switch {
	case r.Body == nil || r.Body == http.NoBody:
		return nil, nil
	case r.ContentLength > limit:
		return nil, fmt.Errorf("%w: want at most %d bytes, found %d", ErrBodyTooLarge, limit, r.ContentLength)
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, limit+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("the request's body: %w", err)
	case int64(len(body)) > limit:
		return nil, fmt.Errorf("%w: want at most %d bytes, found more", ErrBodyTooLarge, limit)
	case r.ContentLength > 0 && int64(len(body)) != r.ContentLength:
		return nil, fmt.Errorf("the request's body: %w: want %d bytes, found %d", io.ErrUnexpectedEOF, r.ContentLength, len(body))
	}
	return body, nil
}

// isSafe reports whether a method is safe, so that a request may be executed twice
// (RFC 9110, section 9.2.1).
func isSafe(method string) bool {
	switch method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions:
		return true
	default:
		return false
	}
}

// isReplayed reports whether the gateway refused the request because it had
// accepted the same signature before.
func isReplayed(res *http.Response) bool {
	return res.StatusCode == http.StatusUnauthorized &&
		strings.Contains(res.Header.Get("WWW-Authenticate"), `error="proof_replayed"`)
}
