package e2e

import (
	"bytes"
	"encoding/base64"
	"encoding/pem"
	"net/url"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/core/certheader"
	"github.com/certgate/certgate/test/harness"
)

// TestHeaderScriptForms checks every output form of scripts/header.sh.
func TestHeaderScriptForms(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	mustRunScript(t, dir, "sitepoint.sh", "--dir", ".", "--ou", "mail", "--algorithm", "p256")
	text := string(harness.ReadFile(t, dir, "mail.crt"))
	want := readScriptCertificate(t, dir, "mail.crt").Raw
	ofPEM := func(text string, err error) []byte {
		block, _ := pem.Decode([]byte(text))
		if err != nil || block == nil {
			t.Fatalf("want PEM, found %q and %v", text, err)
		}
		return block.Bytes
	}
	unbase64 := func(value string) []byte {
		decoded, err := base64.StdEncoding.Strict().DecodeString(value)
		if err != nil {
			t.Fatal(err)
		}
		return decoded
	}
	tests := []struct {
		name   string
		flags  []string
		decode func(value string) []byte
	}{
		{"default", nil, func(value string) []byte { return ofPEM(string(unbase64(value)), nil) }},
		{"base64", []string{"--form", "base64"}, func(value string) []byte { return ofPEM(string(unbase64(value)), nil) }},
		{"percent", []string{"--form=percent"}, func(value string) []byte { return ofPEM(url.PathUnescape(value)) }},
		{"der", []string{"--form", "der"}, unbase64},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			output := mustRunScript(t, dir, "header.sh", append([]string{"mail.crt"}, test.flags...)...)
			value, ended := strings.CutSuffix(output, "\n")
			if !ended || strings.ContainsAny(value, "\n\r ") {
				t.Fatalf("want one line, found %q", output)
			}
			if !bytes.Equal(test.decode(value), want) {
				t.Error("want the certificate in the header")
			}
			parsed, err := certheader.Parse([]string{value}, 16<<10)
			if err != nil || !bytes.Equal(parsed.Leaf.Raw, want) {
				t.Errorf("want the gateway to read it, found %v", err)
			}
			// The text of openssl x509 -text before the block is not part of the header.
			input := "Certificate:\n    Data:\n" + text
			piped := runScript(t, dir, input, "header.sh", append([]string{"-"}, test.flags...)...)
			if piped.stdout != output {
				t.Errorf("want the same from standard input, found %+v", piped)
			}
		})
	}
}

// TestHeaderScriptRefusesKeys checks that scripts/header.sh refuses files with a private
// key or several certificates.
func TestHeaderScriptRefusesKeys(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	mustRunScript(t, dir, "sitepoint.sh", "--dir", ".", "--ou", "mail", "--algorithm", "p256")
	certificate, key := string(harness.ReadFile(t, dir, "mail.crt")), string(harness.ReadFile(t, dir, "mail.key"))
	tests := []struct{ name, input, want string }{
		{"good", certificate, ""},
		{"key after it", certificate + key, "holds a private key"},
		{"key before it", key + certificate, "holds a private key"},
		{"two", certificate + certificate, "want one PEM certificate in -, found 2"},
		{"empty", "", "want one PEM certificate in -, found 0"},
		{"damaged", strings.Replace(certificate, "MII", "MIJ", 1), "the certificate in - is damaged"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			result := runScript(t, dir, test.input, "header.sh", "-")
			if good := test.want == ""; (result.code == 0) != good || (result.stdout != "") != good {
				t.Errorf("want success %t, found %+v", good, result)
			}
			if !strings.Contains(result.stderr, test.want) {
				t.Errorf("want %q, found %q", test.want, result.stderr)
			}
		})
	}
}
