package client

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

// Credential is a client's certificate with its private key. It is immutable and
// safe for concurrent use; [Load], [Parse] and [New] make one, and the zero value
// signs nothing. Printing it, in whatever way, shows neither.
type Credential struct {
	leaf  *x509.Certificate
	key   crypto.Signer
	value string // of the header
}

// Load reads a certificate, with its chain behind it if it has one, and its
// private key from PEM files. The key is PKCS #8, PKCS #1 or SEC 1, without a
// passphrase. A file may be a pipe, and has at most 1 MiB. The error is that of
// [Parse], or the file system's.
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

// maxFile is the largest file that Load reads, in bytes.
const maxFile = 1 << 20

func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read from
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(text) > maxFile {
		err = fmt.Errorf("%s: want at most %d bytes, found more", name, maxFile)
	}
	return text, err
}

// Parse is [Load] for what the files hold. No error quotes anything of it.
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

// hasPassphrase looks for PKCS #8's way (RFC 5958) and that of RFC 1421.
func hasPassphrase(keyPEM []byte) bool {
	for block, rest := pem.Decode(keyPEM); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "" {
			return true
		}
	}
	return false
}

// New makes a credential of a pair as package tls has it, whose key may be in a
// module that does not give it away.
//
// The certificates are at most four, the client's first. Its key is RSA, ECDSA on
// P-256 or P-384, or Ed25519, and signs something to try it. A certificate that was signed with its own key is an
// error: where it is trusted, as the recipe of 2012 has it, that key is the master
// key, which is not the client's alone and proves nothing.
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
	if err := c.try(); err != nil {
		return nil, err
	}
	if isSelfSigned(leaf) {
		return nil, errors.New("want a certificate over a key of the client's own, found one that its own key has signed: " +
			"that would be the master key, and proves nothing; certgate issue makes another")
	}
	return c, nil
}

// try signs something, so that a key that cannot is found now.
func (c *Credential) try() error {
	signer, err := httpsig.NewSigner(c.leaf, c.key, defaultHeader)
	if err != nil {
		return err
	}
	_, err = signer.Sign(httpsig.Message{
		Method: http.MethodGet, Target: "/", Authority: "localhost", Header: http.Header{"X-Ssl-Auth": {c.value}},
	}, httpsig.Terms{})
	return err
}

func isSelfSigned(c *x509.Certificate) bool {
	own := &x509.Certificate{PublicKey: c.PublicKey, PublicKeyAlgorithm: c.PublicKeyAlgorithm}
	return bytes.Equal(c.RawIssuer, c.RawSubject) && c.CheckSignatureFrom(own) == nil
}

// Certificate is the client's certificate, which the caller must not change; nil
// for the zero value.
func (c *Credential) Certificate() *x509.Certificate { return c.leaf }

// Client is the name that the gateway will take from the certificate if it trusts
// it: the one organizational unit. It is empty where that cannot be a name.
func (c *Credential) Client() string {
	name, err := identity.Claimed(c.leaf)
	if err != nil {
		return ""
	}
	return name
}

// String says whose certificate it is, and for how long.
func (c *Credential) String() string {
	if !c.valid() {
		return "no credential"
	}
	return fmt.Sprintf("credential of %q, valid to %s", c.Client(), c.leaf.NotAfter.UTC().Format(time.RFC3339))
}

func (c *Credential) valid() bool { return c != nil && c.leaf != nil }

// Format makes every verb print what String says.
func (c *Credential) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, c.String()) }
