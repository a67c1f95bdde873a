package trust

import (
	"crypto"
	"crypto/dsa" //nolint:staticcheck // only to name the algorithm of a refused key
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"strconv"
)

// DefaultMinRSABits is the minimum length of an RSA key if no limit is set. A missing
// limit therefore does not accept short keys.
const DefaultMinRSABits = 2048

// maxRSABits is the maximum length of an RSA key. The time to verify a signature is
// quadratic in the length of the key: with 90,000 bits it is 570 ms.
const maxRSABits = 8192

// checkKey refuses keys that are weak or too expensive to use. It applies to anchors,
// intermediates and clients.
func checkKey(key crypto.PublicKey, minRSABits int) error {
	switch k := key.(type) {
	case *rsa.PublicKey:
		return checkRSA(k, minRSABits)
	case *ecdsa.PublicKey:
		switch k.Curve {
		case elliptic.P256(), elliptic.P384(), elliptic.P521():
			return nil
		}
		return fmt.Errorf("want P-256, P-384 or P-521, found %s", k.Curve.Params().Name)
	case ed25519.PublicKey:
		return nil
	default:
		return fmt.Errorf("want an RSA, ECDSA or Ed25519 key, found %s", DescribeKey(key))
	}
}

func checkRSA(key *rsa.PublicKey, minBits int) error {
	if minBits <= 0 {
		minBits = DefaultMinRSABits
	}
	if n := key.N.BitLen(); n < minBits {
		return fmt.Errorf("want an RSA key of at least %d bits, found %d", minBits, n)
	}
	if n := key.N.BitLen(); n > maxRSABits {
		return fmt.Errorf("want an RSA key of at most %d bits, found %d", maxRSABits, n)
	}
	// An even or tiny exponent makes signatures forgeable.
	if key.E < 3 || key.E%2 == 0 {
		return fmt.Errorf("want an odd RSA exponent of at least 3, found %d", key.E)
	}
	return nil
}

// DescribeKey returns the algorithm and size of a public key, such as "RSA-2048",
// "P-256" or "Ed25519". crypto/x509 returns a nil key for a certificate whose key has an
// unsupported algorithm.
func DescribeKey(key crypto.PublicKey) string {
	switch k := key.(type) {
	case *rsa.PublicKey:
		return "RSA-" + strconv.Itoa(k.N.BitLen())
	case *ecdsa.PublicKey:
		return k.Curve.Params().Name
	case ed25519.PublicKey:
		return "Ed25519"
	case *ecdh.PublicKey:
		return "X25519"
	case *dsa.PublicKey:
		return "DSA"
	case nil:
		return "an unsupported one"
	default:
		return fmt.Sprintf("%T", key)
	}
}

func algorithmOf(key crypto.PublicKey) x509.PublicKeyAlgorithm {
	switch key.(type) {
	case *rsa.PublicKey:
		return x509.RSA
	case *ecdsa.PublicKey:
		return x509.ECDSA
	case ed25519.PublicKey:
		return x509.Ed25519
	default:
		return x509.UnknownPublicKeyAlgorithm
	}
}
