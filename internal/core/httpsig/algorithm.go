package httpsig

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
)

// algorithm is the registered name of a signature algorithm (RFC 9421, section
// 6.2.2).
type algorithm string

const (
	ed25519Pure     algorithm = "ed25519"
	ecdsaP256SHA256 algorithm = "ecdsa-p256-sha256"
	ecdsaP384SHA384 algorithm = "ecdsa-p384-sha384"
	rsaPSSSHA512    algorithm = "rsa-pss-sha512"
	rsaV15SHA256    algorithm = "rsa-v1_5-sha256"
)

// saltLength is the salt length of rsa-pss-sha512 in bytes (RFC 9421, section 3.3.1).
const saltLength = 64

// algorithms returns the algorithms that the key supports, the preferred one first.
// They depend on the key only, so a message cannot select a weaker algorithm.
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

// rsaAlgorithms returns the algorithms of an RSA key. PSS is omitted if the salt and
// the hash do not fit into the key (RFC 8017, section 9.1.1), as with 1024 bits.
func rsaAlgorithms(key *rsa.PublicKey, legacy bool) []algorithm {
	var supported []algorithm
	if (key.N.BitLen()-1+7)/8 >= crypto.SHA512.Size()+saltLength+2 {
		supported = append(supported, rsaPSSSHA512)
	}
	if legacy {
		supported = append(supported, rsaV15SHA256)
	}
	return supported
}

// describe returns the type and size of the key, for log messages.
func describe(key crypto.PublicKey) string {
	switch key := key.(type) {
	case *ecdsa.PublicKey:
		return "ECDSA on " + key.Curve.Params().Name
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA of %d bits", key.N.BitLen())
	}
	return fmt.Sprintf("%T", key)
}

// hash returns the hash function of the algorithm, or 0 if the signature base is
// signed without hashing.
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

// digest returns the input of the key's sign or verify operation.
func (a algorithm) digest(base []byte) []byte {
	switch a.hash() {
	case crypto.SHA256:
		sum := sha256.Sum256(base)
		return sum[:]
	case crypto.SHA384:
		sum := sha512.Sum384(base)
		return sum[:]
	case crypto.SHA512:
		sum := sha512.Sum512(base)
		return sum[:]
	}
	return base
}

// verify reports whether the signature over the base was made with the key. The key
// must support the algorithm.
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

// sign signs the base. The key must support the algorithm.
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
