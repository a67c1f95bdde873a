package trust_test

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/core/trust"
)

// crl describes a revocation list. With ca only, it is a valid one: issued now, for a
// week, without entries.
type crl struct {
	ca         string
	revoked    []string // serial numbers as openssl prints them
	this, next string   // ASN.1 times
	digest     string   // such as "-sha1"; default -sha256
	extensions string   // default a CRL number; "-" is a version 1 list
	entry      string   // reason
}

// crl returns a list in PEM, as openssl ca -gencrl makes it. With -short, openssl makes only
// the lists that issueCRL does not make.
func (o opensslCA) crl(w crl) []byte {
	o.tb.Helper()
	if testing.Short() {
		if list, ok := o.issueCRL(w); ok {
			return list
		}
	}
	section := "crl_extensions=ext\n[ext]\n" + or(w.extensions, "2.5.29.20=ASN1:INTEGER:1") + "\n"
	if w.extensions == "-" {
		section = ""
	}
	o.write("ca.cnf", "[ca]\ndefault_ca=it\n[it]\ndatabase=index.txt\ndefault_md="+or(strings.TrimPrefix(w.digest, "-"), "sha256")+"\ndefault_crl_days=7\n"+section)
	var index strings.Builder
	for _, serial := range w.revoked {
		index.WriteString("R\t400101000000Z\t260101000000Z" + w.entry + "\t" + serial + "\tunknown\t/CN=revoked\n")
	}
	o.write("index.txt", index.String())
	o.write("index.txt.attr", "unique_subject=no\n")
	args := []string{"ca", "-gencrl", "-config", "ca.cnf", "-cert", w.ca + ".crt", "-keyfile", w.ca + ".key", "-out", "list.crl"}
	if w.this != "" {
		args = append(args, "-crl_lastupdate", w.this)
	}
	if w.next != "" {
		args = append(args, "-crl_nextupdate", w.next)
	}
	o.openssl(args...)
	return o.read("list.crl")
}

func derOf(tb testing.TB, text []byte) []byte {
	tb.Helper()
	block, _ := pem.Decode(text)
	if block == nil {
		tb.Fatal("want a PEM block, found none")
	}
	return block.Bytes
}

func lists(tb testing.TB, ring *trust.Keyring, texts ...[]byte) []*trust.CRL {
	tb.Helper()
	var all []*trust.CRL
	for _, text := range texts {
		some, err := trust.ParseCRLs(text, ring)
		if err != nil {
			tb.Fatal(err)
		}
		all = append(all, some...)
	}
	return all
}

// TestCRLForms checks that a file may hold one list in DER or several in PEM.
func TestCRLForms(t *testing.T) {
	t.Parallel()
	o := newOpenSSL(t)
	aKey, a := o.newCA("a", "rsa:2048")
	_, b := o.newCA("b", "ec:P-256")
	first := o.crl(crl{ca: "a", revoked: []string{"4F3A09", "01"}})
	second := o.crl(crl{ca: "b"})
	both := keyring(t, a, b)
	ids := []trust.KeyID{both.Anchors()[0].ID(), both.Anchors()[1].ID()}
	tests := []struct {
		name string
		ring *trust.Keyring
		text []byte
		want []trust.KeyID
	}{
		{"PEM", both, first, ids[:1]},
		{"DER", both, derOf(t, first), ids[:1]},
		{"CRLF", both, bytes.ReplaceAll(first, []byte("\n"), []byte("\r\n")), ids[:1]},
		{"several", both, slices.Concat(first, second), ids},
		{"comments and blank lines", both, slices.Concat([]byte("\n# of a\n"), first, []byte("\n# of b\n"), second, []byte("\n")), ids},
		{"bare key", keyring(t, aKey), first, ids[:1]},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := trust.ParseCRLs(tt.text, tt.ring)
			if err != nil || len(got) != len(tt.want) {
				t.Fatalf("want %d lists, found %d, %v", len(tt.want), len(got), err)
			}
			for i, list := range got {
				if list.KeyID() != tt.want[i] {
					t.Errorf("list %d: want another key id", i)
				}
			}
			facts, err := x509.ParseRevocationList(derOf(t, first))
			if err != nil {
				t.Fatal(err)
			}
			if got[0].Len() != 2 || !got[0].ThisUpdate().Equal(facts.ThisUpdate) || !got[0].NextUpdate().Equal(facts.NextUpdate) {
				t.Errorf("found %d serials, %s to %s", got[0].Len(), got[0].ThisUpdate(), got[0].NextUpdate())
			}
		})
	}
}

func TestCRLFaults(t *testing.T) {
	t.Parallel()
	o := newOpenSSL(t)
	key, ca := o.newCA("ca", "rsa:2048")
	o.newCA("otherCA", "rsa:2048") // with the same name
	good := o.crl(crl{ca: "ca"})
	der := derOf(t, good)
	otherCA := o.crl(crl{ca: "otherCA"})
	sha1 := o.crl(crl{ca: "ca", digest: "-sha1"})
	sha224 := o.crl(crl{ca: "ca", digest: "-sha224"})
	version1 := o.crl(crl{ca: "ca", extensions: "-"})
	delta := o.crl(crl{ca: "ca", extensions: "2.5.29.27=critical,ASN1:INTEGER:1"})
	partition := o.crl(crl{ca: "ca", extensions: "issuingDistributionPoint=critical,@idp\n[idp]\nonlyuser=TRUE"})
	unknown := o.crl(crl{ca: "ca", extensions: "1.2.3.4=critical,ASN1:UTF8String:x"})
	noSign := o.root(rootOptions{name: "ca", extensions: "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign", out: "nosign.crt"})
	renamed := o.root(rootOptions{name: "ca", subject: "/CN=Other CA", out: "renamed.crt"})
	flipped := bytes.Clone(der)
	flipped[len(flipped)-1] ^= 1
	tests := []struct {
		name   string
		text   []byte
		anchor []byte
		want   string // part of the error; "" if accepted
	}{
		{"good", good, ca, ""},
		{"good, bare key", good, key, ""},
		{"an unknown extension", o.crl(crl{ca: "ca", extensions: "1.2.3.4=ASN1:UTF8String:x"}), ca, ""},
		{"a reason", o.crl(crl{ca: "ca", revoked: []string{"01"}, entry: ",keyCompromise"}), ca, ""},
		{"another CA", otherCA, ca, "signed by a key in force"},
		{"another CA, bare key", otherCA, key, "signed by a key in force"},
		{"another signature", flipped, ca, "signed by a key in force"},
		{"the second of another CA", slices.Concat(good, otherCA), ca, "list 2: want a list signed by"},
		{"CA without cRLSign", good, noSign, "signed by a key in force"},
		{"CA of another name", good, renamed, "signed by a key in force"},
		{"SHA-1", sha1, ca, "want a signature with SHA-256 or better, found SHA1-RSA"},
		{"SHA-224", sha224, ca, "want a signature with SHA-256 or better, found an unsupported algorithm"},
		{"version 1", version1, ca, "version 2"},
		{"delta", delta, ca, "critical extensions, found deltaCRLIndicator (2.5.29.27): partitioned, indirect and delta lists are not supported"},
		{"only client certificates", partition, ca, "critical extensions, found issuingDistributionPoint (2.5.29.28): partitioned"},
		{"unknown critical extension", unknown, ca, "critical extensions, found 1.2.3.4"},
		{"empty", nil, ca, "cannot be read"},
		{"blank", []byte("\n"), ca, "cannot be read"},
		{"garbage", []byte("revoked: 1"), ca, "cannot be read"},
		{"a certificate", ca, ca, "want X509 CRL"},
		{"a certificate in DER", derOf(t, ca), ca, "cannot be read"},
		{"truncated DER", der[:len(der)-1], ca, "cannot be read"},
		{"two in DER", slices.Concat(der, der), ca, "cannot be read"},
		{"a byte after DER", append(bytes.Clone(der), 0), ca, "cannot be read"},
		{"two in one PEM block", pemOf("X509 CRL", slices.Concat(der, der)), ca, "cannot be read"},
		{"truncated PEM", good[:len(good)-10], ca, "damaged"},
		{"the first damaged", slices.Concat(good[:len(good)-30], good), ca, "damaged"},
		{"text before", append([]byte("Certificate Revocation List:\n"), good...), ca, "other text"},
		{"text after", append(bytes.Clone(good), "x\n"...), ca, "other text"},
		{"headers", []byte(strings.Replace(string(good), "\n", "\na: b\n\n", 1)), ca, "headers"},
		{"only in a comment", []byte("# -----BEGIN X509 CRL-----\n"), ca, "found none"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := trust.ParseCRLs(tt.text, keyring(t, tt.anchor))
			switch {
			case tt.want == "" && (err != nil || len(got) != 1):
				t.Errorf("want one list, found %d, %v", len(got), err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("want an error about %q, found %v", tt.want, err)
			case tt.want != "" && got != nil:
				t.Error("want no lists with an error, found some")
			}
		})
	}
	for _, empty := range []*trust.Keyring{nil, {}} {
		if got, err := trust.ParseCRLs(good, empty); err == nil || got != nil {
			t.Error("want an error with an empty keyring")
		}
	}
}

// TestCRLWithoutNextUpdate builds the list by hand, because openssl always writes
// nextUpdate.
func TestCRLWithoutNextUpdate(t *testing.T) {
	t.Parallel()
	o := newOpenSSL(t)
	key, _ := o.newCA("ca", "ec:P-256")
	for _, end := range []bool{true, false} {
		text := handmadeCRL(t, o, end, nil)
		_, err := trust.ParseCRLs(text, keyring(t, key))
		if end && err != nil {
			t.Errorf("with nextUpdate: refused: %v", err)
		}
		if !end && (err == nil || !strings.Contains(err.Error(), "nextUpdate")) {
			t.Errorf("without: want an error about nextUpdate, found %v", err)
		}
	}
}

// handmadeCRL returns a list in PEM, signed with ca.key, with one serial number. Its entry
// has an extension unless critical is nil.
func handmadeCRL(t *testing.T, o opensslCA, end bool, critical *bool) []byte {
	t.Helper()
	ca := parsed(t, o.read("ca.crt"))
	key := privateKey(o.read("ca.key"))
	algorithm, _ := algorithmOf(key, "")
	list := unsignedCRL{
		Version: 1, Algorithm: algorithm, Issuer: asn1.RawValue{FullBytes: ca.RawSubject}, ThisUpdate: ca.NotBefore,
		Revoked: []revokedEntry{{Serial: big.NewInt(5), Time: ca.NotBefore}}, Extensions: crlNumber(t),
	}
	if end {
		list.NextUpdate = ca.NotAfter
	}
	if critical != nil {
		list.Revoked[0].Extensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3}, Critical: *critical, Value: marshal(t, 1)}}
	}
	return signed(t, "X509 CRL", list, key, "")
}

// TestCRLEntries checks that entries with a critical extension are refused. Such an
// extension, for example the certificate issuer in an indirect list, may change which
// certificate the entry revokes.
func TestCRLEntries(t *testing.T) {
	t.Parallel()
	o := newOpenSSL(t)
	key, _ := o.newCA("ca", "ec:P-256")
	for critical, want := range map[bool]string{false: "", true: "entries without critical"} {
		_, err := trust.ParseCRLs(handmadeCRL(t, o, true, &critical), keyring(t, key))
		if (want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("critical %v: want an error about %q, found %v", critical, want, err)
		}
	}
}

// FuzzParseCRLs checks that no input panics and that a list accepted in PEM is accepted in
// DER.
func FuzzParseCRLs(f *testing.F) {
	o := newOpenSSL(f)
	_, ca := o.newCA("ca", "ec:P-256")
	o.newCA("otherCA", "ec:P-256")
	ring := keyring(f, ca)
	good := o.crl(crl{ca: "ca", revoked: []string{"05", "4F3A09"}})
	for _, seed := range [][]byte{
		good, derOf(f, good), slices.Concat(good, good), o.crl(crl{ca: "otherCA"}), ca, nil, []byte("# -----BEGIN "),
		o.crl(crl{ca: "ca", extensions: "2.5.29.27=critical,ASN1:INTEGER:1"}), good[:100], derOf(f, good)[:100],
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := trust.ParseCRLs(text, ring)
		if (err == nil) == (len(got) == 0) {
			t.Fatalf("want lists or an error, found %d and %v", len(got), err)
		}
		for _, list := range got {
			if list.KeyID() != ring.Anchors()[0].ID() || list.NextUpdate().IsZero() {
				t.Fatal("want a list of the anchor with nextUpdate")
			}
		}
		if block, _ := pem.Decode(text); err == nil && block != nil {
			if _, err := trust.ParseCRLs(block.Bytes, ring); err != nil {
				t.Fatalf("accepted in PEM, refused in DER: %v", err)
			}
		}
	})
}
