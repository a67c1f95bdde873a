package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
)

// Algorithm is the algorithm of a new key, by the name in the command line. There is no
// default: Generate returns an error for the empty Algorithm.
type Algorithm string

// The algorithms. Ed25519 and P256 keys are small and sign fast. RSA keys are for clients
// and proxies that support no other algorithm; they are the fastest to verify.
const (
	Ed25519 Algorithm = "ed25519"
	P256    Algorithm = "p256"
	RSA2048 Algorithm = "rsa2048"
	RSA4096 Algorithm = "rsa4096"
)

const (
	minRSABits = 2048
	// maxRSABits limits the cost of one verification. crypto/tls has the same limit.
	maxRSABits = 8192
	// minRSAExponent is the smallest public exponent that FIPS 186-5 section 5.1 permits.
	minRSAExponent = 65537
)

// Generate returns a new private key.
func (a Algorithm) Generate() (crypto.Signer, error) {
	switch a {
	case Ed25519:
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	case P256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case RSA2048:
		return rsa.GenerateKey(rand.Reader, 2048)
	case RSA4096:
		return rsa.GenerateKey(rand.Reader, 4096)
	default:
		return nil, fmt.Errorf("want the algorithm %s, %s, %s or %s, found %q", Ed25519, P256, RSA2048, RSA4096, string(a))
	}
}

// checkPublicKey refuses keys that are too weak, and types that cannot sign.
func checkPublicKey(public crypto.PublicKey) error {
	switch key := public.(type) {
	case *rsa.PublicKey:
		return checkRSAKey(key)
	case *ecdsa.PublicKey:
		return checkECDSAKey(key)
	case ed25519.PublicKey:
		if len(key) != ed25519.PublicKeySize {
			return fmt.Errorf("want an Ed25519 key of %d bytes, found %d", ed25519.PublicKeySize, len(key))
		}
		return nil
	default:
		return fmt.Errorf("want an RSA, ECDSA or Ed25519 key, found %T", public)
	}
}

func checkRSAKey(key *rsa.PublicKey) error {
	if key == nil || key.N == nil {
		return errors.New("want an RSA key, found an empty one")
	}
	if bits := key.N.BitLen(); bits < minRSABits || bits > maxRSABits {
		return fmt.Errorf("want an RSA key of %d to %d bits, found %d", minRSABits, maxRSABits, bits)
	}
	if key.E < minRSAExponent || key.E%2 == 0 {
		return fmt.Errorf("want an odd RSA exponent of at least %d, found %d", minRSAExponent, key.E)
	}
	return nil
}

func checkECDSAKey(key *ecdsa.PublicKey) error {
	if key == nil || key.Curve == nil {
		return errors.New("want an ECDSA key, found an empty one")
	}
	switch key.Curve {
	case elliptic.P256(), elliptic.P384(), elliptic.P521():
	default:
		return fmt.Errorf("want an ECDSA key on P-256, P-384 or P-521, found %s", key.Params().Name)
	}
	// ECDH checks that the point is on the curve.
	if _, err := key.ECDH(); err != nil {
		return fmt.Errorf("want a point on %s: %w", key.Params().Name, err)
	}
	return nil
}

// sameKey reports whether two public keys are equal.
func sameKey(a, b crypto.PublicKey) bool {
	key, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && key.Equal(b)
}

// supportedSigner returns the key of a parser if this package supports its type. X25519
// keys, for example, can be parsed, but cannot sign.
func supportedSigner(key any, err error) (crypto.Signer, error) {
	if err != nil {
		return nil, err
	}
	switch key := key.(type) {
	case *rsa.PrivateKey:
		return key, nil
	case *ecdsa.PrivateKey:
		return key, nil
	case ed25519.PrivateKey:
		return key, nil
	default:
		return nil, fmt.Errorf("want an RSA, ECDSA or Ed25519 private key, found %T", key)
	}
}

func parsePrivateKey(kind string, der []byte) (crypto.Signer, error) {
	switch kind {
	case "PRIVATE KEY":
		return supportedSigner(x509.ParsePKCS8PrivateKey(der))
	case "EC PRIVATE KEY":
		return supportedSigner(x509.ParseECPrivateKey(der))
	case "RSA PRIVATE KEY":
		return supportedSigner(x509.ParsePKCS1PrivateKey(der))
	default:
		return nil, fmt.Errorf("want a PEM block PRIVATE KEY, EC PRIVATE KEY or RSA PRIVATE KEY, found %.40q", kind)
	}
}
