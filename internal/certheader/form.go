package certheader

import (
	"encoding/base64"
	"encoding/pem"
	"net/url"
	"strings"
)

// Form is one way to write a certificate into a header value.
type Form string

// The forms. Each one's shape excludes the others'.
const (
	// PercentPEM is a PEM with reserved bytes percent-encoded: nginx's
	// $ssl_client_escaped_cert. A '+' stands for itself.
	PercentPEM Form = "percent"
	// Base64PEM is the base64 of a whole PEM in one line.
	Base64PEM Form = "base64"
	// Base64DER is the base64 of the DER in one line: a PEM's body unwrapped.
	Base64DER Form = "der"
)

// decoder knows one form: which values are its own, and how they are read.
type decoder struct {
	form   Form
	claims func(value string) bool
	decode func(value string) ([]byte, error)
}

// decoders lists the forms. The shapes are disjoint: DER is a SEQUENCE, so its
// base64 begins with 'M'; that of "-----BEGIN" begins with "LS0t"; and neither
// alphabet has a '%'.
var decoders = []decoder{
	{PercentPEM, func(v string) bool { return strings.Contains(v, "%") }, decodePercentPEM},
	{Base64PEM, func(v string) bool { return strings.HasPrefix(v, "LS0t") }, decodeBase64PEM},
	{Base64DER, func(v string) bool { return v[0] == 'M' }, strictBase64},
}

// shape is the only decoder that may read value, or nil. The value is not empty.
func shape(value string) *decoder {
	for i := range decoders {
		if decoders[i].claims(value) {
			return &decoders[i]
		}
	}
	return nil
}

func decodePercentPEM(value string) ([]byte, error) {
	// PathUnescape, not QueryUnescape: that would turn base64's '+' into a space.
	text, err := url.PathUnescape(value)
	if err != nil {
		return nil, malformed("want percent-encoding (%XX), found a broken escape")
	}
	return decodePEM(text)
}

func decodeBase64PEM(value string) ([]byte, error) {
	text, err := strictBase64(value)
	if err != nil {
		return nil, err
	}
	return decodePEM(string(text))
}

const (
	pemHead = "-----BEGIN CERTIFICATE-----"
	pemTail = "-----END CERTIFICATE-----"
)

// decodePEM takes exactly one block with LF or CRLF line ends (RFC 7468,
// section 3), without headers or text around it. Lines may have any length, as
// not every encoder wraps at 64; an empty line is refused, because to some
// readers it ends the headers. pem.Decode is not used: it skips what it does
// not understand.
func decodePEM(text string) ([]byte, error) {
	text = strings.ReplaceAll(text, "\r\n", "\n")
	body, ok := strings.CutPrefix(text, pemHead+"\n")
	if !ok {
		return nil, malformed("want the value to begin with a BEGIN CERTIFICATE line, found something else")
	}
	body, ok = strings.CutSuffix(strings.TrimSuffix(body, "\n"), "\n"+pemTail)
	if !ok {
		return nil, malformed("want one certificate that ends with an END CERTIFICATE line, found something else")
	}
	if strings.Contains("\n"+body+"\n", "\n\n") {
		return nil, malformed("want base64 on every line of the certificate, found an empty line")
	}
	return strictBase64(strings.ReplaceAll(body, "\n", ""))
}

// Encode writes a certificate's DER in the given form. It is the inverse of
// [Parse] for every certificate that Parse takes. An unknown form is written as
// [Base64DER].
func Encode(der []byte, form Form) string {
	switch form {
	case PercentPEM:
		return escape(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	case Base64PEM:
		return base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	default:
		return base64.StdEncoding.EncodeToString(der)
	}
}

// escape percent-encodes everything but RFC 3986's unreserved characters, as
// nginx does.
func escape(text string) string {
	return strings.ReplaceAll(url.QueryEscape(text), "+", "%20")
}
