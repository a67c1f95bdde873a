// Package echo says what arrived of a request, in digests.
//
// It is what certgate doctor compares with what it has sent. An [Answer] shows
// the sender's own address chain and otherwise lengths and SHA-256 digests, no
// value. Of a header that neither the doctor nor any client of the gateway sends
// there is not even a digest: a load balancer may prove itself with a password in
// a header, and that of a short one could be found by trying.
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

// Path is where the documentation puts the echo.
const Path = "/certgate/echo"

// CanaryPrefix is what the names of the doctor's own headers begin with.
const CanaryPrefix = "X-Certgate-Canary"

// Version of the answer's format.
const Version = 1

// maxHeaders bounds the answer.
const maxHeaders = 100

// Answer is what arrived, as JSON. Every key is always there.
type Answer struct {
	Version int `json:"certgate_echo"`
	// Client is whom the certificate speaks for, and Auth how possession was
	// shown: bearer, mtls.
	Client string `json:"client"`
	Auth   string `json:"auth"`
	// What the request line said.
	Method   string `json:"method"`
	Protocol string `json:"protocol"`
	Target   Value  `json:"target"`
	// Authority is the host that a signature over this request would have to name.
	Authority string `json:"authority"`
	// Peer is the address and port of the other end of the connection.
	Peer        string `json:"peer"`
	PeerTrusted bool   `json:"peer_trusted"` // it is in TRUSTED_PROXIES
	// Source is the address that the gateway takes for the client's.
	Source string `json:"source"`
	// ForwardedFor is each line of X-Forwarded-For, as received.
	ForwardedFor []string `json:"x_forwarded_for"`
	// Headers are in the order of their names, those with digests first, and
	// LeftOut is how many more there were.
	Headers []Header `json:"headers"`
	LeftOut int      `json:"headers_left_out"`
}

// Header is one header field with all of its lines.
type Header struct {
	Name  string  `json:"name"` // in canonical form
	Lines []Value `json:"lines"`
}

// Value is one value, of which only this is told.
type Value struct {
	Length int `json:"length"` // in bytes
	// SHA256 is lower-case hex, or empty where it is not told.
	SHA256 string `json:"sha256"`
}

// Of digests a text.
func Of(text string) Value {
	sum := sha256.Sum256([]byte(text))
	return Value{Length: len(text), SHA256: hex.EncodeToString(sum[:])}
}

// Digest fills in what can be read from the request alone. The credential's
// headers are those whose digests are told beside the well-known ones.
func Digest(r *http.Request, credentials ...string) Answer {
	a := Answer{
		Version: Version, Method: r.Method, Protocol: r.Proto, Target: Of(r.RequestURI), Peer: r.RemoteAddr,
		ForwardedFor: append([]string{}, r.Header[headers.ForwardedFor]...), Headers: []Header{},
	}
	for _, told := range []bool{true, false} {
		for _, name := range slices.Sorted(maps.Keys(r.Header)) {
			if tells(name, credentials) == told {
				a.add(name, r.Header[name], told)
			}
		}
	}
	return a
}

func (a *Answer) add(name string, values []string, told bool) {
	if len(a.Headers) == maxHeaders {
		a.LeftOut++
		return
	}
	h := Header{Name: name, Lines: []Value{}}
	for _, v := range values[:min(len(values), maxHeaders)] {
		value := Value{Length: len(v)}
		if told {
			value = Of(v)
		}
		h.Lines = append(h.Lines, value)
	}
	a.Headers = append(a.Headers, h)
}

// tells is true for the names under which the doctor sends something.
func tells(name string, credentials []string) bool {
	if strings.HasPrefix(headers.Fold(name), headers.Fold(CanaryPrefix)) {
		return true
	}
	same := func(other string) bool { return headers.Same(other, name) }
	return slices.ContainsFunc(credentials, same) || slices.ContainsFunc(Spoofed(), same) || slices.ContainsFunc(Signed(), same)
}

// Signed are the headers of a signed request beside the certificate's.
func Signed() []string { return []string{"Content-Digest", "Signature-Input", "Signature"} }

// Spoofed are the headers that proxies set and the doctor sends, to see whether
// they get through.
func Spoofed() []string {
	return []string{
		"Client-Cert", "X-Forwarded-Client-Cert", "X-Forwarded-Tls-Client-Cert", "X-SSL-Client-Cert", "SSL-Client-Cert",
		"X-Amzn-Mtls-Clientcert", "X-ARR-ClientCert", "X-Client-Id", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Request-Id",
	}
}

// Header is what arrived under a name, without regard to case; nil: nothing.
func (a Answer) Header(name string) []Value {
	for _, h := range a.Headers {
		if strings.EqualFold(h.Name, name) {
			return h.Lines
		}
	}
	return nil
}
