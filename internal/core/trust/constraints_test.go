package trust_test

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/core/trust"
	"github.com/certgate/certgate/internal/testkit/ca"
)

// dn returns a distinguished name in DER. The text is in the notation of openssl's -subj,
// such as "/O=a/OU=b", with "+" between the attributes of one relative name. "O:p=" encodes the value as a
// PrintableString, "O:i=" as an INTEGER, and without either it is a UTF8String.
func dn(t testing.TB, text string) []byte {
	t.Helper()
	kinds := map[string]asn1.ObjectIdentifier{"C": {2, 5, 4, 6}, "O": {2, 5, 4, 10}, "OU": {2, 5, 4, 11}, "CN": {2, 5, 4, 3}}
	sequence := [][]attributeDER{}
	for relative := range strings.SplitSeq(text, "/") {
		if relative == "" {
			continue
		}
		var set []attributeDER
		for pair := range strings.SplitSeq(relative, "+") {
			kind, value, _ := strings.Cut(pair, "=")
			kind, form, _ := strings.Cut(kind, ":")
			tag := map[string]int{"": asn1.TagUTF8String, "p": asn1.TagPrintableString, "i": asn1.TagInteger}[form]
			set = append(set, attributeDER{kinds[kind], asn1.RawValue{Tag: tag, Bytes: []byte(value)}})
		}
		sequence = append(sequence, set)
	}
	return encode(t, nameDER{sequence})
}

type attributeDER struct {
	Type  asn1.ObjectIdentifier
	Value asn1.RawValue
}

// nameDER is a Name. Its relative names are ASN.1 SETs.
type nameDER struct{ Relative [][]attributeDER }

func encode(t testing.TB, value any) []byte {
	t.Helper()
	if name, ok := value.(nameDER); ok {
		var sets []asn1.RawValue
		for _, set := range name.Relative {
			var content []byte
			for _, a := range set {
				content = append(content, encode(t, a)...)
			}
			sets = append(sets, asn1.RawValue{Tag: asn1.TagSet, IsCompound: true, Bytes: content})
		}
		value = sets
	}
	der, err := asn1.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// general returns one GeneralName.
func general(tag int, content []byte) asn1.RawValue {
	return asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: tag, IsCompound: tag == 0 || tag == 3 || tag == 4 || tag == 5, Bytes: content}
}

// subtreesDER returns a GeneralSubtrees with an optional field after each base.
func subtreesDER(t testing.TB, tag int, after []byte, bases ...asn1.RawValue) []byte {
	t.Helper()
	var content []byte
	for _, base := range bases {
		inner := slices.Concat(encode(t, base), after)
		content = append(content, encode(t, asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: inner})...)
	}
	if len(bases) == 0 {
		return nil
	}
	return encode(t, asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: tag, IsCompound: true, Bytes: content})
}

// constraint adds nameConstraints of any content to a template.
func constraint(t *testing.T, critical bool, content ...[]byte) func(*x509.Certificate) {
	t.Helper()
	value := encode(t, asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: slices.Concat(content...)})
	return func(c *x509.Certificate) {
		c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 30}, Critical: critical, Value: value})
	}
}

// directories adds directoryName constraints to a template.
func directories(t *testing.T, critical bool, permitted, excluded []string) func(*x509.Certificate) {
	t.Helper()
	bases := func(list []string) (names []asn1.RawValue) {
		for _, text := range list {
			names = append(names, general(4, dn(t, text)))
		}
		return names
	}
	return constraint(t, critical, subtreesDER(t, 0, nil, bases(permitted)...), subtreesDER(t, 1, nil, bases(excluded)...))
}

// subject sets the subject of a template.
func subject(t *testing.T, text string) func(*x509.Certificate) {
	t.Helper()
	return func(c *x509.Certificate) { c.RawSubject = dn(t, text) }
}

// TestDirectoryNameConstraints checks the constraints of an anchor and of an
// intermediate, critical or not, against the same client certificates. It compares with
// openssl, except in the cases that differ on purpose and with -short.
func TestDirectoryNameConstraints(t *testing.T) {
	const tenant = "/O=Tenant/OU=tenant"
	tests := []struct {
		name                string
		permitted, excluded []string
		leaf, alternative   string
		want                bool
		differs             bool // from openssl, on purpose
	}{
		{name: "the same name", permitted: []string{tenant}, leaf: tenant, want: true},
		{name: "a name below", permitted: []string{tenant}, leaf: tenant + "/CN=mail", want: true},
		{name: "a name above", permitted: []string{tenant}, leaf: "/O=Tenant"},
		{name: "another unit", permitted: []string{tenant}, leaf: "/O=Tenant/OU=admin"},
		{name: "another organization", permitted: []string{tenant}, leaf: "/O=Other/OU=tenant"},
		{name: "another order", permitted: []string{tenant}, leaf: "/OU=tenant/O=Tenant"},
		{name: "something before", permitted: []string{tenant}, leaf: "/CN=x/O=Tenant/OU=tenant"},
		{name: "a longer value", permitted: []string{tenant}, leaf: "/O=Tenant/OU=tenants"},
		{name: "more in one relative name", permitted: []string{tenant}, leaf: "/O=Tenant/OU=tenant+CN=x"},
		{name: "the same twice", permitted: []string{"/O=a+O=b"}, leaf: "/O=a+O=a/OU=x"},
		{name: "several attributes in any order", permitted: []string{"/O=Tenant+C=DE"}, leaf: "/C=DE+O=Tenant/OU=tenant", want: true},
		{name: "another type", permitted: []string{"/O=Tenant"}, leaf: "/CN=Tenant/OU=tenant"},
		{name: "another string type", permitted: []string{"/O:p=Tenant/OU:p=tenant"}, leaf: tenant, want: true},
		{name: "the organization in another case", permitted: []string{tenant}, leaf: "/O=TENANT/OU=tenant", want: true},
		{name: "the organization with more spaces", permitted: []string{"/O=A Tenant"}, leaf: "/O= A  Tenant /OU=tenant", want: true},
		{name: "the unit in another case", permitted: []string{tenant}, leaf: "/O=Tenant/OU=Tenant", differs: true},
		{name: "the unit with a space", permitted: []string{tenant}, leaf: "/O=Tenant/OU=tenant ", differs: true},
		{name: "one of two", permitted: []string{"/O=Other", tenant}, leaf: tenant, want: true},
		{name: "none of two", permitted: []string{"/O=Other", tenant}, leaf: "/O=Third/OU=tenant"},
		{name: "no organization at all", permitted: []string{tenant}, leaf: ""},
		{name: "everything", permitted: []string{""}, leaf: tenant, want: true},

		{name: "excluded, the same name", excluded: []string{"/O=Tenant/OU=admin"}, leaf: "/O=Tenant/OU=admin"},
		{name: "excluded, below", excluded: []string{"/O=Tenant/OU=admin"}, leaf: "/O=Tenant/OU=admin/CN=x"},
		{name: "excluded, above", excluded: []string{"/O=Tenant/OU=admin"}, leaf: "/O=Tenant", want: true},
		{name: "excluded, another", excluded: []string{"/O=Tenant/OU=admin"}, leaf: tenant, want: true},
		{name: "excluded, another case", excluded: []string{"/O=Tenant/OU=admin"}, leaf: "/O=tenant/OU=ADMIN"},
		{name: "excluded, another string type", excluded: []string{"/O=Tenant/OU=admin"}, leaf: "/O:p=Tenant/OU:p=admin"},
		{name: "excluded, more in one relative name", excluded: []string{"/O=Tenant/OU=admin"}, leaf: "/O=Tenant/OU=admin+CN=x", differs: true},
		{name: "excluded, one of two", excluded: []string{"/O=Other", "/O=Tenant"}, leaf: tenant},
		{name: "excluded, everything", excluded: []string{""}, leaf: tenant},
		{name: "permitted and excluded", permitted: []string{"/O=Tenant"}, excluded: []string{"/O=Tenant/OU=admin"}, leaf: tenant, want: true},
		{name: "permitted and itself excluded", permitted: []string{"/O=Tenant"}, excluded: []string{tenant}, leaf: tenant},

		{name: "alternative name inside", permitted: []string{tenant}, leaf: tenant, alternative: tenant + "/CN=x", want: true},
		{name: "alternative name outside", permitted: []string{tenant}, leaf: tenant, alternative: "/O=Tenant/OU=admin"},
		{name: "alternative name excluded", excluded: []string{"/O=Other"}, leaf: tenant, alternative: "/O=Other"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			want := refusal.CertificateUntrusted
			if tt.want || tt.leaf == "" {
				want = "" // section 4.2.1.10: an empty subject is not constrained
			}
			for _, critical := range []bool{true, false} {
				limit := directories(t, critical, tt.permitted, tt.excluded)
				leaf := ca.ClientTemplate()
				subject(t, tt.leaf)(leaf)
				if tt.alternative != "" {
					alternatives := encode(t, []asn1.RawValue{general(4, dn(t, tt.alternative))})
					leaf.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Value: alternatives}}
				}
				anchor := ca.New(t, subject(t, "/CN=root"), limit)
				cert := ca.Sign(t, leaf, anchor.Certificate, ca.Key(t).Public(), anchor.Key)
				v, err := verifyAt(t, cert, nil, anchor.CertificatePEM())
				check(t, cert, v, err, want)

				plain := ca.New(t, subject(t, "/CN=root"))
				between := ca.Template("")
				subject(t, "/CN=between")(between)
				limit(between)
				one := ca.Sign(t, between, plain.Certificate, plain.Key.Public(), plain.Key)
				below := ca.Sign(t, leaf, one, ca.Key(t).Public(), plain.Key)
				v, err = verifyAt(t, below, chain{one}, plain.CertificatePEM())
				check(t, below, v, err, want)
				if critical && !tt.differs && !testing.Short() && opensslVerifies(t, below, one, plain.Certificate) != (want == "") {
					t.Error("openssl disagrees")
				}
			}
		})
	}
}

func verifyAt(t *testing.T, leaf *x509.Certificate, with chain, anchor []byte) (trust.Verified, error) {
	t.Helper()
	return trust.NewVerifier(keyring(t, anchor), nil, trust.Limits{}).Verify(leaf, ca.Now(), with...)
}

// opensslVerifies reports whether openssl verifies the path.
func opensslVerifies(t *testing.T, leaf, between, root *x509.Certificate) bool {
	t.Helper()
	o := newOpenSSL(t)
	for name, c := range map[string]*x509.Certificate{"leaf": leaf, "between": between, "root": root} {
		o.write(name+".pem", string(pemOf("CERTIFICATE", c.Raw)))
	}
	cmd := exec.Command("openssl", "verify", "-no_check_time", "-CAfile", "root.pem", "-untrusted", "between.pem", "leaf.pem")
	cmd.Dir = o.dir
	out, err := cmd.CombinedOutput()
	if err != nil && !bytes.Contains(out, []byte("subtree violation")) && !bytes.Contains(out, []byte("unsupported or invalid name syntax")) {
		t.Fatalf("openssl verify: %s", out)
	}
	return err == nil
}

// TestDirectoryNameConstraintsNest checks that the constraints of each CA apply to every
// certificate below it, except to self-issued intermediates.
func TestDirectoryNameConstraintsNest(t *testing.T) {
	wide, narrow := []string{"/O=Tenant"}, []string{"/O=Tenant/OU=tenant"}
	tests := []struct {
		name           string
		root, one, sub []string // permitted
		oneName        string
		leaf           string
		want           bool
	}{
		{name: "narrower below", root: wide, one: narrow, leaf: "/O=Tenant/OU=tenant", want: true},
		{name: "narrower below, outside", root: wide, one: narrow, leaf: "/O=Tenant/OU=admin"},
		{name: "wider below", root: narrow, one: wide, oneName: "/O=Tenant/OU=tenant/CN=one", leaf: "/O=Tenant/OU=admin"},
		{name: "disjoint", root: wide, one: []string{"/O=Other"}, leaf: "/O=Tenant/OU=tenant"},
		{name: "two levels below", root: narrow, oneName: "/O=Tenant/OU=tenant/CN=one", leaf: "/O=Tenant/OU=admin"},
		{name: "the lowest", sub: narrow, leaf: "/O=Tenant/OU=admin"},
		{name: "an intermediate outside", root: wide, oneName: "/O=Other/CN=one", leaf: "/O=Tenant/OU=tenant"},
		{name: "a self-issued intermediate outside", root: wide, oneName: "/CN=root", leaf: "/O=Tenant/OU=tenant", want: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			limited := func(name string, permitted []string) *x509.Certificate {
				template := ca.Template("")
				subject(t, name)(template)
				if permitted != nil {
					directories(t, true, permitted, nil)(template)
				}
				return template
			}
			f := ca.New(t, func(c *x509.Certificate) { *c = *limited("/CN=root", tt.root) })
			below := ca.CA{Key: ca.Key(t)} // another key than the root's
			one := ca.Sign(t, limited(or(tt.oneName, "/O=Tenant/CN=one"), tt.one), f.Certificate, below.Key.Public(), f.Key)
			sub := ca.Sign(t, limited("/O=Tenant/OU=tenant/CN=sub", tt.sub), one, below.Key.Public(), below.Key)
			template := ca.ClientTemplate()
			subject(t, tt.leaf)(template)
			leaf := ca.Sign(t, template, sub, ca.Key(t).Public(), below.Key)
			want := refusal.CertificateUntrusted
			if tt.want {
				want = ""
			}
			v, err := verifyAt(t, leaf, chain{sub, one}, f.CertificatePEM())
			check(t, leaf, v, err, want)
		})
	}
	t.Run("a self-issued client outside", func(t *testing.T) {
		f := ca.New(t, subject(t, "/O=Other/OU=mail"), directories(t, true, wide, nil))
		template := ca.ClientTemplate()
		subject(t, "/O=Other/OU=mail")(template)
		leaf := ca.Sign(t, template, f.Certificate, ca.Key(t).Public(), f.Key)
		v, err := verifyAt(t, leaf, nil, f.CertificatePEM())
		check(t, leaf, v, err, refusal.CertificateUntrusted)
	})
	t.Run("another path", func(t *testing.T) {
		f := ca.New(t, subject(t, "/CN=root"))
		template := func(permitted string) *x509.Certificate {
			c := ca.Template("")
			subject(t, "/O=Tenant/CN=one")(c)
			directories(t, true, []string{permitted}, nil)(c)
			return c
		}
		no, yes := ca.Sign(t, template("/O=Other"), f.Certificate, f.Key.Public(), f.Key), ca.Sign(t, template("/O=Tenant"), f.Certificate, f.Key.Public(), f.Key)
		leaf := ca.ClientTemplate()
		subject(t, "/O=Tenant/OU=tenant")(leaf)
		cert := ca.Sign(t, leaf, yes, ca.Key(t).Public(), f.Key)
		for _, with := range []chain{{no, yes}, {yes, no}} {
			v, err := verifyAt(t, cert, with, f.CertificatePEM())
			check(t, cert, v, err, "")
		}
	})
}

// TestConstraintKinds checks that a CA is refused when its constraints contain a
// kind that is not evaluated: an anchor when it is loaded, an intermediate when it
// is used. Critical or not makes no difference.
func TestConstraintKinds(t *testing.T) {
	otherName := slices.Concat(encode(t, asn1.ObjectIdentifier{1, 2, 3}), []byte{0xa0, 3, 0x0c, 1, 'x'})
	directory := general(4, dn(t, "/O=Example"))
	tests := []struct {
		name    string
		content []byte
		want    string // part of the error; "" if evaluated
	}{
		{"directoryName", subtreesDER(t, 0, nil, directory), ""},
		{"DNS", subtreesDER(t, 0, nil, general(2, []byte("example.org"))), ""},
		{"email", subtreesDER(t, 0, nil, general(1, []byte("example.org"))), ""},
		{"URI", subtreesDER(t, 0, nil, general(6, []byte("example.org"))), ""},
		{"IP", subtreesDER(t, 0, nil, general(7, []byte{10, 0, 0, 0, 255, 0, 0, 0})), ""},
		{"all of these", subtreesDER(t, 1, nil, general(4, dn(t, "/O=Other")), general(2, []byte("example.org")), general(1, []byte("example.org")), general(6, []byte("example.org"))), ""},
		{"otherName", subtreesDER(t, 0, nil, general(0, otherName)), "otherName"},
		{"otherName, excluded", subtreesDER(t, 1, nil, general(0, otherName)), "otherName"},
		{"otherName beside another", subtreesDER(t, 0, nil, directory, general(0, otherName)), "otherName"},
		{"x400Address", subtreesDER(t, 0, nil, general(3, nil)), "x400Address"},
		{"ediPartyName", subtreesDER(t, 0, nil, general(5, nil)), "ediPartyName"},
		{"registeredID", subtreesDER(t, 0, nil, general(8, []byte{0x2a, 3})), "registeredID"},
		{"a tag of the future", subtreesDER(t, 0, nil, general(9, nil)), "tag 9"},
		{"a minimum", subtreesDER(t, 0, []byte{0x80, 1, 1}, directory), "without minimum and maximum"},
		{"a maximum", subtreesDER(t, 0, []byte{0x81, 1, 1}, directory), "without minimum and maximum"},
		{"a value that is not text", subtreesDER(t, 0, nil, general(4, dn(t, "/O:i=1"))), "ASN.1 tag 2"},
		{"not a name", subtreesDER(t, 0, nil, general(4, []byte{5, 0})), "directoryName"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, critical := range []bool{true, false} {
				limit := constraint(t, critical, tt.content)
				f := ca.New(t, limit)
				_, err := trust.ParseKeyring(f.CertificatePEM(), 0)
				if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
					t.Errorf("critical %t: anchor: want an error with %q, found %v", critical, tt.want, err)
				}
				plain := ca.New(t)
				between := ca.Template("between")
				limit(between)
				one := ca.Sign(t, between, plain.Certificate, plain.Key.Public(), plain.Key)
				leaf := ca.Sign(t, ca.ClientTemplate(), one, ca.Key(t).Public(), plain.Key)
				want := refusal.CertificateUntrusted
				if tt.want == "" {
					want = ""
				}
				v, err := verifyAt(t, leaf, chain{one}, plain.CertificatePEM())
				check(t, leaf, v, err, want)
				if err != nil && !strings.Contains(err.Error(), tt.want) {
					t.Errorf("critical %t: intermediate: want %q, found %v", critical, tt.want, err)
				}
			}
		})
	}
}
