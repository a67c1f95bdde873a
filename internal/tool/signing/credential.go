// Package signing signs HTTP requests with the key of a client certificate, as
// the certgate gateway verifies them (RFC 9421, RFC 9530).
//
// A [Credential] is a certificate with its private key. A [Transport] attaches
// the certificate to each request and signs it. The local agent and the certgate
// command use this package directly; other Go programs use the public package
// cmd/certgate/client, which has the same API.
package signing

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/certgate/certgate/internal/core/certheader"
	"github.com/certgate/certgate/internal/core/httpsig"
	"github.com/certgate/certgate/internal/core/identity"
)

// Credential is a client certificate with its private key. [Load], [Parse] and
// [New] return valid ones; the zero value cannot sign. A Credential is immutable
// and safe for concurrent use. Printing it with any verb of package fmt shows
// neither the certificate nor the key.
type Credential struct {
	leaf        *x509.Certificate
	key         crypto.Signer
	headerValue string // the certificates as the value of the credential header
}

// Load reads a certificate and its private key from PEM files. The certificate
// file may also contain the chain, after the client's certificate. The key is in
// PKCS #8, PKCS #1 or SEC 1 form and has no passphrase. A file may be a pipe and
// has at most 1 MiB. Load returns the errors of the file system and of [Parse].
func Load(certFile, keyFile string) (*Credential, error) {
	cert, err := readFile(certFile)
	if err != nil {
		return nil, err
	}
	key, err := readFile(keyFile)
	if err != nil {
		return nil, err
	}
	c, err := Parse(cert, key)
	if err != nil {
		return nil, fmt.Errorf("%s and %s: %w", certFile, keyFile, err)
	}
	return c, nil
}

// maxFileBytes is the largest file that Load reads.
const maxFileBytes = 1 << 20

func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // the file is only read
	text, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err == nil && len(text) > maxFileBytes {
		err = fmt.Errorf("%s: want at most %d bytes, found more", name, maxFileBytes)
	}
	return text, err
}

// Parse makes a credential from the contents of the files that [Load] reads. Its
// errors never quote the certificate or the key.
func Parse(certPEM, keyPEM []byte) (*Credential, error) {
	if hasPassphrase(keyPEM) {
		return nil, errors.New("want a key without a passphrase, found an encrypted one")
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, fmt.Errorf("want a certificate and its private key in PEM: %w", err)
	}
	return New(pair)
}

// hasPassphrase reports whether a key is encrypted, in the form of PKCS #8
// (RFC 5958) or of RFC 1421.
func hasPassphrase(keyPEM []byte) bool {
	for block, rest := pem.Decode(keyPEM); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "" {
			return true
		}
	}
	return false
}

// New makes a credential from a pair of package tls. The private key only has to
// implement [crypto.Signer], so it may stay inside a hardware security module.
//
// The pair has one to four certificates, the client's own first. The key is RSA,
// ECDSA on P-256 or P-384, or Ed25519; New signs once to test it. New refuses a
// certificate that is signed with its own key. A gateway trusts such a certificate
// only if the key is the master key (the recipe of 2012), and a signature with a
// key that the client shares with the operator proves nothing.
func New(pair tls.Certificate) (*Credential, error) {
	if n := len(pair.Certificate); n == 0 || n > certheader.MaxCertificates {
		return nil, fmt.Errorf("want 1 to %d certificates, the client's first, found %d", certheader.MaxCertificates, n)
	}
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		return nil, fmt.Errorf("want a certificate: %w", err)
	}
	key, ok := pair.PrivateKey.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("want a private key that can sign, found %T", pair.PrivateKey)
	}
	c := &Credential{leaf, key, certheader.Encode(certheader.Base64DER, pair.Certificate...)}
	if err := c.testKey(); err != nil {
		return nil, err
	}
	if isSelfSigned(leaf) {
		return nil, errors.New("want a certificate for a key of the client's own, found one signed with its own key, " +
			"which would be the master key: its signatures prove nothing; certgate issue makes a certificate for a new key")
	}
	return c, nil
}

// testKey signs a request, so that a key that cannot sign, or does not belong to
// the certificate, is an error of New.
func (c *Credential) testKey() error {
	signer, err := httpsig.NewSigner(c.leaf, c.key, defaultHeader)
	if err != nil {
		return err
	}
	_, err = signer.Sign(httpsig.Message{
		Method: http.MethodGet, Target: "/", Authority: "localhost", Header: http.Header{"X-Ssl-Auth": {c.headerValue}},
	}, httpsig.Terms{})
	return err
}

func isSelfSigned(c *x509.Certificate) bool {
	own := &x509.Certificate{PublicKey: c.PublicKey, PublicKeyAlgorithm: c.PublicKeyAlgorithm}
	return bytes.Equal(c.RawIssuer, c.RawSubject) && c.CheckSignatureFrom(own) == nil
}

// Certificate returns the client's certificate, or nil for the zero value. The
// caller must not change it.
func (c *Credential) Certificate() *x509.Certificate { return c.leaf }

// Client returns the client name in the certificate, for display. Which part of a
// certificate holds the name is a setting of the gateway; Client returns the first valid
// name of organizational unit, common name, URI, DNS name and email address, or "" if
// the certificate has none.
func (c *Credential) Client() string {
	if names := identity.Claims(c.leaf); len(names) > 0 {
		return names[0].Name
	}
	return ""
}

// String returns the client name and the end of the certificate's validity period.
func (c *Credential) String() string {
	if !c.valid() {
		return "no credential"
	}
	return fmt.Sprintf("credential of %q, valid to %s", c.Client(), c.leaf.NotAfter.UTC().Format(time.RFC3339))
}

func (c *Credential) valid() bool { return c != nil && c.leaf != nil }

// Format prints the result of String for every verb.
func (c *Credential) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, c.String()) }
