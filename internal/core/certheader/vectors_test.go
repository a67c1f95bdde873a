package certheader_test

import (
	"bytes"
	"encoding/base64"
	"encoding/pem"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/core/certheader"
	"github.com/certgate/certgate/internal/core/refusal"
)

// vector is one value with its result: the fixture's certificate or a refusal.
type vector struct {
	name  string
	value string
	want  refusal.Reason // "" is accepted
}

const malformed = refusal.CredentialMalformed

// TestVectors parses values in all forms. Each refused value differs from an accepted one
// in one property.
func TestVectors(t *testing.T) {
	f := newFixture(t, "rsa")
	groups := map[string][]vector{
		"percent":  percentVectors(f),
		"boundary": boundaryVectors(f),
		"lines":    lineVectors(f),
		"base64":   base64Vectors(f),
		"der":      derVectors(t, f),
		"form":     formVectors(f),
		"floods":   floodVectors(),
	}
	for group, vectors := range groups {
		for _, v := range vectors {
			t.Run(group+"/"+v.name, func(t *testing.T) {
				cert, err := certheader.Parse([]string{v.value}, limit)
				checkReason(t, err, v.want)
				checkQuotesNothing(t, err, v.value)
				if (cert.Leaf == nil) != (err != nil) {
					t.Errorf("want either a certificate or an error")
				}
				if err == nil && !bytes.Equal(cert.Leaf.Raw, f.der) {
					t.Error("want the fixture's certificate, found another")
				}
			})
		}
	}
}

// percentVectors returns variants of percent-encoding.
func percentVectors(f fixture) []vector {
	escaped := nginxEscape(f.text)
	return []vector{
		{"nginx", escaped, ""},
		{"lower-case hex", lowerHex(escaped), ""},
		{"plus literal", strings.ReplaceAll(escaped, "%2B", "+"), ""},
		{"slash and equals literal", strings.NewReplacer("%2F", "/", "%3D", "=").Replace(escaped), ""},
		{"only the newlines escaped", strings.ReplaceAll(f.text, "\n", "%0A"), ""},
		{"every byte escaped", everyByte(f.text), ""},
		{"plus for space in the boundary lines", strings.ReplaceAll(escaped, "%20", "+"), ""},
		{"escape cut to one digit", escaped[:len(escaped)-1], malformed},
		{"escape cut to the sign", escaped[:len(escaped)-2], malformed},
		{"escape without hex", strings.Replace(escaped, "%2F", "%2G", 1), malformed},
		{"escape with a sign for a digit", strings.Replace(escaped, "%0A", "%+A", 1), malformed},
		{"a lone percent in the base64", strings.Replace(escaped, "MII", "MI%", 1), malformed},
		{"encoded twice", nginxEscape(escaped), malformed},
		{"one escape encoded twice", strings.Replace(escaped, "%0A", "%250A", 1), malformed},
		{"base64 escaped", nginxEscape(base64Of([]byte(f.text))), malformed},
		{"DER base64 escaped", nginxEscape(base64Of(f.der)), malformed},
		{"unicode escape", strings.Replace(escaped, "%0A", "%u000A", 1), malformed},
		{"overlong UTF-8 newline", strings.Replace(escaped, "%0A", "%C0%8A", 1), malformed},
	}
}

// boundaryVectors returns variants of the text around the block and of its boundary lines.
func boundaryVectors(f fixture) []vector {
	one := func(name, text string, want refusal.Reason) vector {
		return vector{name, nginxEscape(text), want}
	}
	typed := func(kind string) string { return strings.ReplaceAll(f.text, "CERTIFICATE", kind) }
	broken := begin + "%%%%\n" + end + "\n"
	return []vector{
		one("no final newline", strings.TrimSuffix(f.text, "\n"), ""),
		one("two final newlines", f.text+"\n", malformed),
		one("text before", "subject=mail\n"+f.text, malformed),
		one("newline before", "\n"+f.text, malformed),
		one("space before", " "+f.text, malformed),
		one("byte order mark before", "\ufeff"+f.text, malformed),
		one("text after", f.text+"x", malformed),
		one("space after", f.text+" ", malformed),
		one("NUL after", f.text+"\x00", malformed),
		one("NUL before the final newline", strings.TrimSuffix(f.text, "\n")+"\x00\n", malformed),
		one("the same block twice, a chain", f.text+f.text, ""),
		one("an empty block first", begin+end+"\n"+f.text, malformed),
		one("a damaged block first", broken+f.text, malformed),
		one("a damaged block last", f.text+broken, malformed),
		one("PEM headers", strings.Replace(f.text, begin, begin+"Proc-Type: 4,ENCRYPTED\n\n", 1), malformed),
		one("one PEM header", strings.Replace(f.text, begin, begin+"X: y\n", 1), malformed),
		one("TRUSTED CERTIFICATE", typed("TRUSTED CERTIFICATE"), malformed),
		one("X509 CERTIFICATE", typed("X509 CERTIFICATE"), malformed),
		one("PUBLIC KEY", typed("PUBLIC KEY"), malformed),
		one("PRIVATE KEY", typed("PRIVATE KEY"), refusal.CredentialPrivateKey),
		one("lower-case label", typed("certificate"), malformed),
		one("another label at the end", strings.Replace(f.text, "END CERTIFICATE", "END X509 CRL", 1), malformed),
		one("no end line", strings.TrimSuffix(f.text, end+"\n"), malformed),
		one("no begin line", strings.TrimPrefix(f.text, begin), malformed),
		one("four dashes at the beginning", f.text[1:], malformed),
		one("six dashes at the beginning", "-"+f.text, malformed),
		one("four dashes at the end", strings.TrimSuffix(f.text, "-\n")+"\n", malformed),
		one("space after the begin line", strings.Replace(f.text, begin, strings.TrimSuffix(begin, "\n")+" \n", 1), malformed),
		one("a comment line inside", strings.Replace(f.text, "\n", "\n# comment\n", 1), malformed),
	}
}

// lineVectors returns variants of line ends and line lengths inside the block.
func lineVectors(f fixture) []vector {
	one := func(name, text string, want refusal.Reason) vector {
		return vector{name, nginxEscape(text), want}
	}
	body := strings.ReplaceAll(f.body(), "\n", "")
	return []vector{
		one("CRLF", strings.ReplaceAll(f.text, "\n", "\r\n"), ""),
		one("CRLF and LF mixed", strings.Replace(f.text, "\n", "\r\n", 3), malformed),
		one("CRLF without the final one", strings.ReplaceAll(strings.TrimSuffix(f.text, "\n"), "\n", "\r\n"), ""),
		one("the base64 in one line", begin+body+"\n"+end+"\n", ""),
		one("wrapped at 76", begin+wrap(body, 76)+end+"\n", ""),
		one("CR alone", strings.ReplaceAll(f.text, "\n", "\r"), malformed),
		one("one CR inside a line", strings.Replace(f.text, "MII", "MI\rI", 1), malformed),
		one("CR CR LF", strings.Replace(f.text, "\n", "\r\r\n", 1), malformed),
		one("LF CR", strings.Replace(f.text, "\n", "\n\r", 1), malformed),
		one("no line ends", strings.ReplaceAll(f.text, "\n", ""), ""),
		one("spaces for line ends", strings.ReplaceAll(f.text, "\n", " "), ""),
		one(`\n for line ends`, strings.ReplaceAll(f.text, "\n", `\n`), ""),
		one("empty line first", strings.Replace(f.text, begin, begin+"\n", 1), malformed),
		one("empty line last", strings.Replace(f.text, end, "\n"+end, 1), malformed),
		one("empty line in the middle", strings.Replace(f.text, body[64:128], body[64:128]+"\n", 1), malformed),
		one("nothing between the lines", begin+end+"\n", malformed),
		one("one empty line between the lines", begin+"\n"+end+"\n", malformed),
		one("indented base64", strings.Replace(f.text, "MII", " MII", 1), malformed),
		one("tab inside a line", strings.Replace(f.text, "MII", "M\tII", 1), malformed),
		one("space at a line's end", strings.Replace(f.text, body[:64], body[:64]+" ", 1), malformed),
		one("vertical tab for a line end", strings.Replace(f.text, body[:64]+"\n", body[:64]+"\v", 1), malformed),
	}
}

// base64Vectors returns variants of the base64 of the DER.
func base64Vectors(f fixture) []vector {
	good := base64Of(f.der)
	cut := strings.TrimSuffix(good, "==")
	return []vector{
		{"standard", good, ""},
		{"url alphabet", base64.URLEncoding.EncodeToString(f.der), malformed},
		{"no padding", cut, malformed},
		{"half the padding", cut + "=", malformed},
		{"too much padding", good + "=", malformed},
		{"padding for another quantum", good + "====", malformed},
		{"non-zero unused bits", cut[:len(cut)-1] + nextLetter(cut[len(cut)-1]) + "==", malformed},
		{"newline inside", cut[:64] + "\n" + cut[64:] + "==", malformed},
		{"CRLF inside", cut[:64] + "\r\n" + cut[64:] + "==", malformed},
		{"newline at the end", good + "\n", malformed},
		{"space inside", cut[:64] + " " + cut[64:] + "==", malformed},
		{"NUL inside", cut[:64] + "\x00" + cut[64:] + "==", malformed},
		{"space before", " " + good, malformed},
		{"space after", good + " ", malformed},
		{"tab after", good + "\t", malformed},
		{"NUL after", good + "\x00", malformed},
		{"quoted", `"` + good + `"`, malformed},
		{"byte sequence of RFC 9440", ":" + good + ":", ""},
		{"joined with itself, a chain", good + "," + good, ""},
		{"joined with itself and a space", good + ", " + good, malformed},
		{"comma at the end", good + ",", malformed},
		{"twice without a comma", good + good, malformed},
		{"cut in the middle", good[:len(good)/8*4], malformed},
		{"base64 twice", base64Of([]byte(good)), malformed},
	}
}

// derVectors returns variants of the unsigned bytes: around the certificate and inside its
// outer SEQUENCE.
func derVectors(t *testing.T, f fixture) []vector {
	t.Helper()
	one := func(name string, der []byte, want refusal.Reason) vector {
		return vector{name, base64Of(der), want}
	}
	tbs, algorithm, signature := f.elements(t)
	null := []byte{5, 0}
	content := bytes.Join([][]byte{tbs.FullBytes, algorithm.FullBytes, signature.FullBytes}, nil)
	size := []byte{byte(len(content) >> 8), byte(len(content))}
	long := signature.FullBytes[:4] // tag, 82 and two bytes of length
	return []vector{
		one("rebuilt", sequence(t, content), ""),
		one("byte after it", append(bytes.Clone(f.der), 0), malformed),
		one("itself after it", append(bytes.Clone(f.der), f.der...), malformed),
		one("fourth element", sequence(t, content, null), malformed),
		one("fourth element of zeros", sequence(t, content, []byte{0, 0}), malformed),
		one("half an element at the end", sequence(t, content, []byte{0x30}), malformed),
		one("no signature", sequence(t, tbs.FullBytes, algorithm.FullBytes), malformed),
		one("order changed", sequence(t, algorithm.FullBytes, tbs.FullBytes, signature.FullBytes), malformed),
		one("length in three bytes", append([]byte{0x30, 0x83, 0, size[0], size[1]}, content...), malformed),
		one("indefinite length", append(append([]byte{0x30, 0x80}, content...), 0, 0), malformed),
		one("length one short", append([]byte{0x30, 0x82, size[0], size[1] - 1}, content...), malformed),
		one("length one long", append([]byte{0x30, 0x82, size[0], size[1] + 1}, content...), malformed),
		one("outer SET", append([]byte{0x31, 0x82, size[0], size[1]}, content...), malformed),
		one("signature's length in three bytes", sequence(t, tbs.FullBytes, algorithm.FullBytes,
			append([]byte{long[0], 0x83, 0, long[2], long[3]}, signature.Bytes...)), malformed),
		one("signature as OCTET STRING", sequence(t, tbs.FullBytes, algorithm.FullBytes,
			append([]byte{4, long[1], long[2], long[3]}, signature.Bytes...)), malformed),
		one("signature without its unused-bits byte", sequence(t, tbs.FullBytes, algorithm.FullBytes, []byte{3, 0}), malformed),
		one("another algorithm outside", sequence(t, tbs.FullBytes, sequence(t, null), signature.FullBytes), malformed),
		one("algorithm with surplus", sequence(t, tbs.FullBytes, sequence(t, algorithm.Bytes, null), signature.FullBytes), malformed),
		one("truncated", f.der[:len(f.der)-1], malformed),
		one("only the header", f.der[:4], malformed),
		one("an empty SEQUENCE", []byte{0x30, 0}, malformed),
		one("the tbsCertificate alone", tbs.FullBytes, malformed),
	}
}

// formVectors returns values of the other forms and values of unknown form.
func formVectors(f fixture) []vector {
	der, text := base64Of(f.der), base64Of([]byte(f.text))
	return []vector{
		{"base64 of the PEM", text, ""},
		{"base64 of the PEM without a final newline", base64Of([]byte(strings.TrimSuffix(f.text, "\n"))), ""},
		{"base64 of the PEM with CRLF", base64Of([]byte(strings.ReplaceAll(f.text, "\n", "\r\n"))), ""},
		{"base64 of two PEMs, a chain", base64Of([]byte(f.text + f.text)), ""},
		{"base64 of a PEM after text", base64Of([]byte("mail " + f.text)), malformed},
		{"base64 of the escaped PEM", base64Of([]byte(nginxEscape(f.text))), malformed},
		{"base64 of the PEM in lines", wrap(text, 76), malformed},
		{"base64 of a request", base64Of(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: f.der})), malformed},
		{"raw PEM", f.text, malformed},
		{"raw PEM with spaces for line ends", strings.ReplaceAll(f.text, "\n", " "), ""},
		{"raw PEM with tabs for line ends", strings.ReplaceAll(f.text, "\n", "\t"), ""},
		{"raw DER", string(f.der), malformed},
		{"one space", " ", malformed},
		{"spaces", "   ", malformed},
		{"one M", "M", malformed},
		{"one group of base64", "MIIB", malformed},
		{"the beginning of a PEM in base64", "LS0t", malformed},
		{"one percent", "%", malformed},
		{"one NUL", "\x00", malformed},
		{"null", "(null)", malformed},
		{"nginx without a certificate", "-", malformed},
		{"lower-case m", "m" + der[1:], malformed},
		{"hex of the DER", "3082" + strings.Repeat("00", 300), malformed},
		{"invalid UTF-8", "\xff\xfe" + der, malformed},
	}
}

// floodVectors returns repetitions of short texts up to the maximum size.
func floodVectors() []vector {
	fill := func(s string) string { return strings.Repeat(s, limit/len(s)+1)[:limit] }
	return []vector{
		{"percents", fill("%"), malformed},
		{"M", fill("M"), malformed},
		{"begin lines", fill("-----BEGIN"), malformed},
		{"begin lines, escaped", fill(nginxEscape(begin)), malformed},
		{"end lines, escaped", fill(nginxEscape(end + "\n")), malformed},
		{"newlines, escaped", fill("%0A"), malformed},
		{"NULs", fill("\x00"), malformed},
		{"NULs, escaped", fill("%00"), malformed},
		{"base64 of begin lines", fill("LS0t"), malformed},
		{"nested sequences", fill("MIAw"), malformed},
		{"padding", "M" + fill("=")[1:], malformed},
	}
}

func lowerHex(escaped string) string {
	b := []byte(escaped)
	for i := range b {
		if b[i] == '%' {
			copy(b[i:i+3], bytes.ToLower(b[i:i+3]))
		}
	}
	return string(b)
}

func everyByte(text string) string {
	const hex = "0123456789abcdef"
	var b strings.Builder
	for i := range len(text) {
		b.Write([]byte{'%', hex[text[i]>>4], hex[text[i]&15]})
	}
	return b.String()
}

func wrap(text string, width int) string {
	var b strings.Builder
	for len(text) > width {
		b.WriteString(text[:width] + "\n")
		text = text[width:]
	}
	return b.String() + text + "\n"
}

// nextLetter returns the base64 letter with the lowest bit set.
func nextLetter(c byte) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	return string(alphabet[strings.IndexByte(alphabet, c)|1])
}
