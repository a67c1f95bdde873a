package trust_test

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/core/trust"
)

type chain = []*x509.Certificate

// TestChains: mail is below one, sub below one, deep below sub. Only what is
// attached beside the client's certificate differs.
func TestChains(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	public, ca := o.authority("ca", "rsa:2048")
	_, stranger := o.authority("stranger", "ec:P-256") // of the same name as the CA
	root := parsed(t, ca)
	one := o.intermediate(issuer{name: "one", ca: "ca"})
	sub := o.intermediate(issuer{name: "sub", ca: "one", kind: "ed25519"})
	deep := o.intermediate(issuer{name: "deep", ca: "sub", kind: "rsa:2048"})
	other := o.intermediate(issuer{name: "other", ca: "ca"})
	foreign := o.intermediate(issuer{name: "foreign", ca: "stranger"})
	o.key("mail", "ec:P-256")
	direct := o.client(order{ca: "ca", key: "mail"})
	below1 := o.client(order{ca: "one", key: "mail"})
	below2 := o.client(order{ca: "sub", key: "mail"})
	below3 := o.client(order{ca: "deep", key: "mail"})
	strange := o.client(order{ca: "foreign", key: "mail"})
	forged := o.client(order{ca: "stranger", key: "mail"})
	o.write("mail.crt", string(pemOf("CERTIFICATE", direct.Raw)))
	ofClient := o.client(order{ca: "mail", key: "mail"})
	const no = refusal.CertificateUntrusted
	tests := []struct {
		name   string
		leaf   *x509.Certificate
		with   chain
		anchor []byte
		want   refusal.Reason
	}{
		{"directly", direct, nil, ca, ""},
		{"one intermediate", below1, chain{one}, ca, ""},
		{"two", below2, chain{sub, one}, ca, ""},
		{"three", below3, chain{deep, sub, one}, ca, ""},
		{"four", below3, chain{deep, sub, one, other}, ca, no},
		{"wrong order", below3, chain{one, deep, sub}, ca, ""},
		{"surplus", below1, chain{other, one, foreign}, ca, ""},
		{"surplus beside a direct one", direct, chain{other, foreign}, ca, ""},
		{"surplus beside a bare key", direct, chain{other, foreign}, public, ""},
		{"the same twice", below1, chain{one, one}, ca, ""},
		{"the client's again", below1, chain{below1, one}, ca, ""},
		{"the root too", below1, chain{one, root}, ca, ""},
		{"the root of a stranger too", below1, chain{one, parsed(t, stranger)}, ca, ""},
		{"another client's too", below1, chain{direct, one}, ca, ""},
		{"missing", below1, nil, ca, no},
		{"the lower one missing", below2, chain{one}, ca, no},
		{"the upper one missing", below2, chain{sub}, ca, no},
		{"another one", below1, chain{other}, ca, no},
		{"bare key", below1, chain{one}, public, no},
		{"the intermediate's own key", below1, nil, o.public("one"), ""},
		{"the intermediate as anchor", below1, nil, o.read("one.crt"), ""},
		{"stranger's, with a genuine intermediate", forged, chain{one}, ca, no},
		{"stranger's, with the whole genuine chain", forged, chain{deep, sub, one}, ca, no},
		{"stranger's, with a genuine root", forged, chain{root}, ca, no},
		{"stranger's, with the stranger's root", forged, chain{parsed(t, stranger)}, ca, no},
		{"stranger's chain", strange, chain{foreign}, ca, no},
		{"stranger's chain with root", strange, chain{foreign, parsed(t, stranger)}, ca, no},
		{"genuine below a stranger's anchor", below1, chain{one}, stranger, no},
		{"a client is no intermediate", ofClient, chain{direct}, ca, no},
		{"an intermediate is no client", one, nil, ca, refusal.CertificateUnsuitable},
		{"a lower intermediate is no client", sub, chain{one}, ca, refusal.CertificateUnsuitable},
		{"the root is no client", root, nil, ca, refusal.CertificateUnsuitable},
		{"the root is no client, with intermediates", root, chain{one}, ca, refusal.CertificateUnsuitable},
		{"the root is no client of its bare key", root, nil, public, refusal.CertificateUnsuitable},
		{"nil intermediate", below1, chain{one, nil}, ca, no},
		{"zero intermediate", below1, chain{{}}, ca, no},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v, err := verifyChain(t, tt.leaf, tt.with, tt.anchor)
			check(t, tt.leaf, v, err, tt.want)
			if tt.want == "" && v.KeyID() != keyring(t, tt.anchor).Anchors()[0].ID() {
				t.Error("want the id of the anchor, found another")
			}
		})
	}
}

// TestIntermediates: the same path, the same client; only the intermediate
// differs.
func TestIntermediates(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	_, ca := o.authority("ca", "rsa:2048")
	o.key("one", "ec:P-256")
	o.key("short", "rsa:1024")
	o.key("mail", "ec:P-256")
	const isCA = "basicConstraints=critical,CA:TRUE"
	tests := []struct {
		name string
		with issuer
		want refusal.Reason
	}{
		{"good", issuer{name: "one"}, ""},
		{"no key usage", issuer{name: "one", extensions: isCA}, ""},
		{"not critical", issuer{name: "one", extensions: "basicConstraints=CA:TRUE\nkeyUsage=keyCertSign"}, ""},
		{"clientAuth", issuer{name: "one", extensions: caExtensions + "\nextendedKeyUsage=clientAuth"}, ""},
		{"unknown extension", issuer{name: "one", extensions: caExtensions + "\n1.2.3.4=ASN1:UTF8String:x"}, ""},
		{"not a CA", issuer{name: "one", extensions: "basicConstraints=critical,CA:FALSE"}, refusal.CertificateUntrusted},
		{"not a CA, with keyCertSign", issuer{name: "one", extensions: "keyUsage=keyCertSign"}, refusal.CertificateUntrusted},
		{"no keyCertSign", issuer{name: "one", extensions: isCA + "\nkeyUsage=critical,digitalSignature,cRLSign"}, refusal.CertificateUntrusted},
		{"no key usage allowed at all", issuer{name: "one", extensions: isCA + "\nkeyUsage=critical,DER:030100"}, refusal.CertificateUntrusted},
		{"unknown critical extension", issuer{name: "one", extensions: caExtensions + "\n1.2.3.4=critical,ASN1:UTF8String:x"}, refusal.CertificateUntrusted},
		{"serverAuth only", issuer{name: "one", extensions: caExtensions + "\nextendedKeyUsage=serverAuth"}, refusal.CertificateUnsuitable},
		{"signed with SHA-1", issuer{name: "one", digest: "-sha1"}, refusal.CertificateWeak},
		{"signed with MD5", issuer{name: "one", digest: "-md5"}, refusal.CertificateWeak},
		{"short key", issuer{name: "short"}, refusal.CertificateWeak},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.with.ca = "ca"
			one := o.intermediate(tt.with)
			leaf := o.client(order{ca: tt.with.name, key: "mail"})
			v, err := verifyChain(t, leaf, chain{one}, ca)
			check(t, leaf, v, err, tt.want)
		})
	}
	t.Run("version 1", func(t *testing.T) {
		one := o.client(order{ca: "ca", key: "one", subject: "/O=Example/CN=one"})
		o.write("one.crt", string(pemOf("CERTIFICATE", one.Raw)))
		leaf := o.client(order{ca: "one", key: "mail"})
		v, err := verifyChain(t, leaf, chain{one}, ca)
		check(t, leaf, v, err, refusal.CertificateUntrusted)
	})
}

// TestWeakRoot: nobody needs a root's own signature, so an old one that came
// along takes no chain away and is no reason.
func TestWeakRoot(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.key("ca", "rsa:2048")
	o.write("root.cnf", "[req]\ndistinguished_name=dn\n[dn]\n[v3]\n"+caExtensions+"\n")
	o.openssl("req", "-new", "-x509", "-sha1", "-config", "root.cnf", "-extensions", "v3", "-key", "ca.key", "-subj", "/CN=Old CA", "-days", "999", "-out", "ca.crt")
	ca := o.read("ca.crt")
	one := o.intermediate(issuer{name: "one", ca: "ca"})
	o.key("mail", "ec:P-256")
	leaf := o.client(order{ca: "one", key: "mail"})
	v, err := verifyChain(t, leaf, chain{one, parsed(t, ca)}, ca)
	check(t, leaf, v, err, "")
	v, err = verifyChain(t, leaf, chain{parsed(t, ca)}, ca)
	check(t, leaf, v, err, refusal.CertificateUntrusted)
}

// TestPurposesNest: what the anchor or an intermediate may not issue for, the
// client cannot have.
func TestPurposesNest(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.key("ca", "ec:P-256")
	o.key("mail", "ec:P-256")
	for extensions, want := range map[string]refusal.Reason{
		"":                              "",
		"\nextendedKeyUsage=clientAuth": "",
		"\nextendedKeyUsage=serverAuth": refusal.CertificateUnsuitable,
		"\nextendedKeyUsage=critical,OCSPSigning": refusal.CertificateUnsuitable,
	} {
		ca := o.root(root{name: "ca", extensions: caExtensions + extensions})
		leaf := o.client(order{ca: "ca", key: "mail", extensions: "extendedKeyUsage=clientAuth"})
		v, err := verify(t, leaf, ca)
		check(t, leaf, v, err, want)
		one := o.intermediate(issuer{name: "one", ca: "ca"})
		leaf = o.client(order{ca: "one", key: "mail", extensions: "extendedKeyUsage=clientAuth"})
		v, err = verifyChain(t, leaf, chain{one}, ca)
		check(t, leaf, v, err, want)
	}
}

func TestPathLength(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.key("ca", "ec:P-256")
	o.key("mail", "ec:P-256")
	const limited = "basicConstraints=critical,CA:TRUE,pathlen:"
	tests := []struct {
		name, ca, one  string
		below1, below2 refusal.Reason
	}{
		{"no limit", caExtensions, caExtensions, "", ""},
		{"anchor 1", limited + "1", caExtensions, "", refusal.CertificateUntrusted},
		{"anchor 0", limited + "0", caExtensions, refusal.CertificateUntrusted, refusal.CertificateUntrusted},
		{"intermediate 1", caExtensions, limited + "1", "", ""},
		{"intermediate 0", caExtensions, limited + "0", "", refusal.CertificateUntrusted},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ca := o.root(root{name: "ca", extensions: tt.ca})
			one := o.intermediate(issuer{name: "one", ca: "ca", extensions: tt.one})
			sub := o.intermediate(issuer{name: "sub", ca: "one"})
			direct := o.client(order{ca: "ca", key: "mail"})
			v, err := verify(t, direct, ca)
			check(t, direct, v, err, "")
			leaf := o.client(order{ca: "one", key: "mail"})
			v, err = verifyChain(t, leaf, chain{one}, ca)
			check(t, leaf, v, err, tt.below1)
			leaf = o.client(order{ca: "sub", key: "mail"})
			v, err = verifyChain(t, leaf, chain{sub, one}, ca)
			check(t, leaf, v, err, tt.below2)
		})
	}
}

func TestNameConstraints(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	_, plain := o.authority("plain", "ec:P-256")
	o.key("mail", "ec:P-256")
	const permitted = "\nnameConstraints=critical,permitted;DNS:example.org"
	const excluded = "\nnameConstraints=critical,excluded;DNS:example.org"
	const no = refusal.CertificateUntrusted
	tests := []struct {
		name, constraint, leaf string
		want                   refusal.Reason
	}{
		{"permitted, inside", permitted, "subjectAltName=DNS:mail.example.org", ""},
		{"permitted, no name", permitted, "", ""},
		{"permitted, outside", permitted, "subjectAltName=DNS:mail.example.com", no},
		{"permitted, a longer name", permitted, "subjectAltName=DNS:mailexample.org", no},
		{"permitted, one inside and one outside", permitted, "subjectAltName=DNS:mail.example.org,DNS:example.com", no},
		{"excluded, outside", excluded, "subjectAltName=DNS:mail.example.com", ""},
		{"excluded, inside", excluded, "subjectAltName=DNS:mail.example.org", no},
		{"excluded, other case", excluded, "subjectAltName=DNS:MAIL.EXAMPLE.ORG", no},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o.key("ca", "ec:P-256")
			ca := o.root(root{name: "ca", extensions: caExtensions + tt.constraint})
			leaf := o.client(order{ca: "ca", key: "mail", extensions: tt.leaf})
			v, err := verify(t, leaf, ca)
			check(t, leaf, v, err, tt.want)
			one := o.intermediate(issuer{name: "one", ca: "plain", extensions: caExtensions + tt.constraint})
			leaf = o.client(order{ca: "one", key: "mail", extensions: tt.leaf})
			v, err = verifyChain(t, leaf, chain{one}, plain)
			check(t, leaf, v, err, tt.want)
		})
	}
}

// TestChainTime: every certificate's own period counts; the client's gives the
// reason when it is over, whatever else is.
func TestChainTime(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	_, ca := o.authority("ca", "ec:P-256")
	o.key("mail", "ec:P-256")
	one := o.intermediate(issuer{name: "one", ca: "ca", days: "10"})
	leaf := o.client(order{ca: "one", key: "mail"})
	brief := o.client(order{ca: "one", key: "mail", more: []string{"-days", "5"}})
	end := one.NotAfter
	tests := []struct {
		name string
		leaf *x509.Certificate
		now  time.Time
		skew time.Duration
		want refusal.Reason
	}{
		{"last second of the intermediate", leaf, end, 0, ""},
		{"a second late", leaf, end.Add(time.Second), 0, refusal.CertificateUntrusted},
		{"within the skew", leaf, end.Add(time.Minute), time.Minute, ""},
		{"a second more than the skew", leaf, end.Add(61 * time.Second), time.Minute, refusal.CertificateUntrusted},
		{"the client's is over", brief, brief.NotAfter.Add(time.Second), 0, refusal.CertificateExpired},
		{"both are over", brief, end.Add(time.Hour), 0, refusal.CertificateExpired},
		{"everything is over", brief, end.AddDate(50, 0, 0), time.Minute, refusal.CertificateExpired},
		{"nothing has begun", leaf, leaf.NotBefore.Add(-time.Hour), time.Minute, refusal.CertificateNotYetValid},
		{"no clock", leaf, time.Time{}, time.Minute, refusal.CertificateNotYetValid},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v, err := trust.NewVerifier(keyring(t, ca), nil, trust.Limits{ClockSkew: tt.skew}).Verify(tt.leaf, tt.now, one)
			check(t, tt.leaf, v, err, tt.want)
		})
	}
}

// TestReasonOfTheRightAnchor: that other anchors know nothing of a certificate
// does not hide what the right one says of it.
func TestReasonOfTheRightAnchor(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	bare, _ := o.authority("bare", "ed25519")
	_, stranger := o.authority("stranger", "ec:P-256")
	o.key("ca", "ec:P-256")
	ca := o.root(root{name: "ca", extensions: caExtensions + "\nextendedKeyUsage=serverAuth"})
	o.key("mail", "ec:P-256")
	leaf := o.client(order{ca: "ca", key: "mail"})
	for _, ring := range [][][]byte{{ca, bare, stranger}, {bare, stranger, ca}, {stranger, ca, bare}} {
		v, err := verify(t, leaf, ring...)
		check(t, leaf, v, err, refusal.CertificateUnsuitable)
	}
}

// TestMixedKeyring: keys and CA certificates side by side, in any order. The
// anchor that accepted is the one that signed, whatever the certificate says of
// its issuer's key.
func TestMixedKeyring(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	const named = caExtensions + "\nsubjectKeyIdentifier=hash"
	o.key("bare", "ec:P-256")
	o.root(root{name: "bare", extensions: named})
	o.key("ca", "ec:P-256")
	ca := o.root(root{name: "ca", extensions: named}) // of the same name
	bare := o.public("bare")
	_, third := o.authority("third", "ed25519")
	one := o.intermediate(issuer{name: "one", ca: "ca", extensions: named})
	o.key("mail", "ec:P-256")
	id := func(block []byte) trust.KeyID { return keyring(t, block).Anchors()[0].ID() }
	tests := []struct {
		name   string
		signer string
		names  []byte // what the certificate says signed it
		want   []byte
	}{
		{"key", "bare", parsed(t, o.read("bare.crt")).SubjectKeyId, bare},
		{"CA", "ca", parsed(t, ca).SubjectKeyId, ca},
		{"below the CA", "one", one.SubjectKeyId, ca},
		{"key, said to be the CA", "bare", parsed(t, ca).SubjectKeyId, bare},
		{"CA, said to be the key", "ca", parsed(t, o.read("bare.crt")).SubjectKeyId, ca},
		{"below the CA, said to be the key", "one", parsed(t, o.read("bare.crt")).SubjectKeyId, ca},
		{"below the CA, said to be directly", "one", parsed(t, ca).SubjectKeyId, ca},
		{"nobody's, said to be the CA", "third", parsed(t, ca).SubjectKeyId, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			leaf := o.client(order{ca: tt.signer, key: "mail", extensions: fmt.Sprintf("2.5.29.35=DER:30168014%x", tt.names)})
			if !bytes.Equal(leaf.AuthorityKeyId, tt.names) {
				t.Fatalf("the fixture names %x", leaf.AuthorityKeyId)
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

// TestNamedAnchorFirst: where two anchors vouch, the one that the certificate
// names answers.
func TestNamedAnchorFirst(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	_, ca := o.authority("ca", "ec:P-256")
	one := o.intermediate(issuer{name: "one", ca: "ca", extensions: caExtensions + "\nsubjectKeyIdentifier=hash"})
	o.key("mail", "ec:P-256")
	named := o.client(order{ca: "one", key: "mail", extensions: "authorityKeyIdentifier=keyid"})
	unnamed := o.client(order{ca: "one", key: "mail"})
	ring := keyring(t, ca, o.read("one.crt"))
	for leaf, want := range map[*x509.Certificate]trust.KeyID{named: ring.Anchors()[1].ID(), unnamed: ring.Anchors()[0].ID()} {
		v, err := trust.NewVerifier(ring, nil, trust.Limits{}).Verify(leaf, midlife(leaf), one)
		check(t, leaf, v, err, "")
		if v.KeyID() != want {
			t.Error("want the other anchor to answer")
		}
	}
}

// TestCrossSigned: one intermediate's key under two CAs. Each CA vouches through
// its own certificate of it, and loops lead nowhere.
func TestCrossSigned(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.key("a", "ec:P-256")
	a := o.root(root{name: "a", subject: "/CN=A"})
	o.key("b", "ec:P-256")
	b := o.root(root{name: "b", subject: "/CN=B"})
	byA := o.intermediate(issuer{name: "one", ca: "a"})
	other := o.intermediate(issuer{name: "two", ca: "one"})
	byOther := o.intermediate(issuer{name: "one", ca: "two"}) // a loop: one signs two signs one
	byB := o.intermediate(issuer{name: "one", ca: "b"})
	o.key("mail", "ec:P-256")
	leaf := o.client(order{ca: "one", key: "mail"})
	id := func(block []byte) trust.KeyID { return keyring(t, block).Anchors()[0].ID() }
	tests := []struct {
		name string
		with chain
		ring [][]byte
		want []byte // the anchor that vouches, nil for none
	}{
		{"A's", chain{byA}, [][]byte{a, b}, a},
		{"B's", chain{byB}, [][]byte{a, b}, b},
		{"both, under A", chain{byA, byB}, [][]byte{a}, a},
		{"both, under B", chain{byA, byB}, [][]byte{b}, b},
		{"B's under A", chain{byB}, [][]byte{a}, nil},
		{"a loop", chain{byOther, other}, [][]byte{a, b}, nil},
		{"a loop and a way out", chain{byOther, other, byA}, [][]byte{a, b}, a},
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

// TestHostileChain: a stranger's certificates, made so that every one could have
// signed every other, under the CA's name. Nobody follows them: no anchor signed
// any.
func TestHostileChain(t *testing.T) {
	leaf, intermediates, ring := hostile(t)
	v, err := trust.NewVerifier(ring, nil, trust.Limits{}).Verify(leaf, midlife(leaf), intermediates...)
	check(t, leaf, v, err, refusal.CertificateUntrusted)
	if d := refusal.Of(err); d == nil || !strings.Contains(d.Detail, "no key in force vouches for it") {
		t.Errorf("want no anchor to look further than its own signature, found %v", err)
	}
}
