//go:build linux

package main

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"slices"
)

// requests returns serialized requests.
type requests interface {
	// next returns the next request of a connection. The request is valid until the next
	// call. Its body is the same in all requests and always stays valid.
	next(connection int) []byte
}

// order determines which connection sends which credential.
type order string

const (
	// shared: all connections together send the credentials in turn.
	shared order = "shared"
	// each: every connection sends all credentials in turn. Connection i begins with
	// credential i.
	each order = "each"
	// fixed: connection i always sends credential i.
	fixed order = "fixed"
)

func (o *order) String() string { return string(*o) }

// Set implements [flag.Value].
func (o *order) Set(value string) error {
	if *o = order(value); !slices.Contains([]order{shared, each, fixed}, *o) {
		return fmt.Errorf("want %s, %s or %s", shared, each, fixed)
	}
	return nil
}

// rotation returns requests with the given credentials in an order.
type rotation struct {
	heads   [][]byte
	order   order
	turns   []int // index of the next credential of each connection; with the order shared, only the first is used
	buffer  []byte
	body    int // index of the body in buffer; the header is copied before it
	sources sources
}

func newRotation(m message, credentials []string, o order, connections int) *rotation {
	r := &rotation{
		heads: make([][]byte, len(credentials)), order: o, turns: make([]int, connections), sources: newSources(m),
	}
	for i, credential := range credentials {
		r.heads[i] = []byte(m.head() + credential + "\r\n\r\n")
		r.body = max(r.body, len(r.heads[i]))
	}
	for i := range r.turns {
		r.turns[i] = i % len(credentials)
	}
	r.buffer = append(make([]byte, r.body), m.content()...)
	return r
}

func (r *rotation) next(connection int) []byte {
	turn := &r.turns[connection]
	if r.order == shared {
		turn = &r.turns[0]
	}
	head := r.heads[*turn]
	if r.order != fixed {
		*turn = (*turn + 1) % len(r.heads)
	}
	request := r.buffer[r.body-len(head):]
	copy(request, head)
	r.sources.write(request)
	return request
}

// varied is the number of bytes at the end of the serial number and of the signature that
// are random in each forgery. Their first bytes are unchanged, so the DER remains valid and
// the only defect of a forgery is its signature.
const varied = 12

// forgeries returns requests with different forged certificates. The gateway cannot cache
// a result for the next one, so each costs a verification.
type forgeries struct {
	der, serial, signature []byte // serial and signature are parts of der
	request, encoded       []byte // encoded is a part of request
	sources                sources
}

func newForgeries(m message, credential string) (*forgeries, error) {
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
	head := m.head()
	request := []byte(head + credential + "\r\n\r\n" + m.content())
	return &forgeries{
		der:       der,
		serial:    der[at+len(serial)-varied : at+len(serial)],
		signature: der[len(der)-varied:],
		request:   request,
		encoded:   request[len(head) : len(head)+len(credential)],
		sources:   newSources(m),
	}, nil
}

func (f *forgeries) next(int) []byte {
	rand.Read(f.serial)
	rand.Read(f.signature)
	base64.StdEncoding.Encode(f.encoded, f.der)
	f.sources.write(f.request)
	return f.request
}
