package assertion

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"github.com/go-jose/go-jose/v4"

	"github.com/certgate/certgate/internal/core/trust"
)

// MaxKeys is the number of keys that can be configured at a time: the signing key, and
// the previous or the next one during a rotation.
const MaxKeys = 2

// Key is a private key that signs assertions. [ParseKeys] makes keys. The zero value is
// not a key.
type Key struct {
	id     trust.KeyID
	public jose.JSONWebKey
	signer jose.Signer
}

// ID returns the id of the key, which is the kid of its assertions.
func (k Key) ID() trust.KeyID { return k.id }

// Algorithm returns the signature algorithm of the key: "EdDSA" or "ES256".
func (k Key) Algorithm() string { return k.public.Algorithm }

// ParseKeys reads 1 to [MaxKeys] different private keys of type Ed25519 or P-256 from
// PEM: PKCS #8 ("PRIVATE KEY") or SEC 1 ("EC PRIVATE KEY"), not encrypted. Text outside
// of the blocks is ignored. A damaged block is an error and is never skipped. Errors
// contain the number of the block and never quote the text.
func ParseKeys(text []byte) ([]Key, error) {
	begins, ends := bytes.Count(text, []byte("-----BEGIN")), bytes.Count(text, []byte("-----END"))
	if begins == 0 {
		return nil, errors.New("want 1 or 2 private keys in PEM, found no PEM block")
	}
	var keys []Key
	found := 0
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		found++
		if block.Type == "EC PARAMETERS" { // openssl ecparam -genkey writes it before the key
			continue
		}
		key, err := newKey(block)
		if err != nil {
			return nil, fmt.Errorf("block %d: %w", found, err)
		}
		if len(keys) > 0 && keys[0].id == key.id {
			return nil, fmt.Errorf("block %d: want two different keys, found the same key again", found)
		}
		keys = append(keys, key)
	}
	switch {
	case begins != found || ends != found: // pem.Decode skips damaged blocks
		return nil, errors.New("want complete PEM blocks, found a damaged one")
	case len(keys) == 0 || len(keys) > MaxKeys:
		return nil, fmt.Errorf("want 1 or %d private keys, found %d", MaxKeys, len(keys))
	}
	return keys, nil
}

func newKey(block *pem.Block) (Key, error) {
	private, err := parsePrivateKey(block)
	if err != nil {
		return Key{}, err
	}
	algorithm, err := algorithmOf(private)
	if err != nil {
		return Key{}, err
	}
	spki, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		return Key{}, errors.New("want a key whose public key can be encoded")
	}
	k := Key{id: sha256.Sum256(spki)}
	k.public = jose.JSONWebKey{Key: private.Public(), KeyID: k.id.String(), Algorithm: string(algorithm), Use: "sig"}
	k.signer, err = jose.NewSigner(
		jose.SigningKey{Algorithm: algorithm, Key: jose.JSONWebKey{Key: private, KeyID: k.id.String()}},
		(&jose.SignerOptions{}).WithType(Type),
	)
	return k, err
}

// parsePrivateKey parses one block. It never quotes the type, which may be a part of a
// key in a damaged file.
func parsePrivateKey(block *pem.Block) (crypto.Signer, error) {
	var key any
	var err error
	switch {
	case block.Type == "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case block.Type == "EC PRIVATE KEY" && len(block.Headers) == 0:
		key, err = x509.ParseECPrivateKey(block.Bytes)
	case block.Type == "ENCRYPTED PRIVATE KEY" || len(block.Headers) > 0:
		return nil, errors.New("want a private key that is not encrypted, found an encrypted one")
	case block.Type == "RSA PRIVATE KEY":
		return nil, errWrongKey
	case block.Type == "CERTIFICATE" || strings.HasSuffix(block.Type, "PUBLIC KEY"):
		return nil, errors.New("want the private key, found a public one")
	default:
		return nil, errors.New("want a block PRIVATE KEY or EC PRIVATE KEY, found another type")
	}
	if err != nil {
		return nil, errors.New("want a private key of type Ed25519 or P-256, found one that cannot be read")
	}
	signer, ok := key.(crypto.Signer)
	if !ok { // a key for key agreement, such as X25519
		return nil, errWrongKey
	}
	return signer, nil
}

var errWrongKey = errors.New("want a private key of type Ed25519 or P-256, found another type (openssl genpkey -algorithm ed25519 makes one)")

// algorithmOf returns the signature algorithm for a key.
func algorithmOf(key crypto.Signer) (jose.SignatureAlgorithm, error) {
	switch key := key.(type) {
	case ed25519.PrivateKey:
		return jose.EdDSA, nil
	case *ecdsa.PrivateKey:
		if key.Curve == elliptic.P256() {
			return jose.ES256, nil
		}
	}
	return "", errWrongKey
}
