package client

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"

	"github.com/certgate/certgate/internal/core/httpsig"
)

const (
	// defaultHeader and defaultMaxBodyBytes are the gateway's defaults of
	// AUTH_HEADER and MAX_BODY_BYTES.
	defaultHeader       = "X-SSL-Auth"
	defaultMaxBodyBytes = 1 << 20
)

// The errors that callers may want to tell apart. Nothing was sent when one of
// them is returned.
var (
	// ErrOrigin: the request, be it a redirect, goes elsewhere than to
	// [Transport.Origin], where the credential is not for.
	ErrOrigin = errors.New("want a request for the transport's origin")
	// ErrBodyTooLarge: the body is longer than [Transport.MaxBodyBytes].
	ErrBodyTooLarge = errors.New("the request's body is too large to be signed")
	// ErrNoCredential: there is nothing to sign with.
	ErrNoCredential = errors.New("want a credential, found none")
	// ErrUnsigned: the request has no form that a signature can cover, such as a
	// path with bytes outside of ASCII; or the key did not sign.
	ErrUnsigned = errors.New("the request cannot be signed")
)

// Transport is an [http.RoundTripper] that attaches the client's certificate to
// each request and signs it. Its fields are not changed once it is used; then it
// is safe for concurrent use.
//
// What it sets (the credential's header, Content-Digest, Signature-Input and
// Signature) replaces what the request has under these names. The signature covers
// the method, the host, the path and query, the certificate, the body and its
// Content-Type; no other header field. A request's body is read whole before anything is sent, because its
// digest comes first; its trailers are left out. Answers stream.
//
// Requests are sent again in two cases, and a POST is never carried out twice:
//
//   - Base may repeat what it believes lost, as [http.Transport] does when a
//     connection that it kept turns out to be closed. The repeated request has the
//     same signature, so the gateway takes only one of the two, and answers 401
//     proof_replayed if it had taken the first.
//   - Such an answer to GET, HEAD or OPTIONS is not given to the caller: the request
//     is signed anew and sent once more. With any other method the caller gets it,
//     and knows that the request had arrived before.
type Transport struct {
	// Credential is what requests are signed with, unless there is a Source.
	Credential *Credential
	// Source, when given, is asked for the credential of each request, so that
	// it can be replaced. It must be safe for concurrent use.
	Source func() *Credential
	// Origin is the only place that requests are sent to: the gateway as its
	// clients know it, such as "https://schedule.example.com". It is required, and
	// has a scheme, a host, a port if need be, and nothing else.
	Origin string
	// Base sends; nil: [http.DefaultTransport].
	Base http.RoundTripper
	// Header is the gateway's AUTH_HEADER; empty: X-SSL-Auth.
	Header string
	// MaxBodyBytes is the longest body that is read and sent; 0: 1 MiB, as at the
	// gateway.
	MaxBodyBytes int64
}

// RoundTrip signs a copy of the request and sends it. Its error is that of Sign,
// or Base's. No error has a credential or signature in it.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		defer func() { _ = r.Body.Close() }()
	}
	body, err := t.read(r)
	if err != nil {
		return nil, err
	}
	res, err := t.send(r, body)
	if err != nil || !isSafe(r.Method) || !isReplayed(res) {
		return res, err
	}
	_ = res.Body.Close()
	return t.send(r, body)
}

// send is one try.
func (t *Transport) send(r *http.Request, body []byte) (*http.Response, error) {
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
		res.Request = r // who logs it must not log the credential
	}
	return res, err
}

// Sign is a signed copy of the request, for whoever sends it otherwise; the
// request's body is read and closed, and can be read of the copy. It is good for one
// minute and to be sent once. The error may be an [ErrOrigin], [ErrBodyTooLarge],
// [ErrNoCredential], [ErrUnsigned] or the body's.
func (t *Transport) Sign(r *http.Request) (*http.Request, error) {
	if r.Body != nil {
		defer func() { _ = r.Body.Close() }()
	}
	body, err := t.read(r)
	if err != nil {
		return nil, err
	}
	return t.sign(r, body)
}

// read checks where the request goes and reads its body.
func (t *Transport) read(r *http.Request) ([]byte, error) {
	if err := t.check(r); err != nil {
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

// sign makes the request that is sent. It takes a new nonce each time.
func (t *Transport) sign(r *http.Request, body []byte) (*http.Request, error) {
	credential := t.Credential
	if t.Source != nil {
		credential = t.Source()
	}
	if !credential.valid() {
		return nil, ErrNoCredential
	}
	header := t.Header
	if header == "" {
		header = defaultHeader
	}
	signer, err := httpsig.NewSigner(credential.leaf, credential.key, header)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnsigned, err)
	}
	signed := withBody(r.Clone(r.Context()), body)
	clean(signed.Header, header)
	signed.Header.Set(header, credential.value)
	fields, err := signer.Sign(message(signed, body), httpsig.Terms{})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnsigned, err)
	}
	maps.Copy(signed.Header, fields)
	return signed, nil
}

// withBody gives the request its body back, for as many times as it takes.
func withBody(r *http.Request, body []byte) *http.Request {
	if r.Header == nil {
		r.Header = http.Header{}
	}
	r.Host = "" // the URL's, with which check has compared it
	r.Trailer, r.TransferEncoding = nil, nil
	r.ContentLength = int64(len(body))
	r.GetBody = func() (io.ReadCloser, error) {
		if len(body) == 0 {
			return http.NoBody, nil
		}
		return io.NopCloser(bytes.NewReader(body)), nil
	}
	r.Body, _ = r.GetBody() // which has no error
	return r
}

// clean deletes what a signed request must have once, in every spelling that
// somebody on the way may take for it.
func clean(h http.Header, credentialHeader string) {
	for name := range h {
		folded := strings.ReplaceAll(name, "_", "-")
		for _, ours := range []string{credentialHeader, "Content-Digest", "Signature-Input", "Signature"} {
			if strings.EqualFold(folded, strings.ReplaceAll(ours, "_", "-")) {
				delete(h, name)
			}
		}
	}
}

// message is the request as the gateway will see it.
func message(r *http.Request, body []byte) httpsig.Message {
	return httpsig.Message{
		Method: methodOf(r), Target: r.URL.RequestURI(), Authority: wireHost(r.URL.Host),
		Header: r.Header, HasBody: len(body) > 0,
		Body: func() ([]byte, error) { return body, nil },
	}
}

func methodOf(r *http.Request) string {
	if r.Method == "" {
		return http.MethodGet
	}
	return r.Method
}

// isSafe reports whether a request may be carried out twice (RFC 9110, section
// 9.2.1).
func isSafe(method string) bool {
	switch method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions:
		return true
	default:
		return false
	}
}

// isReplayed reports whether the gateway had seen the signature before.
func isReplayed(res *http.Response) bool {
	return res.StatusCode == http.StatusUnauthorized &&
		strings.Contains(res.Header.Get("WWW-Authenticate"), `error="proof_replayed"`)
}
