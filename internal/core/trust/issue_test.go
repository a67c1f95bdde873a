package trust_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// unsigned is a TBSCertificate. crypto/x509 makes no certificates of version 1.
type unsigned struct {
	Version    int `asn1:"optional,explicit,default:0,tag:0"`
	Serial     *big.Int
	Algorithm  pkix.AlgorithmIdentifier
	Issuer     asn1.RawValue
	Validity   struct{ From, To time.Time }
	Subject    asn1.RawValue
	Key        asn1.RawValue
	Extensions []pkix.Extension `asn1:"omitempty,optional,explicit,tag:3"`
}

// issue describes a certificate that openssl would make from the same values. Making it
// here saves the start of a process. The tests of recipes use openssl itself.
type issue struct {
	issuer, subject []byte // DER
	public          any
	signer          crypto.Signer
	digest          string // as for openssl, such as "-sha1"
	serial          string
	days            int
	extensions      string // none is version 1
}

// pem returns the certificate. It is not ok if the key or the extensions need openssl.
func (i issue) pem(tb testing.TB) (certificate []byte, ok bool) {
	tb.Helper()
	algorithm, _ := algorithmOf(i.signer, i.digest)
	key, err := x509.MarshalPKIXPublicKey(i.public)
	extensions, known := extensionsDER(tb, i.extensions)
	serial, isNumber := new(big.Int).SetString(i.serial, 0)
	if err != nil || !known || !isNumber || algorithm.Algorithm == nil {
		return nil, false
	}
	body := unsigned{Serial: serial, Algorithm: algorithm, Extensions: extensions,
		Issuer: asn1.RawValue{FullBytes: i.issuer}, Subject: asn1.RawValue{FullBytes: i.subject}, Key: asn1.RawValue{FullBytes: key}}
	body.Validity.From = time.Now().UTC().Truncate(time.Second)
	body.Validity.To = body.Validity.From.AddDate(0, 0, i.days)
	if len(extensions) > 0 {
		body.Version = 2 // version 3
	}
	return signed(tb, "CERTIFICATE", body, i.signer, i.digest), true
}

// signed returns a PEM block with the body and its signature.
func signed(tb testing.TB, kind string, body any, signer crypto.Signer, digest string) []byte {
	tb.Helper()
	algorithm, hash := algorithmOf(signer, digest)
	der := encode(tb, body)
	hashed := der
	if hash != 0 {
		h := hash.New()
		_, _ = h.Write(der)
		hashed = h.Sum(nil)
	}
	signature, err := signer.Sign(rand.Reader, hashed, hash)
	if err != nil {
		tb.Fatal(err)
	}
	return pemOf(kind, encode(tb, struct {
		Body      asn1.RawValue
		Algorithm pkix.AlgorithmIdentifier
		Signature asn1.BitString
	}{asn1.RawValue{FullBytes: der}, algorithm, asn1.BitString{Bytes: signature, BitLength: 8 * len(signature)}}))
}

// algorithmOf returns the algorithm that openssl uses for a key and a digest, or for its default
// digest. The result is empty if openssl itself has to sign.
func algorithmOf(key crypto.Signer, digest string) (pkix.AlgorithmIdentifier, crypto.Hash) {
	switch key.(type) {
	case *rsa.PrivateKey:
		a, ok := map[string]struct {
			arc  int
			hash crypto.Hash
		}{
			"-md5": {4, crypto.MD5}, "-sha1": {5, crypto.SHA1}, "-sha224": {14, crypto.SHA224},
			"": {11, crypto.SHA256}, "-sha256": {11, crypto.SHA256}, "-sha384": {12, crypto.SHA384}, "-sha512": {13, crypto.SHA512},
		}[digest]
		if ok {
			return pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, a.arc}, Parameters: asn1.NullRawValue}, a.hash
		}
	case *ecdsa.PrivateKey:
		switch digest {
		case "":
			return pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}}, crypto.SHA256
		case "-sha1":
			return pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 1}}, crypto.SHA1
		}
	case ed25519.PrivateKey:
		if digest == "" {
			return pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 3, 101, 112}}, 0
		}
	}
	return pkix.AlgorithmIdentifier{}, 0
}

// privateKey returns the key of a PEM block PRIVATE KEY, or nil if crypto/x509 does not
// support the algorithm.
func privateKey(text []byte) crypto.Signer {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	signer, ok := key.(crypto.Signer)
	if err != nil || !ok {
		return nil
	}
	return signer
}

// extensionsDER encodes lines of openssl's x509v3_config. It is not ok if a line is of a
// kind that only openssl encodes here.
func extensionsDER(tb testing.TB, text string) (list []pkix.Extension, ok bool) {
	tb.Helper()
	for line := range strings.SplitSeq(strings.TrimSpace(text), "\n") {
		if line == "" {
			continue
		}
		name, value, _ := strings.Cut(line, "=")
		value, critical := strings.CutPrefix(value, "critical,")
		id, known := map[string]asn1.ObjectIdentifier{
			"basicConstraints": {2, 5, 29, 19}, "keyUsage": {2, 5, 29, 15}, "extendedKeyUsage": {2, 5, 29, 37},
			"subjectAltName": {2, 5, 29, 17}, "nameConstraints": {2, 5, 29, 30}, "1.2.3.4": {1, 2, 3, 4},
			"2.5.29.35": {2, 5, 29, 35},
		}[name]
		der := extensionDER(tb, name, value)
		if !known || der == nil {
			return nil, false
		}
		list = append(list, pkix.Extension{Id: id, Critical: critical, Value: der})
	}
	return list, true
}

// extensionDER encodes the value of one line, or returns nil.
func extensionDER(tb testing.TB, name, value string) []byte {
	tb.Helper()
	content, isDER := strings.CutPrefix(value, "DER:")
	if isDER {
		der, err := hex.DecodeString(content)
		if err != nil {
			tb.Fatal(err)
		}
		return der
	}
	switch name {
	case "basicConstraints":
		return basicConstraintsDER(tb, value)
	case "keyUsage":
		return keyUsageDER(tb, strings.Split(value, ","))
	case "extendedKeyUsage":
		return purposesDER(tb, strings.Split(value, ","))
	case "subjectAltName":
		var names []asn1.RawValue
		for item := range strings.SplitSeq(value, ",") {
			host, isHost := strings.CutPrefix(item, "DNS:")
			if !isHost {
				return nil
			}
			names = append(names, general(2, []byte(host)))
		}
		return encode(tb, names)
	case "nameConstraints":
		kind, host, isHost := strings.Cut(value, ";DNS:")
		if !isHost {
			return nil
		}
		tag := slices.Index([]string{"permitted", "excluded"}, kind)
		return encode(tb, asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: subtreesDER(tb, tag, nil, general(2, []byte(host)))})
	default:
		content, isText := strings.CutPrefix(value, "ASN1:UTF8String:")
		if !isText {
			return nil
		}
		return encode(tb, asn1.RawValue{Tag: asn1.TagUTF8String, Bytes: []byte(content)})
	}
}

func basicConstraintsDER(tb testing.TB, value string) []byte {
	tb.Helper()
	isCA, length, limited := strings.Cut(value, ",pathlen:")
	limit := -1
	if limited {
		var err error
		if limit, err = strconv.Atoi(length); err != nil {
			tb.Fatal(err)
		}
	}
	return encode(tb, struct {
		CA    bool `asn1:"optional"`
		Limit int  `asn1:"optional,default:-1"`
	}{isCA == "CA:TRUE", limit})
}

func keyUsageDER(tb testing.TB, usages []string) []byte {
	tb.Helper()
	names := []string{"digitalSignature", "nonRepudiation", "keyEncipherment", "dataEncipherment", "keyAgreement", "keyCertSign", "cRLSign"}
	var bits asn1.BitString
	var octet byte
	for _, usage := range usages {
		i := slices.Index(names, usage)
		if i < 0 {
			tb.Fatalf("want a key usage, found %q", usage)
		}
		octet |= 0x80 >> i
		bits.BitLength = max(bits.BitLength, i+1)
	}
	bits.Bytes = []byte{octet}
	return encode(tb, bits)
}

func purposesDER(tb testing.TB, purposes []string) []byte {
	tb.Helper()
	var ids []asn1.ObjectIdentifier
	for _, purpose := range purposes {
		id, known := map[string]asn1.ObjectIdentifier{
			"serverAuth": {1, 3, 6, 1, 5, 5, 7, 3, 1}, "clientAuth": {1, 3, 6, 1, 5, 5, 7, 3, 2},
			"OCSPSigning": {1, 3, 6, 1, 5, 5, 7, 3, 9}, "anyExtendedKeyUsage": {2, 5, 29, 37, 0}, "1.2.3.4": {1, 2, 3, 4},
		}[purpose]
		if !known {
			tb.Fatalf("want a purpose, found %q", purpose)
		}
		ids = append(ids, id)
	}
	return encode(tb, ids)
}
