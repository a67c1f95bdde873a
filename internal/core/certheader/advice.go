package certheader

import (
	"encoding/asn1"
	"encoding/base64"
	"net/url"
	"strings"

	"github.com/certgate/certgate/internal/core/refusal"
)

// withHint adds a hint for the sender to the refusal of a value. It inspects the value
// more leniently than the decoders do, and never turns the refusal into acceptance. A
// private key has its own reason, because it must be considered compromised. The hint does
// not quote the value.
func withHint(refused *refusal.Error, value string) *refusal.Error {
	v := inspect(value)
	if v.hasPrivateKey() {
		return refusal.New(refusal.CredentialPrivateKey, "want a certificate, found a private key").WithHint(keyHint)
	}
	for _, m := range mistakes {
		if m.matches(v) {
			return refused.WithHint(m.hint)
		}
	}
	return refused.WithHint(defaultHint)
}

const (
	keyHint     = "Programs that handled this request may have stored the key: make a new one, have the old certificate revoked, and attach a certificate"
	defaultHint = "Attach the certificate as the base64 of its DER or PEM in one line, or as percent-encoded PEM"
)

// mistake is a frequent mistake and its hint.
type mistake struct {
	matches func(inspected) bool
	hint    string
}

// mistakes are in order of precedence: the hint of the first match is used.
var mistakes = [...]mistake{
	{inspected.isRequest, "This is a certificate request: attach the certificate that was issued for it"},
	{inspected.isPublicKey, "This is a public key: attach the certificate over it"},
	{inspected.isPlaceholder, "The sender's program had no certificate and attached a placeholder such as null"},
	{inspected.isQuoted, "The value is in quotes: attach it without quotes"},
	{inspected.isTemplate, "This is a variable or command that was not substituted: in a shell it must be in double quotes"},
	{inspected.isFileName, "This is the name of a file: attach the certificate in the file"},
	{inspected.isEncodedTwice, "The value is encoded twice: encode it once"},
	{inspected.hasPreamble, "There is text before the certificate: attach the output of openssl x509 -in FILE"},
	{inspected.isTruncated, "The end of the certificate is missing: the value was truncated"},
	{inspected.hasOtherBlock, "The value contains PEM of another type: attach only the blocks that begin with BEGIN CERTIFICATE"},
	{inspected.hasSpaces, "There is white space in the base64: encode it in one line. A program may have decoded a plus as a space; percent-encoding prevents that"},
	{inspected.isOtherBase64, "This is not standard base64: use the alphabet with + and /, and keep the = at the end"},
}

// inspected is a refused value and its leniently decoded content.
type inspected struct {
	value string
	text  string // the decoded content, or the value if it cannot be decoded
	// first and second are the first two elements if the text is a DER SEQUENCE.
	// Elements that do not exist have no tag.
	first, second asn1.RawValue
}

func inspect(value string) inspected {
	v := inspected{value: value, text: value}
	if strings.Contains(value, "%") {
		if text, err := url.PathUnescape(value); err == nil {
			v.text = text
		}
	} else if raw := decodeLeniently(value); raw != nil {
		v.text = string(raw)
		v.first, v.second = elements(raw)
	}
	return v
}

// decodeLeniently decodes base64 of any alphabet, with or without colons, quotes and line
// breaks. It returns nil if the value is not base64.
func decodeLeniently(value string) []byte {
	if strings.Contains(value, pemDashes) {
		return nil
	}
	inner := strings.TrimRight(strings.Trim(strings.TrimPrefix(value, "b'"), `:"'`), "=")
	alphabet := base64.RawStdEncoding
	if strings.ContainsAny(inner, "-_") {
		alphabet = base64.RawURLEncoding
	}
	if strings.ContainsAny(inner, " \t") {
		inner = strings.Map(dropSpace, inner)
	}
	raw, err := alphabet.DecodeString(inner)
	if err != nil {
		return nil
	}
	return raw
}

func dropSpace(r rune) rune {
	if r == ' ' || r == '\t' {
		return -1
	}
	return r
}
