package trust_test

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"testing"
	"time"
)

// revokedEntry is an entry of a revocation list.
type revokedEntry struct {
	Serial     *big.Int
	Time       time.Time
	Extensions []pkix.Extension `asn1:"optional"`
}

// unsignedCRL is a TBSCertList. crypto/x509 makes no lists of version 1, and none without
// nextUpdate.
type unsignedCRL struct {
	Version    int `asn1:"optional"`
	Algorithm  pkix.AlgorithmIdentifier
	Issuer     asn1.RawValue
	ThisUpdate time.Time
	NextUpdate time.Time        `asn1:"optional"`
	Revoked    []revokedEntry   `asn1:"optional"`
	Extensions []pkix.Extension `asn1:"optional,explicit,tag:0"`
}

// crlNumber returns the extension with the number 1 of a list.
func crlNumber(tb testing.TB) []pkix.Extension {
	tb.Helper()
	return []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 20}, Value: encode(tb, 1)}}
}

// issueCRL makes a list without openssl, unless the options need openssl.
func (o opensslCA) issueCRL(w crl) (list []byte, ok bool) {
	o.tb.Helper()
	signer := privateKey(o.read(w.ca + ".key"))
	algorithm, _ := algorithmOf(signer, w.digest)
	if algorithm.Algorithm == nil || w.entry != "" || w.extensions != "" && w.extensions != "-" {
		return nil, false
	}
	now := time.Now().UTC().Truncate(time.Second)
	body := unsignedCRL{Algorithm: algorithm, Issuer: asn1.RawValue{FullBytes: parsed(o.tb, o.read(w.ca+".crt")).RawSubject}}
	body.ThisUpdate = o.timeOr(w.this, now)
	body.NextUpdate = o.timeOr(w.next, now.AddDate(0, 0, 7))
	for _, text := range w.revoked {
		serial, isNumber := new(big.Int).SetString(text, 16)
		if !isNumber {
			o.tb.Fatalf("serial number %q", text)
		}
		body.Revoked = append(body.Revoked, revokedEntry{Serial: serial, Time: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)})
	}
	if w.extensions == "" {
		body.Version, body.Extensions = 1, crlNumber(o.tb) // version 2
	}
	return signed(o.tb, "X509 CRL", body, signer, w.digest), true
}

// timeOr returns the time that a text for openssl gives, or the other one if it is empty.
func (o opensslCA) timeOr(text string, other time.Time) time.Time {
	o.tb.Helper()
	if text == "" {
		return other
	}
	at, err := time.Parse("20060102150405Z", text)
	if err != nil {
		o.tb.Fatal(err)
	}
	return at
}
