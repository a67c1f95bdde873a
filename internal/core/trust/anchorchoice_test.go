package trust_test

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"testing"

	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/core/trust"
)

// TestReasonOfTheRightAnchor checks that the reason comes from the anchor that signed the
// certificate, at any position in the keyring.
func TestReasonOfTheRightAnchor(t *testing.T) {
	t.Parallel()
	o := newOpenSSL(t)
	bare, _ := o.newCA("bare", "ed25519")
	_, otherCA := o.newCA("otherCA", "ec:P-256")
	o.key("ca", "ec:P-256")
	ca := o.root(rootOptions{name: "ca", extensions: caExtensions + "\nextendedKeyUsage=serverAuth"})
	o.key("mail", "ec:P-256")
	leaf := o.client(clientOptions{ca: "ca", key: "mail"})
	for _, ring := range [][][]byte{{ca, bare, otherCA}, {bare, otherCA, ca}, {otherCA, ca, bare}} {
		v, err := verify(t, leaf, ring...)
		check(t, leaf, v, err, refusal.CertificateUnsuitable)
	}
}

// TestMixedKeyring verifies with keyrings of keys and CA certificates in any order. The
// result has the id of the anchor that signed, whatever the authority key identifier of
// the certificate is.
func TestMixedKeyring(t *testing.T) {
	t.Parallel()
	o := newOpenSSL(t)
	const named = caExtensions + "\nsubjectKeyIdentifier=hash"
	o.key("bare", "ec:P-256")
	o.root(rootOptions{name: "bare", extensions: named})
	o.key("ca", "ec:P-256")
	ca := o.root(rootOptions{name: "ca", extensions: named}) // with the same name
	bare := o.public("bare")
	_, third := o.newCA("third", "ed25519")
	one := o.intermediate(intermediateOptions{name: "one", ca: "ca", extensions: named})
	o.key("mail", "ec:P-256")
	id := func(block []byte) trust.KeyID { return keyring(t, block).Anchors()[0].ID() }
	tests := []struct {
		name   string
		signer string
		names  []byte // authority key identifier
		want   []byte
	}{
		{"key", "bare", parsed(t, o.read("bare.crt")).SubjectKeyId, bare},
		{"CA", "ca", parsed(t, ca).SubjectKeyId, ca},
		{"below the CA", "one", one.SubjectKeyId, ca},
		{"key, identifier of the CA", "bare", parsed(t, ca).SubjectKeyId, bare},
		{"CA, identifier of the key", "ca", parsed(t, o.read("bare.crt")).SubjectKeyId, ca},
		{"below the CA, identifier of the key", "one", parsed(t, o.read("bare.crt")).SubjectKeyId, ca},
		{"below the CA, identifier of the CA", "one", parsed(t, ca).SubjectKeyId, ca},
		{"no anchor, identifier of the CA", "third", parsed(t, ca).SubjectKeyId, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			leaf := o.client(clientOptions{ca: tt.signer, key: "mail", extensions: fmt.Sprintf("2.5.29.35=DER:30168014%x", tt.names)})
			if !bytes.Equal(leaf.AuthorityKeyId, tt.names) {
				t.Fatalf("the fixture has the identifier %x", leaf.AuthorityKeyId)
			}
			for _, ring := range [][][]byte{{bare, ca}, {ca, bare}, {bare, ca, third}, {third, ca, bare}} {
				v, err := verifyChain(t, leaf, chain{one}, ring...)
				if tt.want == nil && len(ring) == 2 {
					check(t, leaf, v, err, refusal.CertificateUntrusted)
					continue
				}
				check(t, leaf, v, err, "")
				if tt.want != nil && v.KeyID() != id(tt.want) {
					t.Error("want the id of the anchor that signed, found another")
				}
			}
		})
	}
}

// TestNamedAnchorFirst checks that the anchor named by the authority key identifier is
// used if two anchors are possible.
func TestNamedAnchorFirst(t *testing.T) {
	t.Parallel()
	o := newOpenSSL(t)
	_, ca := o.newCA("ca", "ec:P-256")
	one := o.intermediate(intermediateOptions{name: "one", ca: "ca", extensions: caExtensions + "\nsubjectKeyIdentifier=hash"})
	o.key("mail", "ec:P-256")
	named := o.client(clientOptions{ca: "one", key: "mail", extensions: "authorityKeyIdentifier=keyid"})
	unnamed := o.client(clientOptions{ca: "one", key: "mail"})
	ring := keyring(t, ca, o.read("one.crt"))
	for leaf, want := range map[*x509.Certificate]trust.KeyID{named: ring.Anchors()[1].ID(), unnamed: ring.Anchors()[0].ID()} {
		v, err := trust.NewVerifier(ring, nil, trust.Limits{}).Verify(leaf, midValidity(leaf), one)
		check(t, leaf, v, err, "")
		if v.KeyID() != want {
			t.Error("want the id of the other anchor")
		}
	}
}

// TestCrossSigned verifies a certificate below an intermediate key that two CAs have
// certified. A path exists for each CA whose certificate of the key is sent, and loops
// end the search.
func TestCrossSigned(t *testing.T) {
	t.Parallel()
	o := newOpenSSL(t)
	o.key("a", "ec:P-256")
	a := o.root(rootOptions{name: "a", subject: "/CN=A"})
	o.key("b", "ec:P-256")
	b := o.root(rootOptions{name: "b", subject: "/CN=B"})
	byA := o.intermediate(intermediateOptions{name: "one", ca: "a"})
	other := o.intermediate(intermediateOptions{name: "two", ca: "one"})
	byOther := o.intermediate(intermediateOptions{name: "one", ca: "two"}) // a loop: one signs two signs one
	byB := o.intermediate(intermediateOptions{name: "one", ca: "b"})
	o.key("mail", "ec:P-256")
	leaf := o.client(clientOptions{ca: "one", key: "mail"})
	id := func(block []byte) trust.KeyID { return keyring(t, block).Anchors()[0].ID() }
	tests := []struct {
		name string
		with chain
		ring [][]byte
		want []byte // the anchor of the path; nil for none
	}{
		{"A's", chain{byA}, [][]byte{a, b}, a},
		{"B's", chain{byB}, [][]byte{a, b}, b},
		{"both, under A", chain{byA, byB}, [][]byte{a}, a},
		{"both, under B", chain{byA, byB}, [][]byte{b}, b},
		{"B's under A", chain{byB}, [][]byte{a}, nil},
		{"a loop", chain{byOther, other}, [][]byte{a, b}, nil},
		{"a loop and a path to A", chain{byOther, other, byA}, [][]byte{a, b}, a},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v, err := verifyChain(t, leaf, tt.with, tt.ring...)
			if tt.want == nil {
				check(t, leaf, v, err, refusal.CertificateUntrusted)
				return
			}
			check(t, leaf, v, err, "")
			if v.KeyID() != id(tt.want) {
				t.Error("want the id of the other anchor")
			}
		})
	}
}
