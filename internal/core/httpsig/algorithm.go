package httpsig

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
)

// algorithm is a signature algorithm by its registered name (RFC 9421, section
// 6.2.2).
type algorithm string

const (
	ed25519Pure     algorithm = "ed25519"
	ecdsaP256SHA256 algorithm = "ecdsa-p256-sha256"
	ecdsaP384SHA384 algorithm = "ecdsa-p384-sha384"
	rsaPSSSHA512    algorithm = "rsa-pss-sha512"
	rsaV15SHA256    algorithm = "rsa-v1_5-sha256"
)

// saltLength is that of rsa-pss-sha512 in bytes (RFC 9421, section 3.3.1).
const saltLength = 64

// algorithms are those that the key is able to, the better one first. It is the
// key that decides, never the message.
func algorithms(key crypto.PublicKey, legacyRSA bool) []algorithm {
	switch key := key.(type) {
	case ed25519.PublicKey:
		if len(key) == ed25519.PublicKeySize {
			return []algorithm{ed25519Pure}
		}
	case *ecdsa.PublicKey:
		switch key.Curve {
		case elliptic.P256():
			return []algorithm{ecdsaP256SHA256}
		case elliptic.P384():
			return []algorithm{ecdsaP384SHA384}
		}
	case *rsa.PublicKey:
		return rsaAlgorithms(key, legacyRSA)
	}
	return nil
}

// rsaAlgorithms leaves out PSS where the salt and the hash do not fit into the key
// (RFC 8017, section 9.1.1), as with 1024 bits.
func rsaAlgorithms(key *rsa.PublicKey, legacy bool) []algorithm {
	var able []algorithm
	if (key.N.BitLen()-1+7)/8 >= crypto.SHA512.Size()+saltLength+2 {
		able = append(able, rsaPSSSHA512)
	}
	if legacy {
		able = append(able, rsaV15SHA256)
	}
	return able
}

// describe names the kind of key, for the log.
func describe(key crypto.PublicKey) string {
	switch key := key.(type) {
	case *ecdsa.PublicKey:
		return "ECDSA on " + key.Curve.Params().Name
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA of %d bits", key.N.BitLen())
	}
	return fmt.Sprintf("%T", key)
}

// hash is 0 where the message itself is signed.
func (a algorithm) hash() crypto.Hash {
	switch a {
	case ecdsaP256SHA256, rsaV15SHA256:
		return crypto.SHA256
	case ecdsaP384SHA384:
		return crypto.SHA384
	case rsaPSSSHA512:
		return crypto.SHA512
	}
	return 0
}

// digest is what the key's operation is given.
func (a algorithm) digest(base []byte) []byte {
	hash := a.hash()
	if hash == 0 {
		return base
	}
	h := hash.New()
	h.Write(base)
	return h.Sum(nil)
}

// verify reports whether the signature over the base is the key's, which is one
// that is able to the algorithm.
func (a algorithm) verify(key crypto.PublicKey, base, signature []byte) bool {
	digest := a.digest(base)
	switch key := key.(type) {
	case ed25519.PublicKey:
		return ed25519.Verify(key, digest, signature)
	case *ecdsa.PublicKey:
		return verifyECDSA(key, digest, signature)
	case *rsa.PublicKey:
		if a == rsaV15SHA256 {
			return rsa.VerifyPKCS1v15(key, a.hash(), digest, signature) == nil
		}
		return rsa.VerifyPSS(key, a.hash(), digest, signature, pssOptions()) == nil
	}
	return false
}

func pssOptions() *rsa.PSSOptions {
	return &rsa.PSSOptions{SaltLength: saltLength, Hash: crypto.SHA512}
}

// verifyECDSA takes r and s one behind the other, each as long as the curve's
// order (RFC 9421, section 3.3.4), and nothing in DER.
func verifyECDSA(key *ecdsa.PublicKey, digest, signature []byte) bool {
	size := orderSize(key)
	if len(signature) != 2*size {
		return false
	}
	r := new(big.Int).SetBytes(signature[:size])
	s := new(big.Int).SetBytes(signature[size:])
	return ecdsa.Verify(key, digest, r, s)
}

func orderSize(key *ecdsa.PublicKey) int { return (key.Params().N.BitLen() + 7) / 8 }

// sign makes a signature over the base with a key that is able to the algorithm.
func (a algorithm) sign(key crypto.Signer, base []byte) ([]byte, error) {
	var options crypto.SignerOpts = a.hash()
	if a == rsaPSSSHA512 {
		options = pssOptions()
	}
	signature, err := key.Sign(rand.Reader, a.digest(base), options)
	if err != nil {
		return nil, err
	}
	public, ok := key.Public().(*ecdsa.PublicKey)
	if !ok {
		return signature, nil
	}
	return rawECDSA(signature, orderSize(public))
}

// rawECDSA makes r and s one behind the other from the DER of a [crypto.Signer].
func rawECDSA(der []byte, size int) ([]byte, error) {
	var pair struct{ R, S *big.Int }
	rest, err := asn1.Unmarshal(der, &pair)
	if err != nil {
		return nil, err
	}
	if len(rest) > 0 || pair.R.Sign() <= 0 || pair.S.Sign() <= 0 || pair.R.BitLen() > 8*size || pair.S.BitLen() > 8*size {
		return nil, errors.New("want an ECDSA signature from the key, found something else")
	}
	raw := make([]byte, 2*size)
	pair.R.FillBytes(raw[:size])
	pair.S.FillBytes(raw[size:])
	return raw, nil
}
