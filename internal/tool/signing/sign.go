package signing

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"

	"github.com/certgate/certgate/internal/core/httpsig"
)

// sign returns a signed copy of the request. Each call uses a new nonce.
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
	signed := cloneWithBody(r, body)
	removeFields(signed.Header, header)
	signed.Header.Set(header, credential.headerValue)
	fields, err := signer.Sign(messageOf(signed, body), httpsig.Terms{})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnsigned, err)
	}
	maps.Copy(signed.Header, fields)
	return signed, nil
}

// cloneWithBody returns a copy of the request whose body can be read any number of
// times, and that has no trailers.
func cloneWithBody(r *http.Request, body []byte) *http.Request {
	r = r.Clone(r.Context())
	if r.Header == nil {
		r.Header = http.Header{}
	}
	r.Host = "" // net/http uses the URL's; checkOrigin has compared the two
	r.Trailer, r.TransferEncoding = nil, nil
	r.ContentLength = int64(len(body))
	r.GetBody = func() (io.ReadCloser, error) {
		if len(body) == 0 {
			return http.NoBody, nil
		}
		return io.NopCloser(bytes.NewReader(body)), nil
	}
	r.Body, _ = r.GetBody() // GetBody returns no error
	return r
}

// removeFields deletes the credential header and the fields of a signature, which
// must occur once in a signed request. It also deletes names that differ in case or
// in "_" for "-", because some servers treat those as equal.
func removeFields(h http.Header, credentialHeader string) {
	for name := range h {
		folded := strings.ReplaceAll(name, "_", "-")
		for _, own := range []string{credentialHeader, "Content-Digest", "Signature-Input", "Signature"} {
			if strings.EqualFold(folded, strings.ReplaceAll(own, "_", "-")) {
				delete(h, name)
			}
		}
	}
}

// messageOf returns the request as the gateway receives it.
func messageOf(r *http.Request, body []byte) httpsig.Message {
	return httpsig.Message{
		Method: methodOf(r), Target: r.URL.RequestURI(), Authority: toASCII(r.URL.Host),
		Header: r.Header, HasBody: len(body) > 0,
		Body: func() ([]byte, error) { return body, nil },
	}
}

// methodOf returns the request's method; an empty one means GET, as in net/http.
func methodOf(r *http.Request) string {
	if r.Method == "" {
		return http.MethodGet
	}
	return r.Method
}
