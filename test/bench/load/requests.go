//go:build linux

package main

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"strings"
)

// body is as long as the running example's event.
var body = strings.Repeat("x", 120) //nolint:gochecknoglobals // a constant that Go cannot compute

// requests yields whole requests. What next returns holds until its next call.
type requests interface{ next() []byte }

// rotation yields requests with each of some credentials in turn.
type rotation struct {
	ready [][]byte
	at    int
}

func newRotation(head string, credentials []string) *rotation {
	r := &rotation{ready: make([][]byte, len(credentials))}
	for i, credential := range credentials {
		r.ready[i] = []byte(head + credential + "\r\n\r\n" + body)
	}
	return r
}

func (r *rotation) next() []byte {
	request := r.ready[r.at]
	r.at = (r.at + 1) % len(r.ready)
	return request
}

// varied is how many bytes at the end of a serial number and of a signature
// differ from forgery to forgery. Their first bytes stay, and with them the
// shape: the only thing wrong with a forgery is its signature.
const varied = 12

// forgeries yields requests whose certificates all differ and are all forged:
// nothing about one helps to refuse the next, and each costs a verification.
type forgeries struct {
	der, serial, signature []byte // the latter two are parts of the first
	request, encoded       []byte // and so is encoded of request
}

func newForgeries(head, credential string) (*forgeries, error) {
	der, err := base64.StdEncoding.DecodeString(credential)
	if err != nil {
		return nil, fmt.Errorf("want base64 of DER to forge: %w", err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	serial := certificate.SerialNumber.Bytes()
	at := bytes.Index(der, serial)
	if len(serial) <= varied || at < 0 {
		return nil, fmt.Errorf("want a serial number longer than %d bytes, found %d", varied, len(serial))
	}
	request := []byte(head + credential + "\r\n\r\n" + body)
	return &forgeries{
		der:       der,
		serial:    der[at+len(serial)-varied : at+len(serial)],
		signature: der[len(der)-varied:],
		request:   request,
		encoded:   request[len(head) : len(head)+len(credential)],
	}, nil
}

func (f *forgeries) next() []byte {
	rand.Read(f.serial)
	rand.Read(f.signature)
	base64.StdEncoding.Encode(f.encoded, f.der)
	return f.request
}
