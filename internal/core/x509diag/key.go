package x509diag

import (
	"encoding/asn1"
	"strings"
)

// keyFault explains the content of a SubjectPublicKeyInfo (RFC 5280, section 4.1.2.7).
func keyFault(spki []byte) (Fault, bool) {
	algorithm, rest, ok := next(spki, tagSequence)
	if !ok {
		return Fault{}, false
	}
	if _, _, ok = next(rest, asn1.TagBitString); !ok {
		return Fault{}, false
	}
	oid, parameters, ok := nextOID(algorithm)
	if !ok {
		return Fault{}, false
	}
	switch name := keyName(oid); {
	case oid == oidEC:
		return curveFault(parameters)
	case oid == oidRSA, oid == oidDSA, oid == oidEd25519, oid == oidX25519:
		return Fault{}, false // crypto/x509 supports these
	case name != "":
		return Fault{name, keyHint}, true
	default:
		return unknownKey(), true
	}
}

func unknownKey() Fault {
	return Fault{"a key of an algorithm that Go's crypto/x509 does not support", keyHint}
}

// curveFault explains the parameters of an elliptic curve key (RFC 5480, section
// 2.1.1).
func curveFault(parameters []byte) (Fault, bool) {
	if _, _, ok := next(parameters, tagSequence); ok {
		return Fault{"a key with explicit elliptic curve parameters instead of a named curve", "make the key with -pkeyopt ec_param_enc:named_curve and have the certificate issued over it"}, true
	}
	curve, _, ok := nextOID(parameters)
	if !ok {
		return Fault{}, false
	}
	switch name := curveName(curve); name {
	case "P-224", "P-256", "P-384", "P-521":
		return Fault{}, false // the point is damaged, not the curve
	case "":
		return Fault{"a key on an elliptic curve that Go's crypto/x509 does not support", keyHint}, true
	default:
		return Fault{"a key on the curve " + name, keyHint}, true
	}
}

// maxOID is the maximum length in bytes of DER up to which an identifier is decoded. All
// identifiers in this package are shorter.
const maxOID = 16

// nextOID reads the OBJECT IDENTIFIER at the start of der. The result is "" for one that
// is longer than maxOID.
func nextOID(der []byte) (oid string, rest []byte, ok bool) {
	content, rest, ok := next(der, asn1.TagOID)
	if !ok || len(content) > maxOID {
		return "", rest, ok
	}
	var id asn1.ObjectIdentifier
	if _, err := asn1.Unmarshal(der[:len(der)-len(rest)], &id); err != nil {
		return "", rest, false
	}
	return id.String(), rest, true
}

const (
	oidRSA     = "1.2.840.113549.1.1.1"  // RFC 8017
	oidDSA     = "1.2.840.10040.4.1"     // RFC 3279
	oidEC      = "1.2.840.10045.2.1"     // RFC 5480
	oidX25519  = "1.3.101.110"           // RFC 8410
	oidEd25519 = "1.3.101.112"           // RFC 8410
	mlDSA      = "2.16.840.1.101.3.4.3." // RFC 9881: .17, .18 and .19
	brainpool  = "1.3.36.3.3.2.8.1.1."   // RFC 5639
)

// keyName returns a text for an algorithm that operators may choose and crypto/x509 does
// not support, or "".
func keyName(oid string) string {
	switch oid {
	case "1.2.840.113549.1.1.10": // RFC 4055
		return "an RSASSA-PSS key"
	case "1.3.101.111": // RFC 8410
		return "an X448 key"
	case "1.3.101.113":
		return "an Ed448 key"
	case mlDSA + "17", mlDSA + "18", mlDSA + "19":
		return "an ML-DSA key"
	case "1.2.840.10046.2.1": // RFC 3279
		return "a Diffie-Hellman key"
	case "1.2.840.10045.2.13", "1.2.156.10197.1.301": // GB/T 32918
		return "an SM2 key"
	default:
		return ""
	}
}

// curveName returns the name of a curve of RFC 5480, SEC 2 or RFC 5639 that openssl
// supports, or "".
func curveName(oid string) string {
	switch oid {
	case "1.3.132.0.33":
		return "P-224"
	case "1.2.840.10045.3.1.7":
		return "P-256"
	case "1.3.132.0.34":
		return "P-384"
	case "1.3.132.0.35":
		return "P-521"
	case "1.3.132.0.10":
		return "secp256k1"
	case "1.2.840.10045.3.1.1":
		return "P-192"
	case "1.2.156.10197.1.301":
		return "SM2"
	}
	if strings.HasPrefix(oid, brainpool) {
		return "brainpool"
	}
	return ""
}
