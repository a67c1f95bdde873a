package certheader_test

import (
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/core/certheader"
	"github.com/certgate/certgate/internal/core/refusal"
)

// hintTest is a value with a mistake and a part of the wanted hint.
type hintTest struct {
	name, value, hint string
}

// checkHint checks that hint and detail contain the wanted text and do not quote the value.
func checkHint(t *testing.T, test hintTest, want refusal.Reason) {
	t.Helper()
	_, err := certheader.Parse([]string{test.value}, limit)
	checkReason(t, err, want)
	checkQuotesNothing(t, err, test.value)
	refused := refusal.Of(err)
	if refused == nil {
		return
	}
	if !strings.Contains(refused.Hint, test.hint) {
		t.Errorf("want a hint with %q, found %q", test.hint, refused.Hint)
	}
	if !strings.HasSuffix(refused.Detail, ". "+refused.Hint) {
		t.Errorf("want the hint in the detail too, found %q", refused.Detail)
	}
}

func TestHints(t *testing.T) {
	f := readFiles(t)
	leaf, text := f.leaf, f.leaf.text
	percent, der, b64 := f.values["nginx-escaped"], base64Of(leaf.der), f.values["apache-base64"]
	spaced, backslash := f.values["apache-spaced"], f.values["backslash-n"]
	tests := []hintTest{
		{"double quotes", `"` + der + `"`, "in quotes"},
		{"single quotes", "'" + b64 + "'", "in quotes"},
		{"Python's bytes", "b'" + der + "'", "in quotes"},
		{"variable", "$CERT", "was not substituted"},
		{"command", "$(certgate header mail.crt)", "was not substituted"},
		{"backticks", "`cat mail.crt`", "was not substituted"},
		{"template", "{{ .Values.cert }}", "was not substituted"},
		{"path", "/etc/certs/mail.crt", "name of a file"},
		{"relative path", "keys/mail.pem", "name of a file"},
		{"path in the home folder", "~/mail", "name of a file"},
		{"path on Windows", `C:\certs\mail`, "name of a file"},
		{"curl's file", "@mail", "name of a file"},
		{"Apache without a certificate", "(null)", "attached a placeholder"},
		{"JavaScript without a certificate", "undefined", "attached a placeholder"},
		{"Python without a certificate", "None", "attached a placeholder"},
		{"nginx without a certificate", "-", "attached a placeholder"},
		{"percent-encoded twice", nginxEscape(percent), "encoded twice"},
		{"base64 in base64", base64Of([]byte(der)), "encoded twice"},
		{"base64 of a PEM in base64", base64Of([]byte(b64)), "encoded twice"},
		{"percent-encoding in base64", base64Of([]byte(percent)), "encoded twice"},
		{"base64 in percent-encoding", nginxEscape(der), "encoded twice"},
		{"backslashes twice", strings.ReplaceAll(backslash, `\n`, `\\n`), "encoded twice"},
		{"text before, percent", nginxEscape("Certificate:\n    Data:\n" + text), "text before"},
		{"text before, base64", base64Of([]byte("Certificate:\n    Data:\n" + text)), "text before"},
		{"text before, base64, a length with padding", base64Of([]byte("Certificate:\n Data:\n" + text)), "text before"},
		{"text before, spaced", "Serial: 1 " + spaced, "text before"},
		{"cut, percent", percent[:600], "was truncated"},
		{"cut, spaced", spaced[:600], "was truncated"},
		{"cut, base64", b64[:600], "was truncated"},
		{"cut, DER", der[:400], "was truncated"},
		{"only the first line", "-----BEGIN CERTIFICATE-----", "was truncated"},
		{"another block", nginxEscape(strings.ReplaceAll(text, "CERTIFICATE", "PKCS7")), "PEM of another type"},
		{"another block after", nginxEscape(text + strings.ReplaceAll(text, "CERTIFICATE", "X509 CRL")), "PEM of another type"},
		{"base64 in lines, folded", strings.ReplaceAll(strings.TrimSpace(wrap(der, 64)), "\n", " "), "white space in the base64"},
		{"plus as a space, DER", strings.ReplaceAll(der, "+", " "), "white space in the base64"},
		{"plus as a space, spaced PEM", strings.Replace(spaced, "+", " ", 1), "white space in the base64"},
		{"plus as a space, percent", strings.ReplaceAll(percent, "%2B", "%20"), "white space in the base64"},
		{"base64url", strings.NewReplacer("+", "-", "/", "_").Replace(der), "standard base64"},
		{"no padding", strings.TrimRight(der, "="), "standard base64"},
		{"unknown text", "hunter2", "Attach the certificate"},
		{"a token", "Bearer hunter2", "Attach the certificate"},
		{"JSON", `{"certificate":"` + der + `"}`, "Attach the certificate"},
	}
	if !strings.Contains(der, "+") || !strings.HasSuffix(der, "=") {
		t.Fatal("want a certificate with + and = in its base64")
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { checkHint(t, tt, malformed) })
	}
}

// TestHintsForOtherFiles checks the other files that openssl writes, such as keys and
// requests, in each form. Private keys have their own reason.
func TestHintsForOtherFiles(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: this test makes many files with openssl")
	}
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	writeKey(t, in("rsa"), "rsa")
	openssl(t, "req", "-new", "-x509", "-key", in("rsa"), "-subj", "/OU=mail", "-out", in("certificate"))
	writeKey(t, in("p256"), "p256")
	writeKey(t, in("ed25519"), "ed25519")
	openssl(t, "rsa", "-in", in("rsa"), "-traditional", "-out", in("pkcs1"))
	openssl(t, "ec", "-in", in("p256"), "-out", in("sec1"))
	openssl(t, "pkcs8", "-topk8", "-in", in("rsa"), "-passout", "pass:x", "-out", in("encrypted"))
	openssl(t, "rsa", "-in", in("rsa"), "-traditional", "-aes128", "-passout", "pass:x", "-out", in("old"))
	openssl(t, "pkcs12", "-export", "-inkey", in("rsa"), "-in", in("certificate"), "-passout", "pass:x", "-out", in("pkcs12.der"))
	openssl(t, "pkcs12", "-in", in("pkcs12.der"), "-passin", "pass:x", "-noenc", "-out", in("bag"))
	openssl(t, "req", "-new", "-key", in("p256"), "-subj", "/OU=mail", "-out", in("request"))
	openssl(t, "req", "-new", "-key", in("rsa"), "-subj", "/", "-out", in("nameless"))
	openssl(t, "pkey", "-in", in("p256"), "-pubout", "-out", in("public"))
	openssl(t, "rsa", "-in", in("rsa"), "-RSAPublicKey_out", "-out", in("rsapublic"))

	const replaceKey, request, public = "make a new one", "certificate request", "public key"
	for name, hint := range map[string]string{
		"rsa": replaceKey, "p256": replaceKey, "ed25519": replaceKey, "pkcs1": replaceKey, "sec1": replaceKey, "encrypted": replaceKey, "old": replaceKey, "bag": replaceKey,
		"request": request, "nameless": request, "public": public, "rsapublic": public,
	} {
		want := malformed
		if hint == replaceKey {
			want = refusal.CredentialPrivateKey
		}
		text := string(readFile(t, in(name)))
		oneLine := func(lineBreak string) string { return strings.ReplaceAll(strings.TrimSpace(text), "\n", lineBreak) }
		for form, value := range map[string]string{
			"percent": nginxEscape(text), "every byte": everyByte(text), "base64": base64Of([]byte(text)),
			"spaced": oneLine(" "), "tabs": oneLine("\t"), "escaped": oneLine(`\n`), "joined": oneLine(""), "form": strings.ReplaceAll(oneLine(""), " ", "+"),
			"quoted": `"` + base64Of([]byte(text)) + `"`, "after text": nginxEscape("mail\n" + text), "base64 in lines": wrapped(text),
		} {
			if name == "old" && (form == "joined" || form == "form") {
				continue // without line breaks, the PEM headers cannot be separated
			}
			t.Run(name+"/"+form, func(t *testing.T) { checkHint(t, hintTest{value: value, hint: hint}, want) })
		}
		if block, _ := pem.Decode([]byte(text)); len(block.Headers) == 0 && name != "bag" {
			t.Run(name+"/der", func(t *testing.T) { checkHint(t, hintTest{value: base64Of(block.Bytes), hint: hint}, want) })
		}
	}
	p12 := hintTest{value: base64Of(readFile(t, in("pkcs12.der"))), hint: replaceKey}
	t.Run("pkcs12", func(t *testing.T) { checkHint(t, p12, refusal.CredentialPrivateKey) })

	certificate, key := string(readFile(t, in("certificate"))), string(readFile(t, in("rsa")))
	for name, value := range map[string]string{
		"key after the certificate":         nginxEscape(certificate + key),
		"key before the certificate":        nginxEscape(key + certificate),
		"key after the certificate, base64": base64Of([]byte(certificate + key)),
	} {
		t.Run(name, func(t *testing.T) {
			checkHint(t, hintTest{value: value, hint: replaceKey}, refusal.CredentialPrivateKey)
		})
	}
}

// wrapped returns the base64 of text in lines joined by spaces, as a proxy joins them.
func wrapped(text string) string {
	return strings.ReplaceAll(strings.TrimSpace(wrap(base64Of([]byte(text)), 64)), "\n", " ")
}

func readFile(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
