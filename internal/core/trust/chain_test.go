package trust_test

import (
	"crypto/x509"
	"strings"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/core/trust"
)

type chain = []*x509.Certificate

// TestChains verifies client certificates below the CA "ca" and below the intermediates
// one, sub (below one) and deep (below sub), with different certificates attached.
func TestChains(t *testing.T) {
	t.Parallel()
	o := newOpenSSL(t)
	public, ca := o.newCA("ca", "rsa:2048")
	_, otherCA := o.newCA("otherCA", "ec:P-256") // with the same name as the CA
	root := parsed(t, ca)
	one := o.intermediate(intermediateOptions{name: "one", ca: "ca"})
	sub := o.intermediate(intermediateOptions{name: "sub", ca: "one", kind: "ed25519"})
	deep := o.intermediate(intermediateOptions{name: "deep", ca: "sub", kind: "rsa:2048"})
	other := o.intermediate(intermediateOptions{name: "other", ca: "ca"})
	otherIntermediate := o.intermediate(intermediateOptions{name: "otherIntermediate", ca: "otherCA"})
	o.key("mail", "ec:P-256")
	direct := o.client(clientOptions{ca: "ca", key: "mail"})
	below1 := o.client(clientOptions{ca: "one", key: "mail"})
	below2 := o.client(clientOptions{ca: "sub", key: "mail"})
	below3 := o.client(clientOptions{ca: "deep", key: "mail"})
	otherClient := o.client(clientOptions{ca: "otherIntermediate", key: "mail"})
	forged := o.client(clientOptions{ca: "otherCA", key: "mail"})
	o.write("mail.crt", string(pemOf("CERTIFICATE", direct.Raw)))
	ofClient := o.client(clientOptions{ca: "mail", key: "mail"})
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
		{"surplus", below1, chain{other, one, otherIntermediate}, ca, ""},
		{"surplus beside a direct one", direct, chain{other, otherIntermediate}, ca, ""},
		{"surplus beside a bare key", direct, chain{other, otherIntermediate}, public, ""},
		{"the same twice", below1, chain{one, one}, ca, ""},
		{"the client certificate again", below1, chain{below1, one}, ca, ""},
		{"the root too", below1, chain{one, root}, ca, ""},
		{"the root of another CA too", below1, chain{one, parsed(t, otherCA)}, ca, ""},
		{"another client's certificate too", below1, chain{direct, one}, ca, ""},
		{"missing", below1, nil, ca, no},
		{"the lower one missing", below2, chain{one}, ca, no},
		{"the upper one missing", below2, chain{sub}, ca, no},
		{"another one", below1, chain{other}, ca, no},
		{"bare key", below1, chain{one}, public, no},
		{"the intermediate's own key", below1, nil, o.public("one"), ""},
		{"the intermediate as anchor", below1, nil, o.read("one.crt"), ""},
		{"forged, with a genuine intermediate", forged, chain{one}, ca, no},
		{"forged, with the whole genuine chain", forged, chain{deep, sub, one}, ca, no},
		{"forged, with a genuine root", forged, chain{root}, ca, no},
		{"forged, with the other CA's root", forged, chain{parsed(t, otherCA)}, ca, no},
		{"another CA's chain", otherClient, chain{otherIntermediate}, ca, no},
		{"another CA's chain with its root", otherClient, chain{otherIntermediate, parsed(t, otherCA)}, ca, no},
		{"genuine, with another anchor", below1, chain{one}, otherCA, no},
		{"client certificate as intermediate", ofClient, chain{direct}, ca, no},
		{"intermediate as client", one, nil, ca, refusal.CertificateUnsuitable},
		{"lower intermediate as client", sub, chain{one}, ca, refusal.CertificateUnsuitable},
		{"root as client", root, nil, ca, refusal.CertificateUnsuitable},
		{"root as client, with intermediates", root, chain{one}, ca, refusal.CertificateUnsuitable},
		{"root as client, bare key", root, nil, public, refusal.CertificateUnsuitable},
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

// TestIntermediates verifies the same client below intermediates that differ in one
// property each.
func TestIntermediates(t *testing.T) {
	t.Parallel()
	o := newOpenSSL(t)
	_, ca := o.newCA("ca", "rsa:2048")
	o.key("one", "ec:P-256")
	o.key("short", "rsa:1024")
	o.key("mail", "ec:P-256")
	const isCA = "basicConstraints=critical,CA:TRUE"
	tests := []struct {
		name string
		with intermediateOptions
		want refusal.Reason
	}{
		{"good", intermediateOptions{name: "one"}, ""},
		{"no key usage", intermediateOptions{name: "one", extensions: isCA}, ""},
		{"not critical", intermediateOptions{name: "one", extensions: "basicConstraints=CA:TRUE\nkeyUsage=keyCertSign"}, ""},
		{"clientAuth", intermediateOptions{name: "one", extensions: caExtensions + "\nextendedKeyUsage=clientAuth"}, ""},
		{"unknown extension", intermediateOptions{name: "one", extensions: caExtensions + "\n1.2.3.4=ASN1:UTF8String:x"}, ""},
		{"not a CA", intermediateOptions{name: "one", extensions: "basicConstraints=critical,CA:FALSE"}, refusal.CertificateUntrusted},
		{"not a CA, with keyCertSign", intermediateOptions{name: "one", extensions: "keyUsage=keyCertSign"}, refusal.CertificateUntrusted},
		{"no keyCertSign", intermediateOptions{name: "one", extensions: isCA + "\nkeyUsage=critical,digitalSignature,cRLSign"}, refusal.CertificateUntrusted},
		{"an empty key usage", intermediateOptions{name: "one", extensions: isCA + "\nkeyUsage=critical,DER:030100"}, refusal.CertificateUntrusted},
		{"unknown critical extension", intermediateOptions{name: "one", extensions: caExtensions + "\n1.2.3.4=critical,ASN1:UTF8String:x"}, refusal.CertificateUntrusted},
		{"serverAuth only", intermediateOptions{name: "one", extensions: caExtensions + "\nextendedKeyUsage=serverAuth"}, refusal.CertificateUnsuitable},
		{"signed with SHA-1", intermediateOptions{name: "one", digest: "-sha1"}, refusal.CertificateWeak},
		{"signed with MD5", intermediateOptions{name: "one", digest: "-md5"}, refusal.CertificateWeak},
		{"short key", intermediateOptions{name: "short"}, refusal.CertificateWeak},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.with.ca = "ca"
			one := o.intermediate(tt.with)
			leaf := o.client(clientOptions{ca: tt.with.name, key: "mail"})
			v, err := verifyChain(t, leaf, chain{one}, ca)
			check(t, leaf, v, err, tt.want)
		})
	}
	t.Run("version 1", func(t *testing.T) {
		one := o.client(clientOptions{ca: "ca", key: "one", subject: "/O=Example/CN=one"})
		o.write("one.crt", string(pemOf("CERTIFICATE", one.Raw)))
		leaf := o.client(clientOptions{ca: "one", key: "mail"})
		v, err := verifyChain(t, leaf, chain{one}, ca)
		check(t, leaf, v, err, refusal.CertificateUntrusted)
	})
}

// TestWeakRoot checks that a root with a weak self-signature, sent with a chain, does not
// affect the result: the self-signature of a root is not needed.
func TestWeakRoot(t *testing.T) {
	t.Parallel()
	o := newOpenSSL(t)
	o.key("ca", "rsa:2048")
	o.write("root.cnf", "[req]\ndistinguished_name=dn\n[dn]\n[v3]\n"+caExtensions+"\n")
	o.openssl("req", "-new", "-x509", "-sha1", "-config", "root.cnf", "-extensions", "v3", "-key", "ca.key", "-subj", "/CN=Old CA", "-days", "999", "-out", "ca.crt")
	ca := o.read("ca.crt")
	one := o.intermediate(intermediateOptions{name: "one", ca: "ca"})
	o.key("mail", "ec:P-256")
	leaf := o.client(clientOptions{ca: "one", key: "mail"})
	v, err := verifyChain(t, leaf, chain{one, parsed(t, ca)}, ca)
	check(t, leaf, v, err, "")
	v, err = verifyChain(t, leaf, chain{parsed(t, ca)}, ca)
	check(t, leaf, v, err, refusal.CertificateUntrusted)
}

// TestPurposesNest checks that the extended key usage of the anchor and of an
// intermediate limits the purposes of the client's certificate.
func TestPurposesNest(t *testing.T) {
	t.Parallel()
	o := newOpenSSL(t)
	o.key("ca", "ec:P-256")
	o.key("mail", "ec:P-256")
	for extensions, want := range map[string]refusal.Reason{
		"":                              "",
		"\nextendedKeyUsage=clientAuth": "",
		"\nextendedKeyUsage=serverAuth": refusal.CertificateUnsuitable,
		"\nextendedKeyUsage=critical,OCSPSigning": refusal.CertificateUnsuitable,
	} {
		ca := o.root(rootOptions{name: "ca", extensions: caExtensions + extensions})
		leaf := o.client(clientOptions{ca: "ca", key: "mail", extensions: "extendedKeyUsage=clientAuth"})
		v, err := verify(t, leaf, ca)
		check(t, leaf, v, err, want)
		one := o.intermediate(intermediateOptions{name: "one", ca: "ca"})
		leaf = o.client(clientOptions{ca: "one", key: "mail", extensions: "extendedKeyUsage=clientAuth"})
		v, err = verifyChain(t, leaf, chain{one}, ca)
		check(t, leaf, v, err, want)
	}
}

func TestPathLength(t *testing.T) {
	t.Parallel()
	o := newOpenSSL(t)
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
			ca := o.root(rootOptions{name: "ca", extensions: tt.ca})
			one := o.intermediate(intermediateOptions{name: "one", ca: "ca", extensions: tt.one})
			sub := o.intermediate(intermediateOptions{name: "sub", ca: "one"})
			direct := o.client(clientOptions{ca: "ca", key: "mail"})
			v, err := verify(t, direct, ca)
			check(t, direct, v, err, "")
			leaf := o.client(clientOptions{ca: "one", key: "mail"})
			v, err = verifyChain(t, leaf, chain{one}, ca)
			check(t, leaf, v, err, tt.below1)
			leaf = o.client(clientOptions{ca: "sub", key: "mail"})
			v, err = verifyChain(t, leaf, chain{sub, one}, ca)
			check(t, leaf, v, err, tt.below2)
		})
	}
}

func TestNameConstraints(t *testing.T) {
	t.Parallel()
	o := newOpenSSL(t)
	_, plain := o.newCA("plain", "ec:P-256")
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
			ca := o.root(rootOptions{name: "ca", extensions: caExtensions + tt.constraint})
			leaf := o.client(clientOptions{ca: "ca", key: "mail", extensions: tt.leaf})
			v, err := verify(t, leaf, ca)
			check(t, leaf, v, err, tt.want)
			one := o.intermediate(intermediateOptions{name: "one", ca: "plain", extensions: caExtensions + tt.constraint})
			leaf = o.client(clientOptions{ca: "one", key: "mail", extensions: tt.leaf})
			v, err = verifyChain(t, leaf, chain{one}, plain)
			check(t, leaf, v, err, tt.want)
		})
	}
}

// TestChainTime checks that the validity period of every certificate applies. An expired
// client certificate is refused as expired, even if other certificates have expired too.
func TestChainTime(t *testing.T) {
	t.Parallel()
	o := newOpenSSL(t)
	_, ca := o.newCA("ca", "ec:P-256")
	o.key("mail", "ec:P-256")
	one := o.intermediate(intermediateOptions{name: "one", ca: "ca", days: "10"})
	leaf := o.client(clientOptions{ca: "one", key: "mail"})
	brief := o.client(clientOptions{ca: "one", key: "mail", more: []string{"-days", "5"}})
	end := one.NotAfter
	tests := []struct {
		name string
		leaf *x509.Certificate
		now  time.Time
		skew time.Duration
		want refusal.Reason
	}{
		{"last second of the intermediate", leaf, end, 0, ""},
		{"one second late", leaf, end.Add(time.Second), 0, refusal.CertificateUntrusted},
		{"within the skew", leaf, end.Add(time.Minute), time.Minute, ""},
		{"one second more than the skew", leaf, end.Add(61 * time.Second), time.Minute, refusal.CertificateUntrusted},
		{"client certificate expired", brief, brief.NotAfter.Add(time.Second), 0, refusal.CertificateExpired},
		{"both expired", brief, end.Add(time.Hour), 0, refusal.CertificateExpired},
		{"everything expired", brief, end.AddDate(50, 0, 0), time.Minute, refusal.CertificateExpired},
		{"nothing valid yet", leaf, leaf.NotBefore.Add(-time.Hour), time.Minute, refusal.CertificateNotYetValid},
		{"zero time", leaf, time.Time{}, time.Minute, refusal.CertificateNotYetValid},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v, err := trust.NewVerifier(keyring(t, ca), nil, trust.Limits{ClockSkew: tt.skew}).Verify(tt.leaf, tt.now, one)
			check(t, tt.leaf, v, err, tt.want)
		})
	}
}

// TestForgedChain verifies forged certificates under the CA's name, each of which could
// have signed every other. The search must not follow them, because no anchor signed one.
func TestForgedChain(t *testing.T) {
	leaf, intermediates, ring := forgedChain(t)
	v, err := trust.NewVerifier(ring, nil, trust.Limits{}).Verify(leaf, midValidity(leaf), intermediates...)
	check(t, leaf, v, err, refusal.CertificateUntrusted)
	if d := refusal.Of(err); d == nil || !strings.Contains(d.Detail, "no anchor signed it") {
		t.Errorf("want a search that checks the anchors' signatures only, found %v", err)
	}
}
