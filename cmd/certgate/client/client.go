// Package client signs the requests that a Go program sends through certgate.
//
// [Load] reads the client's certificate and private key. A [Transport] attaches the
// certificate to each request and adds a signature that proves possession of the
// key (RFC 9421, RFC 9530). A captured request is of no use to an attacker: the
// gateway accepts each signature once, for one host, within one minute, and only if
// the request is unchanged.
//
//	credential, err := client.Load("mail.crt", "mail.key")
//	if err != nil {
//		return err
//	}
//	schedule := http.Client{Transport: &client.Transport{
//		Credential: credential,
//		Origin:     "https://schedule.example.com",
//	}}
//	response, err := schedule.Post("https://schedule.example.com/events", "application/json", body)
//
// A program in another language sends its requests to certgate agent, which signs
// them in the same way, or signs them itself; test/clients has examples.
package client

import (
	"crypto/tls"
	"net/http"

	"github.com/certgate/certgate/internal/tool/signing"
)

// Credential is a client certificate with its private key. [Load], [Parse] and
// [New] return valid ones; the zero value cannot sign. A Credential is immutable
// and safe for concurrent use. Printing it with any verb of package fmt shows
// neither the certificate nor the key.
//
// Its methods are:
//
//	Certificate() *x509.Certificate // the client's certificate, nil for the zero value
//	Client() string                 // the client name in it, "" if it has none
//	String() string                 // client name and end of the validity period
type Credential = signing.Credential

// Load reads a certificate and its private key from PEM files. The certificate
// file may also contain the chain, after the client's certificate. The key is in
// PKCS #8, PKCS #1 or SEC 1 form and has no passphrase. A file may be a pipe and
// has at most 1 MiB. Load returns the errors of the file system and of [Parse].
func Load(certFile, keyFile string) (*Credential, error) { return signing.Load(certFile, keyFile) }

// Parse makes a credential from the contents of the files that [Load] reads. Its
// errors never quote the certificate or the key.
func Parse(certPEM, keyPEM []byte) (*Credential, error) { return signing.Parse(certPEM, keyPEM) }

// New makes a credential from a pair of package tls. The private key only has to
// implement [crypto.Signer], so it may stay inside a hardware security module.
//
// The pair has one to four certificates, the client's own first. The key is RSA,
// ECDSA on P-256 or P-384, or Ed25519; New signs once to test it. New refuses a
// certificate that is signed with its own key. A gateway trusts such a certificate
// only if the key is the master key, and a signature with a key that the client
// shares with the operator proves nothing.
func New(pair tls.Certificate) (*Credential, error) { return signing.New(pair) }

// Use [errors.Is] to distinguish these errors. If [Transport.RoundTrip] returns one of
// them, it has not sent the request.
var (
	// ErrOrigin means that the request, which may be a redirect, does not go to
	// [Transport.Origin].
	ErrOrigin = signing.ErrOrigin
	// ErrBodyTooLarge means that the body is longer than [Transport.MaxBodyBytes].
	ErrBodyTooLarge = signing.ErrBodyTooLarge
	// ErrNoCredential means that the transport has no credential, or the zero value.
	ErrNoCredential = signing.ErrNoCredential
	// ErrUnsigned means that a signature cannot cover the request, for example because its
	// path contains bytes outside of ASCII, or the key failed to sign.
	ErrUnsigned = signing.ErrUnsigned
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
	return (*signing.Transport)(t).RoundTrip(r)
}

// Sign returns a signed copy of the request, for a program that does not send it with
// RoundTrip. It reads and closes the body of r; the copy has its own body. The gateway
// accepts the signature once and within one minute.
//
// The error is an [ErrOrigin], [ErrBodyTooLarge], [ErrNoCredential] or
// [ErrUnsigned], or the error of reading the body.
func (t *Transport) Sign(r *http.Request) (*http.Request, error) {
	return (*signing.Transport)(t).Sign(r)
}
