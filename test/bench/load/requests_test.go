//go:build linux

package main

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"io"
	"maps"
	"math/big"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

// readRequest returns the request in text, with its body.
func readRequest(t *testing.T, text []byte) (*http.Request, string) {
	t.Helper()
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(text)))
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r, string(body)
}

func TestMessage(t *testing.T) {
	tests := []struct {
		name     string
		message  message
		wantBody int
		want     http.Header
	}{
		{
			"length", message{method: "POST", body: 120}, 120,
			http.Header{"Content-Type": {"application/json"}, "Content-Length": {"120"}},
		},
		{"chunks", message{method: "POST", body: 40000, chunked: true}, 40000, http.Header{"Content-Type": {"application/json"}}},
		{"no body", message{method: "GET", body: 120}, 0, http.Header{}},
		{
			"fields and sources", message{method: "GET", sources: 2, fields: []string{"A: b", "C: d"}}, 0,
			http.Header{"A": {"b"}, "C": {"d"}, "X-Forwarded-For": {"2001:db8:0:0000::1"}},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			test.message.path, test.message.host = "/events", "127.0.0.1:80"
			test.want.Set("X-SSL-Auth", "value")
			r, body := readRequest(t, newRotation(test.message, []string{"value"}, shared, 1).next(0))
			if r.Method != test.message.method || r.URL.Path != "/events" || r.Host != "127.0.0.1:80" {
				t.Errorf("want %s /events of 127.0.0.1:80, found %s %s of %s", test.message.method, r.Method, r.URL, r.Host)
			}
			if body != strings.Repeat("x", test.wantBody) {
				t.Errorf("want %d bytes of body, found %d", test.wantBody, len(body))
			}
			if chunked := len(r.TransferEncoding) > 0; chunked != test.message.chunked {
				t.Errorf("want chunked %t, found %t", test.message.chunked, chunked)
			}
			if !maps.EqualFunc(r.Header, test.want, slices.Equal) {
				t.Errorf("want the fields %q, found %q", test.want, r.Header)
			}
		})
	}
}

// TestRotationOrder: which of three credentials two connections send, if they take
// turns.
func TestRotationOrder(t *testing.T) {
	for _, test := range []struct {
		order order
		want  string
	}{
		{shared, "a b c a b c a b"},
		{each, "a b b c c a a b"},
		{fixed, "a b a b a b a b"},
	} {
		t.Run(string(test.order), func(t *testing.T) {
			r := newRotation(message{method: "POST", path: "/", body: 3}, []string{"a", "b", "c"}, test.order, 2)
			var found []string
			for i := range 8 {
				request, body := readRequest(t, r.next(i%2))
				if body != "xxx" {
					t.Errorf("want the body xxx, found %q", body)
				}
				found = append(found, request.Header.Get("X-SSL-Auth"))
			}
			if list := strings.Join(found, " "); list != test.want {
				t.Errorf("want %s, found %s", test.want, list)
			}
		})
	}
}

// TestSources: the addresses of X-Forwarded-For take turns.
func TestSources(t *testing.T) {
	m := message{method: "POST", path: "/", sources: 257}
	r := newRotation(m, []string{"value"}, shared, 1)
	seen := map[netip.Addr]int{}
	for range 2 * m.sources {
		request, _ := readRequest(t, r.next(0))
		address, err := netip.ParseAddr(request.Header.Get("X-Forwarded-For"))
		if err != nil {
			t.Fatal(err)
		}
		seen[address]++
	}
	if len(seen) != m.sources {
		t.Errorf("want %d addresses, found %d", m.sources, len(seen))
	}
	for address, count := range seen {
		if count != 2 {
			t.Errorf("want %s twice, found it %d times", address, count)
		}
	}
}

// credential is a certificate as header value.
func credential(t *testing.T) string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: new(big.Int).Lsh(big.NewInt(1), 120),
		Subject:      pkix.Name{OrganizationalUnit: []string{"mail"}},
		NotAfter:     time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(der)
}

// TestForgeries: each is another certificate with nothing wrong but the signature.
func TestForgeries(t *testing.T) {
	value := credential(t)
	m := message{method: "POST", path: "/", body: 120}
	f, err := newForgeries(m, value)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{value: true}
	for range 3 {
		request := string(f.next(0))
		_, rest, _ := strings.Cut(request, "X-SSL-Auth: ")
		forged, sent, _ := strings.Cut(rest, "\r\n\r\n")
		if sent != m.content() {
			t.Errorf("want the body unchanged, found %q", sent)
		}
		if seen[forged] {
			t.Error("want each forgery different, found one twice")
		}
		seen[forged] = true
		der, err := base64.StdEncoding.DecodeString(forged)
		if err != nil {
			t.Fatal(err)
		}
		certificate, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		if unit := certificate.Subject.OrganizationalUnit; len(unit) != 1 || unit[0] != "mail" {
			t.Errorf("want the client mail, found %q", unit)
		}
		err = certificate.CheckSignature(certificate.SignatureAlgorithm, certificate.RawTBSCertificate, certificate.Signature)
		if err == nil {
			t.Error("want a signature that does not verify, found one that does")
		}
	}
}
