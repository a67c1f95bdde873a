package certheader

import (
	"encoding/base64"
	"encoding/pem"
	"net/url"
	"strings"
)

// Form is one way to write a certificate into a header value, by the name that
// the command line gives it.
type Form string

// The forms that [Encode] writes. [Parse] reads them and some relatives.
const (
	// PercentPEM is a PEM with reserved bytes percent-encoded: nginx's
	// $ssl_client_escaped_cert, AWS ALB, Envoy. A '+' stands for itself.
	PercentPEM Form = "percent"
	// FormPEM is a PEM as HTML forms encode it: a '+' for each space.
	FormPEM Form = "form"
	// SpacedPEM is a PEM with a space for each line break: Apache's
	// SSL_CLIENT_CERT, nginx's $ssl_client_cert after its folded lines were
	// joined.
	SpacedPEM Form = "spaced"
	// EscapedPEM is a PEM with the two characters \n for each line break.
	EscapedPEM Form = "escaped"
	// JoinedPEM is a PEM without line breaks.
	JoinedPEM Form = "joined"
	// Base64PEM is the base64 of a whole PEM in one line.
	Base64PEM Form = "base64"
	// Base64DER is the base64 of the DER in one line: HAProxy, Traefik, Azure.
	// Several are joined by commas.
	Base64DER Form = "der"
	// RFC9440 is the base64 of the DER between colons, a byte sequence of RFC
	// 9651 (RFC 9440, section 2.1): Client-Cert, GCP, Cloudflare.
	RFC9440 Form = "rfc9440"
	// XFCC is an element of Envoy's X-Forwarded-Client-Cert with a Cert field.
	XFCC Form = "xfcc"
)

// Forms lists every form, for tables and help texts.
func Forms() []Form {
	return []Form{PercentPEM, FormPEM, SpacedPEM, EscapedPEM, JoinedPEM, Base64PEM, Base64DER, RFC9440, XFCC}
}

// decoder reads a value of its shape into DER certificates, the client's first.
type decoder func(value string) ([][]byte, error)

// shape is the only decoder that may read value, or nil. The value is not
// empty. The shapes are disjoint by their first bytes: DER is a SEQUENCE, so its
// base64 begins with 'M'; that of a PEM begins with "LS0t".
func shape(value string) decoder {
	switch {
	case strings.HasPrefix(value, pemDashes) && !strings.Contains(value, "%"):
		return decodePEM
	case strings.HasPrefix(value, pemDashes), strings.HasPrefix(value, "%2D"), strings.HasPrefix(value, "%2d"):
		return decodePercentPEM
	case strings.HasPrefix(value, "LS0t"):
		return decodeBase64PEM
	case value[0] == 'M':
		return decodeBase64DER
	case value[0] == ':':
		return decodeRFC9440
	case isXFCC(value):
		return decodeXFCC
	default:
		return nil
	}
}

func decodePercentPEM(value string) ([][]byte, error) {
	// PathUnescape, not QueryUnescape: that would turn base64's '+' into a space.
	text, err := url.PathUnescape(value)
	if err != nil {
		return nil, malformed("want percent-encoding (%XX), found a broken escape")
	}
	return decodePEM(text)
}

func decodeBase64PEM(value string) ([][]byte, error) {
	text, err := strictBase64(value)
	if err != nil {
		return nil, err
	}
	return decodePEM(string(text))
}

// decodeBase64DER reads certificates joined by commas alone. With a space
// behind the comma the value may be two header lines that some proxy merged, and
// then nobody knows which of them is the client's.
func decodeBase64DER(value string) ([][]byte, error) {
	switch {
	case strings.Count(value, ",") >= MaxCertificates:
		return nil, malformed("want at most 4 certificates, found more commas")
	case strings.Contains(value, ", "):
		return nil, malformed("want commas without spaces, found what may be two merged header lines")
	}
	var ders [][]byte
	for part := range strings.SplitSeq(value, ",") {
		der, err := strictBase64(part)
		if err != nil {
			return nil, err
		}
		ders = append(ders, der)
	}
	return ders, nil
}

// decodeRFC9440 reads one byte sequence without parameters. RFC 9651 lets a
// parser take base64 in other spellings; a canonical one costs a sender nothing.
func decodeRFC9440(value string) ([][]byte, error) {
	inner, ok := strings.CutSuffix(value[1:], ":")
	if !ok {
		return nil, malformed("want one byte sequence between two colons, found something else")
	}
	der, err := strictBase64(inner)
	if err != nil {
		return nil, err
	}
	return [][]byte{der}, nil
}

// Encode writes certificates in the given form, the client's first. It is the
// inverse of [Parse] for every chain that Parse takes, with one exception:
// [RFC9440] holds one certificate, and the others are left out. An unknown form
// is written as [Base64DER].
func Encode(form Form, ders ...[]byte) string {
	text := encodePEM(ders)
	switch form {
	case PercentPEM:
		return escape(text)
	case FormPEM:
		return url.QueryEscape(text)
	case SpacedPEM:
		return strings.TrimSuffix(strings.ReplaceAll(text, "\n", " "), " ")
	case EscapedPEM:
		return strings.ReplaceAll(text, "\n", `\n`)
	case JoinedPEM:
		return strings.ReplaceAll(text, "\n", "")
	case Base64PEM:
		return base64.StdEncoding.EncodeToString([]byte(text))
	case RFC9440:
		return ":" + encodeDER(ders[:min(1, len(ders))]) + ":"
	case XFCC:
		return encodeXFCC(ders)
	default:
		return encodeDER(ders)
	}
}

func encodePEM(ders [][]byte) string {
	var b strings.Builder
	for _, der := range ders {
		b.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	}
	return b.String()
}

func encodeDER(ders [][]byte) string {
	parts := make([]string, len(ders))
	for i, der := range ders {
		parts[i] = base64.StdEncoding.EncodeToString(der)
	}
	return strings.Join(parts, ",")
}

// escape percent-encodes everything but RFC 3986's unreserved characters, as
// nginx does.
func escape(text string) string {
	return strings.ReplaceAll(url.QueryEscape(text), "+", "%20")
}
