package trust_test

import (
	"bytes"
	"crypto"
	"crypto/dsa" //nolint:staticcheck // tests the refusal of such a key
	"crypto/ecdh"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/core/trust"
	"github.com/certgate/certgate/internal/testkit/ca"
)

// TestKeyringForms checks that all forms of a PEM text, as files, .env lines and dashboards
// contain it, give the same two anchors in the same order.
func TestKeyringForms(t *testing.T) {
	t.Parallel()
	o := newOpenSSL(t)
	first, _ := o.newCA("one", "rsa:2048")
	_, second := o.newCA("two", "ec:P-256")
	plain := string(first) + string(second)
	whole := base64.StdEncoding.EncodeToString([]byte(plain))
	crlf := strings.ReplaceAll(plain, "\n", "\r\n")
	forms := map[string]string{
		"plain":                           plain,
		"no final newline":                strings.TrimSpace(plain),
		"blank lines around":              "\n\n" + string(first) + "\n \t\n" + string(second) + "\n\n",
		"spaces around":                   "  " + plain + "  ",
		"CRLF":                            crlf,
		`\n as two characters`:            strings.ReplaceAll(plain, "\n", `\n`),
		`\n, no final one`:                strings.ReplaceAll(strings.TrimSpace(plain), "\n", `\n`),
		`\r\n as four characters`:         strings.ReplaceAll(plain, "\n", `\r\n`),
		`\n and newlines`:                 strings.Replace(plain, "\n", `\n`, 3),
		"single spaces":                   strings.ReplaceAll(plain, "\n", " "),
		"single spaces, no final one":     strings.ReplaceAll(strings.TrimSpace(plain), "\n", " "),
		"single spaces, a final newline":  strings.ReplaceAll(strings.TrimSpace(plain), "\n", " ") + "\n",
		"base64 of single spaces":         base64.StdEncoding.EncodeToString([]byte(strings.ReplaceAll(plain, "\n", " "))),
		"base64 of the whole":             whole,
		"base64 with a newline":           whole + "\n",
		"base64 in lines":                 wrap(whole, 76, "\n"),
		"base64 in lines with CRLF":       wrap(whole, 64, "\r\n"),
		"base64 in lines and spaces":      wrap(whole, 64, " \n  "),
		"base64 of CRLF":                  base64.StdEncoding.EncodeToString([]byte(crlf)),
		`base64 of \n`:                    base64.StdEncoding.EncodeToString([]byte(strings.ReplaceAll(plain, "\n", `\n`))),
		"base64 of text with blank lines": base64.StdEncoding.EncodeToString([]byte("\n" + plain + "\n\n")),
		"comments":                        "# until December\n" + string(first) + "  # from November\n" + string(second) + "# end",
		"comment that names a block":      "# -----BEGIN PUBLIC KEY----- follows\n" + plain,
	}
	want := ids(keyring(t, first, second))
	if len(want) != 2 {
		t.Fatalf("want 2 anchors, found %v", want)
	}
	for name, text := range forms {
		t.Run(name, func(t *testing.T) {
			ring, err := trust.ParseKeyring([]byte(text), 2048)
			if err != nil {
				t.Fatalf("refused: %v", err)
			}
			if got := ids(ring); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("anchors %v, want %v", got, want)
			}
		})
	}
}

// TestKeyID checks that a bare key in both forms and a certificate over it have the same id.
func TestKeyID(t *testing.T) {
	t.Parallel()
	o := newOpenSSL(t)
	public, certificate := o.newCA("ca", "rsa:2048")
	pkcs1 := o.openssl("rsa", "-in", "ca.key", "-RSAPublicKey_out")
	want := ids(keyring(t, public))[0]
	for name, text := range map[string][]byte{"RSA PUBLIC KEY": pkcs1, "CERTIFICATE": certificate} {
		if got := ids(keyring(t, text))[0]; got != want {
			t.Errorf("%s: id %s, want %s", name, got, want)
		}
	}
	if c := keyring(t, public).Anchors()[0].Certificate(); c != nil {
		t.Error("want no certificate of a bare key, found one")
	}
}

func ids(ring *trust.Keyring) []string {
	var all []string
	for _, a := range ring.Anchors() {
		all = append(all, a.ID().String())
	}
	return all
}

// withSpaces returns PEM with a space for each newline, as an unquoted variable in a
// shell produces it.
func withSpaces(text string) string {
	return strings.ReplaceAll(strings.TrimSpace(text), "\n", " ")
}

func wrap(text string, width int, end string) string {
	var b strings.Builder
	for len(text) > width {
		b.WriteString(text[:width] + end)
		text = text[width:]
	}
	return b.String() + text + end
}

// TestKeyringFaults checks one text for each mistake. The error contains the position and
// the requirement, and does not quote the text.
func TestKeyringFaults(t *testing.T) {
	t.Parallel()
	o := newOpenSSL(t)
	good, certificate := o.newCA("good", "ec:P-256")
	other, _ := o.newCA("other", "ec:P-256")
	o.key("short", "rsa:1024")
	o.key("p224", "ec:P-224")
	o.key("x25519", "x25519")
	o.openssl("req", "-new", "-config", "req.cnf", "-key", "good.key", "-subj", "/CN=x", "-out", "good.csr")
	nine := make([][]byte, 9)
	for i := range nine {
		o.key("many", "ed25519")
		nine[i] = o.public("many")
	}
	g, lines := string(good), bytes.Count(good, []byte("\n"))
	second, third := lines+1, 2*lines+1
	const private = "PRIVATE"
	tests := []struct {
		name string
		text string
		want []string // pieces of the error
	}{
		{"empty", "", []string{"found nothing"}},
		{"spaces and newlines", " \n\t\r\n ", []string{"found nothing"}},
		{"only a comment", "# later: -----BEGIN PUBLIC KEY-----\n", []string{"found none"}},
		{"single spaces, a comment between", withSpaces(g) + " # from November " + withSpaces(g), []string{"block 1 (line 1)", "damaged"}},
		{"single spaces, a comment before", "# from November " + withSpaces(g), []string{"found none"}},
		{"single spaces, two in a row", strings.Replace(withSpaces(g), "----- ", "-----  ", 1), []string{"damaged"}},
		{"single spaces, a tab", strings.Replace(withSpaces(g), "----- ", "-----\t", 1), []string{"damaged"}},
		{"single spaces, one newline", strings.Replace(withSpaces(g)+" "+withSpaces(g), "----- -----", "-----\n-----", 1), []string{"damaged"}},
		{"single spaces, one newline in a block", strings.Replace(withSpaces(g), " -----END", "\n-----END", 1), []string{"damaged"}},
		{"single spaces, one carriage return", strings.Replace(withSpaces(g), " -----END", "\r-----END", 1), []string{"damaged"}},
		{"single spaces, no end", withSpaces(g[:len(g)/2]), []string{"damaged"}},
		{"single spaces, another end", strings.Replace(withSpaces(g), "END PUBLIC KEY", "END CERTIFICATE", 1), []string{"damaged"}},
		{"single spaces, blocks without one", withSpaces(g) + withSpaces(g), []string{"damaged"}},
		{"single spaces, text after", withSpaces(g) + " and more", []string{"damaged"}},
		{"single spaces, the private key", withSpaces(string(o.read("good.key"))), []string{"PRIVATE key"}},
		{"words", "no key yet", []string{"found neither"}},
		{"base64 of words", "bm8ga2V5IHlldA==", []string{"found neither"}},
		{"base64 of the DER", strings.Join(strings.Split(strings.TrimSpace(g), "\n")[1:lines-1], ""), []string{"found neither"}},
		{"a path", "/etc/certgate/master.pub", []string{"found neither"}},
		{"base64 with a stray character", base64.StdEncoding.EncodeToString([]byte(g)) + "!", []string{"found neither"}},
		{"text before", "key:\n" + g, []string{"line 1:", "other text"}},
		{"text between", g + "key:\n" + string(other), []string{fmt.Sprintf("line %d:", second), "other text"}},
		{"text after", g + "x", []string{fmt.Sprintf("line %d:", second), "other text"}},
		{"text before, after blank lines", "\n\n# comment\nkey:\n" + g, []string{"line 4:", "other text"}},
		{"NUL after", g + "\x00", []string{fmt.Sprintf("line %d:", second)}},
		{"private key", string(o.read("good.key")), []string{"block 1 (line 1)", private}},
		{"RSA private key", string(o.openssl("rsa", "-in", "short.key", "-traditional")), []string{"block 1 (line 1)", private}},
		{"EC private key", string(o.openssl("ec", "-in", "good.key")), []string{"block 1 (line 1)", private}},
		{"encrypted private key", string(o.openssl("pkcs8", "-topk8", "-in", "good.key", "-passout", "pass:x")), []string{"block 1 (line 1)", private}},
		{"ssh private key", withType(good, "OPENSSH PRIVATE KEY"), []string{"block 1 (line 1)", private}},
		{"public and private key", g + string(o.read("good.key")), []string{fmt.Sprintf("block 2 (line %d)", second), private}},
		{"private key in base64", base64.StdEncoding.EncodeToString(o.read("good.key")), []string{"block 1 (line 1)", private}},
		{"certificate request", string(o.read("good.csr")), []string{"block 1 (line 1)", "certificate request"}},
		{"unknown type", withType(good, "SOMETHING ELSE ALTOGETHER"), []string{"block 1 (line 1)", "another type"}},
		{"parameters", string(o.openssl("ecparam", "-name", "prime256v1")), []string{"block 1 (line 1)", "another type"}},
		{"nine keys", string(bytes.Join(nine, nil)), []string{"at most 8", "found 9"}},
		{"damaged body between two", g + withDamagedBase64(other) + string(certificate), []string{fmt.Sprintf("block 2 (line %d)", second), "damaged"}},
		{"no end line between two", g + withoutEnd(other) + g, []string{fmt.Sprintf("block 2 (line %d)", second), "damaged"}},
		{"another end line", g + strings.Replace(string(other), "END PUBLIC KEY", "END CERTIFICATE", 1), []string{fmt.Sprintf("block 2 (line %d)", second), "damaged"}},
		{"damaged begin line", strings.Replace(g, "KEY-----", "KEY----", 1) + string(other), []string{"block 1 (line 1)", "damaged"}},
		{"text after the begin line", strings.Replace(g, "KEY-----", "KEY----- x", 1), []string{"block 1 (line 1)", "damaged"}},
		{"truncated", g + string(other[:len(other)/2]), []string{fmt.Sprintf("block 2 (line %d)", second), "damaged"}},
		{"newlines lost", strings.ReplaceAll(g, "\n", ""), []string{"block 1 (line 1)", "damaged"}},
		{"comment inside", strings.Replace(g, "\n", "\n# comment\n", 1), []string{"block 1 (line 1)", "damaged"}},
		{"PEM headers", strings.Replace(g, "\n", "\nKey-Id: 7\n\n", 1), []string{"block 1 (line 1)", "headers"}},
		{"PEM headers in the third", g + string(other) + strings.Replace(g, "\n", "\nKey-Id: 7\n\n", 1), []string{fmt.Sprintf("block 3 (line %d)", third), "headers"}},
		{"third block after a comment and a blank line", g + "# new\n\n" + withDamagedBase64(other), []string{fmt.Sprintf("block 2 (line %d)", second+2), "damaged"}},
		{"empty block", "-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n", []string{"block 1 (line 1)", "SubjectPublicKeyInfo"}},
		{"certificate called a key", withType(certificate, "PUBLIC KEY"), []string{"block 1 (line 1)", "SubjectPublicKeyInfo"}},
		{"key called a certificate", withType(good, "CERTIFICATE"), []string{"block 1 (line 1)", "want a certificate"}},
		{"key called RSA", withType(good, "RSA PUBLIC KEY"), []string{"block 1 (line 1)", "PKCS #1"}},
		{"short RSA key", string(o.public("short")), []string{"block 1 (line 1)", "at least 2048 bits, found 1024"}},
		{"P-224 key", string(o.public("p224")), []string{"block 1 (line 1)", "found P-224"}},
		{"X25519 key", string(o.public("x25519")), []string{"block 1 (line 1)", "want an RSA, ECDSA or Ed25519 key"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ring, err := trust.ParseKeyring([]byte(tt.text), 2048)
			if err == nil || ring != nil {
				t.Fatalf("want an error and no keyring, found %v", err)
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("want an error with %q, found %q", want, err)
				}
			}
			checkQuotesNothing(t, err, tt.text)
		})
	}
}

// TestKeyringMinRSABits checks the minimum length of RSA keys. A limit of 0 or less is the
// default, not "any length".
func TestKeyringMinRSABits(t *testing.T) {
	t.Parallel()
	o := newOpenSSL(t)
	o.key("short", "rsa:1024")
	o.key("long", "rsa:2048")
	short, long := o.public("short"), o.public("long")
	tests := []struct {
		name     string
		text     []byte
		bits     int
		accepted bool
	}{
		{"1024 where 1024 is enough", short, 1024, true},
		{"1024 where 1025 is wanted", short, 1025, false},
		{"1024 by default", short, 0, false},
		{"1024 with a negative limit", short, -1, false},
		{"2048 by default", long, 0, true},
		{"2048 where 3072 is wanted", long, 3072, false},
	}
	for _, tt := range tests {
		if _, err := trust.ParseKeyring(tt.text, tt.bits); (err == nil) != tt.accepted {
			t.Errorf("%s: accepted %t, want %t (%v)", tt.name, err == nil, tt.accepted, err)
		}
	}
}

// TestEightKeys checks that a keyring holds the maximum number of keys.
func TestEightKeys(t *testing.T) {
	t.Parallel()
	o := newOpenSSL(t)
	var text []byte
	for range trust.MaxAnchors {
		o.key("many", "ed25519")
		text = append(text, o.public("many")...)
	}
	if got := len(keyring(t, text).Anchors()); got != trust.MaxAnchors {
		t.Errorf("%d anchors, want %d", got, trust.MaxAnchors)
	}
}

// withType returns the block with another type.
func withType(block []byte, kind string) string {
	first, _, _ := strings.Cut(strings.TrimPrefix(string(block), "-----BEGIN "), "-----")
	return strings.ReplaceAll(string(block), first, kind)
}

// withDamagedBase64 returns the block with one invalid character in its base64.
func withDamagedBase64(block []byte) string {
	return strings.Replace(string(block), "\nM", "\n*", 1)
}

// withoutEnd returns the block without its END line.
func withoutEnd(block []byte) string {
	text, _, _ := strings.Cut(string(block), "-----END")
	return text
}

// checkQuotesNothing fails if the error contains 16 successive bytes of a line of the
// text, except of its boundary lines.
func checkQuotesNothing(t *testing.T, err error, text string) {
	t.Helper()
	const piece = 16
	for line := range strings.Lines(text) {
		if strings.Contains(line, "-----BEGIN ") && strings.Count(text, "\n") > 1 {
			continue
		}
		for i := 0; i+piece <= len(line); i++ {
			if strings.Contains(err.Error(), line[i:i+piece]) && !strings.Contains("-----BEGIN PUBLIC KEY-----", line[i:i+piece]) {
				t.Fatalf("the error quotes the text: %q", err)
			}
		}
	}
}

// TestUnsupportedKeys checks that the refusal of an unsupported key contains its algorithm.
func TestUnsupportedKeys(t *testing.T) {
	x25519, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for want, key := range map[string]crypto.PublicKey{
		"found an unsupported one": nil, "found X25519": x25519.PublicKey(), "found DSA": &dsa.PublicKey{},
	} {
		cert := &x509.Certificate{PublicKey: key, SignatureAlgorithm: x509.PureEd25519}
		faults := fmt.Sprint(trust.Limits{}.Faults(cert, cert.NotBefore))
		if !strings.Contains(faults, "want an RSA, ECDSA or Ed25519 key, "+want) {
			t.Errorf("want %q, found %s", want, faults)
		}
	}
}

// TestKeyTwice checks that a key that occurs twice is a warning and not an error, and
// which blocks become anchors.
func TestKeyTwice(t *testing.T) {
	f, other := ca.New(t), ca.New(t)
	spki := string(f.PublicKeyPEM())
	certificate := string(f.CertificatePEM())
	renewed := string(pemOf("CERTIFICATE", ca.Sign(t, ca.Template("Example CA"), f.Certificate, f.Key.Public(), f.Key).Raw))
	key := ca.RSAKey(t, 2048, 0)
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	const noEffect, another = "has no effect", "in another form"
	line := strings.Count(spki, "\n") + 1
	tests := []struct {
		name, text string
		anchors    int
		want       []string // in the only warning
	}{
		{"once", spki + string(other.PublicKeyPEM()), 2, nil},
		{"twice", spki + spki, 1, []string{fmt.Sprintf("block 2 (line %d)", line), "the key of block 1 again", noEffect}},
		{"twice, with another between", spki + string(other.PublicKeyPEM()) + spki, 2, []string{fmt.Sprintf("block 3 (line %d)", 2*line-1), "block 1 again", noEffect}},
		{"in both PEM types", string(pemOf("PUBLIC KEY", der)) + string(pemOf("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&key.PublicKey))), 1, []string{noEffect}},
		{"the same certificate", certificate + certificate, 1, []string{noEffect}},
		{"a key and its certificate", spki + certificate, 2, []string{fmt.Sprintf("block 2 (line %d)", line), "block 1 again", another}},
		{"a certificate and its key", certificate + spki, 2, []string{another}},
		{"two certificates of one key", certificate + renewed, 2, []string{another}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ring, err := trust.ParseKeyring([]byte(tt.text), 0)
			if err != nil {
				t.Fatal(err)
			}
			if n := len(ring.Anchors()); n != tt.anchors {
				t.Errorf("want %d anchors, found %d", tt.anchors, n)
			}
			warnings := ring.Warnings()
			if (len(warnings) == 1) != (tt.want != nil) {
				t.Fatalf("want a warning with %q, found %q", tt.want, warnings)
			}
			for _, part := range tt.want {
				if !strings.Contains(warnings[0], part) {
					t.Errorf("want %q in the warning, found %q", part, warnings[0])
				}
			}
		})
	}
	var full []string
	for range trust.MaxAnchors {
		full = append(full, string(ca.New(t).PublicKeyPEM()))
	}
	if ring, err := trust.ParseKeyring([]byte(strings.Join(append(full, full...), "")), 0); err != nil || len(ring.Anchors()) != trust.MaxAnchors {
		t.Errorf("want a keyring of eight keys that occur twice, found %v", err)
	}
	if (*trust.Keyring)(nil).Warnings() != nil {
		t.Error("want no warnings from a nil keyring")
	}
}
