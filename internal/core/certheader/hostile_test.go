package certheader_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/core/certheader"
)

// hostile is a value that must be refused, and a part of the detail. A refusal with another
// detail fails the test.
type hostile struct {
	name, value, detail string
}

const (
	otherForm    = "another form"
	otherBlock   = "want blocks of type CERTIFICATE"
	notBegin     = "want a BEGIN CERTIFICATE line"
	notEnd       = "want an END CERTIFICATE line"
	afterEnd     = "found something after it"
	emptyLine    = "found an empty line"
	pemHeader    = "want no PEM headers"
	whiteSpace   = "found white space inside"
	noBase64     = "want base64, found nothing"
	notCanonical = "canonical padded base64"
	brokenEscape = "broken escape"
	control      = "control byte"
	tooMany      = "want at most 4 certificates"
	merged       = "two merged header lines"
	notDER       = "found another encoding"
	afterDER     = "found bytes after it"
	notX509      = "want an X.509 certificate"
	surplus      = "found more"
	twoColons    = "between two colons"
	oneElement   = "one XFCC element with closed quotes"
	keyValue     = "want KEY=VALUE"
	unknownField = "found an unknown one"
	repeated     = "found a repeated one"
	oneInCert    = "found several"
	notInChain   = "want Chain to begin with Cert"
	noCert       = "found neither"
	wrongHash    = "want Hash to be"
	backslash    = "found a backslash"
)

func TestHostileValues(t *testing.T) {
	values := hostileValues(readFiles(t))
	names := map[string]bool{}
	for _, h := range values {
		if names[h.name] {
			t.Errorf("%s: the name occurs twice", h.name)
		}
		names[h.name] = true
		t.Run(h.name, func(t *testing.T) {
			chain, err := certheader.Parse([]string{h.value}, limit)
			checkReason(t, err, malformed)
			checkQuotesNothing(t, err, h.value)
			checkChain(t, chain)
			if err != nil && !strings.Contains(err.Error(), h.detail) {
				t.Errorf("want a detail with %q, found %v", h.detail, err)
			}
		})
	}
	if len(values) < 60 {
		t.Errorf("want at least 60 values, found %d", len(values))
	}
}

func hostileValues(f files) []hostile {
	return slices.Concat(
		hostilePEM(f), hostileLines(f), hostileEscapes(f), hostileDER(f), hostileFields(f), hostileXFCC(f), damagedFirst(f))
}

// hostilePEM returns values with text around the blocks or with other blocks.
func hostilePEM(f files) []hostile {
	text := f.leaf.text
	percent := func(text string) string { return nginxEscape(text) }
	typed := func(kind string) string { return strings.ReplaceAll(text, "CERTIFICATE", kind) }
	joined := f.values["joined"]
	return []hostile{
		{"text before", percent("mail\n" + text), otherForm},
		{"text before, base64", base64Of([]byte("mail\n" + text)), otherForm},
		{"space before", " " + f.values["apache-spaced"], otherForm},
		{"text after", percent(text + "mail"), notBegin},
		{"text after on the END line", percent(strings.TrimSuffix(text, "\n") + "mail\n"), afterEnd},
		{"text after, spaced", f.values["apache-spaced"] + " mail", notBegin},
		{"text after, joined", joined + "mail", notBegin},
		{"text between two", percent(text + "mail\n" + f.intermediate.text), notBegin},
		{"no line end between two", percent(strings.TrimSuffix(text, "\n") + f.intermediate.text), afterEnd},
		{"empty line between two", percent(text + "\n" + f.intermediate.text), notBegin},
		{"PUBLIC KEY", percent(typed("PUBLIC KEY")), otherBlock},
		{"TRUSTED CERTIFICATE, spaced", strings.ReplaceAll(strings.TrimSpace(typed("TRUSTED CERTIFICATE")), "\n", " "), otherBlock},
		{"X509 CRL, base64", base64Of([]byte(typed("X509 CRL"))), otherBlock},
		{"END of another type", percent(strings.Replace(text, "END CERTIFICATE", "END PKCS7", 1)), notEnd},
		{"END missing", percent(strings.TrimSuffix(text, end+"\n")), notEnd},
		{"BEGIN twice", percent(begin + text), whiteSpace},
		{"one PEM header", percent(strings.Replace(text, begin, begin+"X: y\n", 1)), pemHeader},
		{"PEM headers", percent(strings.Replace(text, begin, begin+"Proc-Type: 4,ENCRYPTED\nDEK-Info: AES\n\n", 1)), pemHeader},
		{"PEM header, joined", strings.Replace(joined, "-----MII", "-----X:yMII", 1), pemHeader},
		{"five certificates", percent(strings.Repeat(text, 5)), tooMany},
		{"five certificates, spaced", strings.TrimSuffix(strings.Repeat(f.values["apache-spaced"]+" ", 5), " "), tooMany},
		{"five certificates, joined", strings.Repeat(joined, 5), tooMany},
		{"five certificates, base64", base64Of([]byte(strings.Repeat(text, 5))), tooMany},
		{"no block", percent("-----"), notBegin},
	}
}

// hostileLines returns values with wrong or mixed line breaks.
func hostileLines(f files) []hostile {
	text, spaced := f.leaf.text, f.values["apache-spaced"]
	head := strings.TrimSuffix(begin, "\n")
	return []hostile{
		{"LF, once CRLF", nginxEscape(strings.Replace(text, begin, head+"\r\n", 1)), notEnd},
		{"CRLF, once LF", nginxEscape(strings.Replace(strings.ReplaceAll(text, "\n", "\r\n"), "=\r\n", "=\n", 1)), notEnd},
		{"CRLF, inside once LF", nginxEscape(strings.Replace(strings.ReplaceAll(text, "\n", "\r\n"), "w\r\n", "w\n", 1)), whiteSpace},
		{"LF, once a space", nginxEscape(strings.Replace(text, "w\n", "w ", 1)), whiteSpace},
		{"spaces, once a tab", strings.Replace(spaced, "w ", "w\t", 1), whiteSpace},
		{"spaces, once two", strings.Replace(spaced, "w ", "w  ", 1), emptyLine},
		{"spaces, two everywhere", doubleSpaces(spaced), emptyLine},
		{"spaces, two after BEGIN", strings.Replace(spaced, "-----MII", "----- MII", 1) + "  ", notBegin},
		{"tabs, once two", strings.Replace(f.values["tabs"], "w\t", "w\t\t", 1), emptyLine},
		{"space and tab, once a space", strings.Replace(f.values["nginx-folded-haproxy"], "w \t", "w ", 1), whiteSpace},
		{`\n, once \r\n`, strings.Replace(f.values["backslash-n"], `w\n`, `w\r\n`, 1), notCanonical},
		{`\r\n, once \n`, strings.Replace(f.values["backslash-rn"], `w\r\n`, `w\n`, 1), notCanonical},
		{`\n, once two`, strings.Replace(f.values["backslash-n"], `w\n`, `w\n\n`, 1), emptyLine},
		{`\r alone`, strings.ReplaceAll(f.values["backslash-n"], `\n`, `\r`), notCanonical},
		{`\\n`, strings.ReplaceAll(f.values["backslash-n"], `\n`, `\\n`), notCanonical},
		{`\n with a backslash at the end`, f.values["backslash-n"] + `\`, notBegin},
		{"other line ends in the second block", nginxEscape(text + strings.ReplaceAll(f.intermediate.text, "\n", "\r\n")), otherBlock},
		{"a real line end", text, control},
		{"a real CR", strings.ReplaceAll(text, "\n", "\r"), control},
		{"NUL after", f.values["haproxy-der"] + "\x00", control},
		{"DEL inside", strings.Replace(spaced, "w ", "w\x7f", 1), control},
		{"NUL after, percent", f.values["nginx-escaped"] + "%00", notBegin},
		{"NUL inside, percent", strings.Replace(f.values["nginx-escaped"], "w%0A", "w%00%0A", 1), notCanonical},
	}
}

// doubleSpaces doubles the spaces that replace newlines.
func doubleSpaces(spaced string) string {
	return strings.NewReplacer("BEGIN ", "BEGIN ", "END ", "END ", " ", "  ").Replace(spaced)
}

// hostileEscapes returns values with ambiguous plus signs or broken escapes.
func hostileEscapes(f files) []hostile {
	form, percent := f.values["form"], f.values["nginx-escaped"]
	return []hostile{
		{"plus in BEGIN, space in END", strings.Replace(form, "END+", "END%20", 1), notEnd},
		{"space in BEGIN, plus in END", strings.Replace(percent, "END%20", "END+", 1), notEnd},
		{"plus in the first block only", form + percent, otherBlock},
		{"plus for line ends", strings.ReplaceAll(form, "%0A", "+"), notCanonical},
		{"plus in the base64 read as a space", strings.ReplaceAll(form, "%2B", "%20"), whiteSpace},
		{"escape twice", url.QueryEscape(percent), otherBlock},
		{"escape cut", percent[:len(percent)-1], brokenEscape},
		{"escape without digits", strings.Replace(percent, "%0A", "%GG", 1), brokenEscape},
		{"escape in base64 of a DER", strings.Replace(f.values["haproxy-der"], "+", "%2B", 1), notCanonical},
		{"escaped base64 of a PEM", url.QueryEscape(f.values["apache-base64"]) + "%3D", notCanonical},
		{"overlong newline", strings.Replace(percent, "%0A", "%C0%8A", 1), whiteSpace},
	}
}

// hostileDER returns values with bytes around or inside the certificate, mostly as base64
// of the DER.
func hostileDER(f files) []hostile {
	der := f.leaf.der
	good := base64Of(der)
	cut := strings.TrimSuffix(good, "==")
	inPEM := func(der []byte) string {
		return nginxEscape(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	}
	unused := cut[:len(cut)-1] + nextLetter(cut[len(cut)-1]) + "=="
	outer := withFourthElement(der)
	return []hostile{
		{"bytes after the DER", base64Of(append(bytes.Clone(der), 0)), afterDER},
		{"bytes after the DER, PEM", inPEM(append(bytes.Clone(der), 0)), afterDER},
		{"bytes after the DER, RFC 9440", ":" + base64Of(append(bytes.Clone(der), 0)) + ":", afterDER},
		{"another certificate after the DER", base64Of(append(bytes.Clone(der), f.intermediate.der...)), afterDER},
		{"long form of the length", base64Of(append([]byte{0x30, 0x83, 0}, der[2:]...)), notDER},
		{"indefinite length", base64Of(append(append([]byte{0x30, 0x80}, der[4:]...), 0, 0)), notDER},
		{"DER cut", base64Of(der[:len(der)-1]), notDER},
		{"surplus element", base64Of(outer), surplus},
		{"surplus element, RFC 9440", ":" + base64Of(outer) + ":", surplus},
		{"not a certificate", base64Of([]byte{0x30, 3, 2, 1, 1}), notX509},
		{"unused bits of base64", unused, notCanonical},
		{"unused bits of base64, RFC 9440", ":" + unused + ":", notCanonical},
		{"unused bits of base64, PEM", strings.Replace(f.values["joined"], good, unused, 1), notCanonical},
		{"no padding", cut, notCanonical},
		{"no padding, PEM", strings.Replace(f.values["joined"], "==", "", 1), notCanonical},
		{"padding doubled", good + "==", notCanonical},
		{"base64url", base64.URLEncoding.EncodeToString(der), notCanonical},
		{"base64url, RFC 9440", ":" + base64.URLEncoding.EncodeToString(der) + ":", notCanonical},
		{"base64url of a PEM", strings.Replace(f.values["apache-base64"], "+", "-", 1) + "-", notCanonical},
		{"space inside base64", good[:64] + " " + good[64:], whiteSpace},
		{"space after base64", good + " ", whiteSpace},
		{"base64 of a PEM in lines", f.values["apache-base64"][:64] + " " + f.values["apache-base64"][64:], whiteSpace},
	}
}

// withFourthElement returns the certificate with a NULL after its three elements.
func withFourthElement(der []byte) []byte {
	content := append(bytes.Clone(der[4:]), 5, 0)
	return append([]byte{0x30, 0x82, byte(len(content) >> 8), byte(len(content))}, content...)
}

// hostileFields returns lists of base64, structured fields and values of unknown form.
func hostileFields(f files) []hostile {
	leaf, other := base64Of(f.leaf.der), base64Of(f.intermediate.der)
	item := ":" + leaf + ":"
	return []hostile{
		{"comma and space", leaf + ", " + other, merged},
		{"comma and tab", leaf + ",\t" + other, whiteSpace},
		{"space and comma", leaf + " ," + other, whiteSpace},
		{"comma after", leaf + ",", noBase64},
		{"comma before", "," + leaf, otherForm},
		{"two commas", leaf + ",," + other, noBase64},
		{"five, commas", strings.Repeat(leaf+",", 4) + leaf, tooMany},
		{"semicolon for comma", leaf + ";" + other, notCanonical},
		{"PEM after a comma", leaf + "," + f.values["joined"], whiteSpace},
		{"PEMs with a comma", f.values["joined"] + "," + f.values["joined"], notBegin},
		{"escaped PEMs with a comma and space", f.values["nginx-escaped"] + ", " + f.values["nginx-escaped"], notBegin},
		{"byte sequence with a parameter", item + ";a=1", twoColons},
		{"byte sequence with a parameter of bytes", item + ";a=:AA==:", notCanonical},
		{"inner list", "(" + item + ")", otherForm},
		{"two byte sequences", item + ", " + item, whiteSpace},
		{"two byte sequences without a space", item + "," + item, notCanonical},
		{"no colon after", ":" + leaf, twoColons},
		{"no colon before", leaf + ":", notCanonical},
		{"one colon", ":", twoColons},
		{"two colons", "::", noBase64},
		{"colons doubled", ":" + item + ":", notCanonical},
		{"PEM in a byte sequence", ":" + base64Of([]byte(f.leaf.text)) + ":", afterDER},
		{"space in a byte sequence", ": " + leaf + ":", whiteSpace},
		{"quoted", `"` + leaf + `"`, otherForm},
		{"structured string", `"` + f.values["joined"] + `"`, otherForm},
		{"JSON", `{"cert":"` + leaf + `"}`, otherForm},
		{"Bearer", "Bearer " + leaf, otherForm},
		{"raw DER", "0\x82" + strings.Repeat("0", 9), otherForm},
		{"hex", fmt.Sprintf("%x", f.leaf.der), otherForm},
		{"byte order mark", "\ufeff" + leaf, otherForm},
		{"Apache's (null)", "(null)", otherForm},
	}
}

// hostileXFCC returns values of X-Forwarded-Client-Cert.
func hostileXFCC(f files) []hostile {
	good := f.values["xfcc-bare"]
	cert := strings.TrimSuffix(strings.TrimPrefix(good, `Cert="`), `"`)
	chain := f.values["xfcc-bare-chain"]
	other := `"` + nginxEscape(f.intermediate.text) + `"`
	zero := strings.Repeat("0", 64)
	hash := fmt.Sprintf("%x", sha256.Sum256(f.leaf.der))
	return []hostile{
		{"two elements", good + "," + good, oneElement},
		{"two elements, an unquoted value before the comma", `Hash=a,` + good, oneElement},
		{"two elements with a space", good + ", " + good, oneElement},
		{"empty element after", good + ",", oneElement},
		{"Cert twice", good + ";" + good, repeated},
		{"Cert twice in another case", good + ";cERT=" + other, repeated},
		{"Chain twice", chain + ";" + chain, repeated},
		{"Hash twice", "Hash=" + zero + ";hash=" + zero + ";" + good, repeated},
		{"Subject twice", `Subject="";Subject="";` + good, repeated},
		{"quote not closed", strings.TrimSuffix(good, `"`), oneElement},
		{"quote closed by an escaped one", strings.TrimSuffix(good, `"`) + `\"`, oneElement},
		{"backslash at the end", strings.TrimSuffix(good, `"`) + `\`, oneElement},
		{"text after the quotes", good + "x", oneElement},
		{"space after the quotes", good + ` ;URI=`, oneElement},
		{"quote twice", `Cert="` + good[5:], oneElement},
		{"quote inside an unquoted value", `URI=a"b;` + good, oneElement},
		{"backslash in an unquoted value", `URI=a\;` + good, oneElement},
		{"semicolon after", good + ";", keyValue},
		{"two semicolons", `URI=;;` + good, unknownField},
		{"no equals sign", good + ";URI", keyValue},
		{"unknown field", good + ";SAN=x", unknownField},
		{"space before a field", good + "; URI=x", unknownField},
		{"field with a letter that folds to ASCII", good + ";URİ=x", unknownField},
		{"Chaİn instead of Chain", "Hash=" + zero + ";" + strings.Replace(chain, "Chain", "Chaİn", 1), unknownField},
		{"Haſh instead of Hash", good + ";Haſh=" + zero, unknownField},
		{"no Cert", `By=spiffe://a;Hash=` + zero + `;Subject="CN=mail";URI=`, noCert},
		{"Cert only inside the Subject", `Subject="Cert=` + cert + `"`, noCert},
		{"Cert only inside the Subject, after an escaped quote", `Subject="\";Cert=` + cert + `"`, noCert},
		{"Cert empty", `Cert=""`, notBegin},
		{"Chain empty", `Chain=`, notBegin},
		{"Cert good and Chain empty", good + `;Chain=""`, notBegin},
		{"Cert empty and Chain good", `Cert="";` + chain, notBegin},
		{"Cert with two certificates", strings.Replace(chain, "Chain", "Cert", 1), oneInCert},
		{"Cert with two certificates beside Chain", strings.Replace(chain, "Chain", "Cert", 1) + ";" + chain, oneInCert},
		{"Chain beginning with another", "Cert=" + other + ";" + chain, notInChain},
		{"Chain in the other order", good + `;Chain="` + nginxEscape(f.intermediate.text+f.leaf.text) + `"`, notInChain},
		{"Chain with five", `Chain="` + nginxEscape(strings.Repeat(f.leaf.text, 5)) + `"`, tooMany},
		{"Hash of another certificate, URI before Cert", "Hash=" + zero + ";URI=spiffe://mail;" + good, wrongHash},
		{"Hash of another certificate, DNS before Cert", "Hash=" + zero + ";DNS=mail.example;" + good, wrongHash},
		{"Hash of another certificate, URI before Chain", "Hash=" + zero + ";URI=spiffe://mail;" + chain, wrongHash},
		{"Hash of another certificate, two names before Cert", "Hash=" + zero + `;URI="";DNS="";` + good, wrongHash},
		{"Hash empty, URI before Cert", "Hash=;URI=spiffe://mail;" + good, wrongHash},
		{"Hash of another certificate after Cert", "URI=spiffe://mail;" + good + ";Hash=" + zero, wrongHash},
		{"Cert forged by a URI name", "Hash=" + zero + `;Subject="CN=eve";URI=spiffe://eve;Cert=` + cert, wrongHash},
		{"Cert forged by a URI name that begins with quotes", "Hash=" + zero + `;Subject="CN=eve";URI="";Cert=` + cert, wrongHash},
		{"Cert forged by a DNS name", "Hash=" + zero + ";URI=;DNS=eve;Cert=" + cert, wrongHash},
		{"Chain forged by a URI name", "Hash=" + zero + ";URI=eve;Chain=" + cert, wrongHash},
		{"second Cert forged by a URI name", "Hash=" + zero + ";Cert=" + other + ";URI=eve;Cert=" + cert, repeated},
		{"Chain forged by a URI name, beside Cert", "Hash=" + zero + ";Cert=" + other + ";URI=eve;Chain=" + cert, notInChain},
		{"Hash forged by a URI name", "Hash=" + zero + ";URI=eve;Hash=" + hash + ";Cert=" + cert, repeated},
		{"Cert as base64 of the DER", `Cert="` + base64Of(f.leaf.der) + `"`, notBegin},
		{`Cert with \n in quotes`, `Cert="` + f.values["backslash-n"] + `"`, backslash},
		{"Cert with an escaped letter", strings.Replace(good, "MII", `\MII`, 1), backslash},
		{"129 fields", strings.Repeat("URI=;", 128) + good, "want at most 128 XFCC fields"},
		{"element of a Forwarded header", `For=192.0.2.1;` + good, otherForm},
	}
}

// damagedFirst returns chains with a damaged certificate before a valid one, in every form
// that supports chains. The valid one must not become the client's.
func damagedFirst(f files) []hostile {
	broken := bytes.Clone(f.intermediate.der)
	broken[4] = 0x31 // changes the tag of the tbsCertificate
	cut := f.intermediate.der[:len(f.intermediate.der)-1]
	var values []hostile
	for _, form := range certheader.Forms() {
		if form == certheader.RFC9440 {
			continue
		}
		values = append(values,
			hostile{"damaged first, " + string(form), certheader.Encode(form, broken, f.leaf.der), notX509},
			hostile{"damaged last, " + string(form), certheader.Encode(form, f.leaf.der, broken), notX509},
			hostile{"cut first, " + string(form), certheader.Encode(form, cut, f.leaf.der), notDER},
			hostile{"nothing first, " + string(form), certheader.Encode(form, nil, f.leaf.der), ""},
		)
	}
	bad := nginxEscape(begin + "MII!\n" + end + "\n")
	return append(values,
		hostile{"first block not base64", bad + f.values["nginx-escaped"], notCanonical},
		hostile{"first element not base64", "MII!," + f.values["haproxy-der"], notCanonical},
		hostile{"Cert damaged, Chain good", `Cert="` + bad + `";` + f.values["xfcc-bare-chain"], notCanonical},
		hostile{"Cert good, Chain damaged", f.values["xfcc-bare"] + `;Chain="` + bad + `"`, notCanonical},
	)
}
