package certheader

import (
	"encoding/asn1"
	"encoding/base64"
	"net/url"
	"strings"

	"github.com/certgate/certgate/internal/core/refusal"
)

// advise adds to a refusal what its sender should do. It looks at a value that is
// refused already, more leniently than any decoder, and what it finds changes no
// decision: only a private key has a reason of its own, because it is lost from
// here on. Nothing of the value is quoted.
func advise(refused *refusal.Error, value string) *refusal.Error {
	s := see(value)
	if s.holdsKey() {
		return refusal.New(refusal.CredentialPrivateKey, "want a certificate, found a private key").WithHint(keyHint)
	}
	for _, m := range mistakes {
		if m.made(s) {
			return refused.WithHint(m.hint)
		}
	}
	return refused.WithHint(anyHint)
}

const (
	keyHint = "Whoever handled this request may have kept the key: make a new one, have the old certificate revoked, and attach a certificate"
	anyHint = "Attach the certificate as the base64 of its DER or PEM in one line, or as percent-encoded PEM"
)

// mistake is one that people make.
type mistake struct {
	made func(seen) bool
	hint string
}

// mistakes are in order: the first that was made is the one to tell.
var mistakes = [...]mistake{
	{seen.isRequest, "This is a certificate request: attach the certificate that was issued for it"},
	{seen.isPublicKey, "This is a public key: attach the certificate over it"},
	{seen.isNothing, "The sender's program had no certificate and attached its word for nothing"},
	{seen.isQuoted, "The value is in quotes: attach it without them"},
	{seen.isTemplate, "This is a variable or command that nothing has replaced: in a shell it has to stand in double quotes"},
	{seen.isFileName, "This is the name of a file: attach the certificate that is in it"},
	{seen.isEncodedTwice, "The value is encoded twice: encode it once"},
	{seen.hasPreamble, "There is text before the certificate: attach what openssl x509 -in FILE prints"},
	{seen.isCut, "The end of the certificate is missing: something cut the value off"},
	{seen.hasOtherBlock, "There is PEM of another type in it: attach what begins with BEGIN CERTIFICATE and nothing else"},
	{seen.hasSpaces, "There is white space in the base64: encode it in one line, and let nothing decode a plus as a space; percent-encoding it prevents that"},
	{seen.isOtherBase64, "This is not the standard base64: use the alphabet with + and /, and keep the = at the end"},
}

// seen is a refused value under a lenient eye.
type seen struct {
	value, text string // as it came, and what is beneath its armour
	// The first two elements where the text is a DER SEQUENCE, without a tag where
	// there are none.
	first, second asn1.RawValue
}

func see(value string) seen {
	s := seen{value: value, text: value}
	if strings.Contains(value, "%") {
		if text, err := url.PathUnescape(value); err == nil {
			s.text = text
		}
	} else if raw := unarmoured(value); raw != nil {
		s.text = string(raw)
		s.first, s.second = elements(raw)
	}
	return s
}

// unarmoured is what is in base64 of any alphabet, between colons or quotes, in
// lines or not; nil where it is none.
func unarmoured(value string) []byte {
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
