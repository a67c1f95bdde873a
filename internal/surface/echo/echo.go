// Package echo describes a received request by lengths and digests.
//
// certgate doctor compares the description with the request that it sent. A [Response]
// contains the sender's own address chain and otherwise only lengths and SHA-256
// digests, never values. Headers that neither the doctor nor a client of the gateway
// sends have a length only: a load balancer may authenticate with a short password in
// a header, and a short password can be recovered from its digest by brute force.
package echo

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/certgate/certgate/internal/core/headers"
)

// Path is the path of the echo in the documentation.
const Path = "/certgate/echo"

// CanaryPrefix is the prefix of the names of the doctor's own headers.
const CanaryPrefix = "X-Certgate-Canary"

// Version is the version of the format of [Response].
const Version = 1

// maxHeaders is the limit for the headers of a [Response], and for the lines of each.
const maxHeaders = 100

// Response describes a received request. It is serialized as JSON, and every key is
// always present.
type Response struct {
	Version int `json:"certgate_echo"`
	// Client is the client that the certificate identifies. Auth is how the client proved
	// possession of the certificate's key: bearer or mtls. Signatures are not verified.
	Client string `json:"client"`
	Auth   string `json:"auth"`
	// Method, Protocol and Target are the parts of the request line.
	Method   string `json:"method"`
	Protocol string `json:"protocol"`
	Target   Value  `json:"target"`
	// Authority is the host that a signature over this request must cover.
	Authority string `json:"authority"`
	// Peer is the address and port of the other end of the connection.
	Peer        string `json:"peer"`
	PeerTrusted bool   `json:"peer_trusted"` // it is in TRUSTED_PROXIES
	// Source is the client address as determined by the gateway.
	Source string `json:"source"`
	// ForwardedFor contains the lines of X-Forwarded-For as received.
	ForwardedFor []string `json:"x_forwarded_for"`
	// Headers is sorted by name, with the headers that have digests first. LeftOut is
	// the number of headers that are omitted.
	Headers []Header `json:"headers"`
	LeftOut int      `json:"headers_left_out"`
}

// Header is one header field with all of its lines.
type Header struct {
	Name  string  `json:"name"` // in canonical form
	Lines []Value `json:"lines"`
}

// Value describes one value without disclosing it.
type Value struct {
	Length int `json:"length"` // in bytes
	// SHA256 is the digest in lower-case hex, or empty if it is withheld.
	SHA256 string `json:"sha256"`
}

// Of returns the length and the digest of text.
func Of(text string) Value {
	sum := sha256.Sum256([]byte(text))
	return Value{Length: len(text), SHA256: hex.EncodeToString(sum[:])}
}

// Digest fills in the fields that depend on the request alone. It includes digests for
// the well-known headers and for the headers named by credentials.
func Digest(r *http.Request, credentials ...string) Response {
	a := Response{
		Version: Version, Method: r.Method, Protocol: r.Proto, Target: Of(r.RequestURI), Peer: r.RemoteAddr,
		ForwardedFor: append([]string{}, r.Header[headers.ForwardedFor]...), Headers: []Header{},
	}
	for _, withDigest := range []bool{true, false} {
		for _, name := range slices.Sorted(maps.Keys(r.Header)) {
			if hasDigest(name, credentials) == withDigest {
				a.add(name, r.Header[name], withDigest)
			}
		}
	}
	return a
}

func (a *Response) add(name string, values []string, withDigest bool) {
	if len(a.Headers) == maxHeaders {
		a.LeftOut++
		return
	}
	h := Header{Name: name, Lines: []Value{}}
	for _, v := range values[:min(len(values), maxHeaders)] {
		value := Value{Length: len(v)}
		if withDigest {
			value = Of(v)
		}
		h.Lines = append(h.Lines, value)
	}
	a.Headers = append(a.Headers, h)
}

// hasDigest reports whether the doctor sends a header of this name. Only such headers
// are digested.
func hasDigest(name string, credentials []string) bool {
	if strings.HasPrefix(headers.Fold(name), headers.Fold(CanaryPrefix)) {
		return true
	}
	same := func(other string) bool { return headers.Same(other, name) }
	return slices.ContainsFunc(credentials, same) || slices.ContainsFunc(Spoofed(), same) || slices.ContainsFunc(Signed(), same)
}

// Signed returns the headers that a signed request has in addition to the certificate.
func Signed() []string { return []string{"Content-Digest", "Signature-Input", "Signature"} }

// Spoofed returns headers that are normally set by proxies. The doctor sends them to
// test whether the proxy in front of the gateway forwards them.
func Spoofed() []string {
	return []string{
		"Client-Cert", "X-Forwarded-Client-Cert", "X-Forwarded-Tls-Client-Cert", "X-SSL-Client-Cert", "SSL-Client-Cert",
		"X-Amzn-Mtls-Clientcert", "X-ARR-ClientCert", "X-Client-Id", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Request-Id",
	}
}

// Header returns the lines of the header called name, ignoring case, or nil if there
// is none.
func (a Response) Header(name string) []Value {
	for _, h := range a.Headers {
		if strings.EqualFold(h.Name, name) {
			return h.Lines
		}
	}
	return nil
}
