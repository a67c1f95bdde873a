package certheader

import (
	"encoding/base64"
	"encoding/pem"
	"net/url"
	"strings"
)

// Form is an encoding of certificates in a header value. Its text is the name that the
// command line uses.
type Form string

// The forms that [Encode] writes. [Parse] accepts these and some variants of them.
const (
	// PercentPEM is a PEM with reserved bytes percent-encoded: nginx's
	// $ssl_client_escaped_cert, AWS ALB, Envoy. A '+' stands for itself.
	PercentPEM Form = "percent"
	// FormPEM is a PEM in the encoding of HTML forms, with a '+' for each space.
	FormPEM Form = "form"
	// SpacedPEM is a PEM with a space for each newline: Apache's
	// SSL_CLIENT_CERT, nginx's $ssl_client_cert after its folded lines were
	// joined.
	SpacedPEM Form = "spaced"
	// EscapedPEM is a PEM with a literal \n sequence for each newline.
	EscapedPEM Form = "escaped"
	// JoinedPEM is a PEM without newlines.
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

// Forms returns every form, for help texts and tests.
func Forms() []Form {
	return []Form{PercentPEM, FormPEM, SpacedPEM, EscapedPEM, JoinedPEM, Base64PEM, Base64DER, RFC9440, XFCC}
}

// decoder returns the DER certificates in a value, the client's first.
type decoder func(value string) ([][]byte, error)

// decoderFor returns the only decoder for a value that is not empty, or nil. The forms
// differ in their first bytes: the base64 of DER begins with 'M', because DER begins with a
// SEQUENCE, and the base64 of PEM begins with "LS0t".
func decoderFor(value string) decoder {
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
	// QueryUnescape would decode a '+' of the base64 as a space.
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

// decodeBase64DER decodes certificates separated by commas without spaces. A comma with a
// space may mean that a proxy merged two header lines, and then it is unknown which of
// them holds the client's certificate.
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

// decodeRFC9440 decodes one byte sequence without parameters. RFC 9651 allows parsers to
// accept non-canonical base64; this one does not.
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

// Encode returns the certificates in the given form, the client's first. [Parse] returns
// the same certificates for the result, except for [RFC9440], which holds the first one
// only. An unknown form is encoded as [Base64DER].
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

// escape percent-encodes every byte except the unreserved characters of RFC 3986, as
// nginx does.
func escape(text string) string {
	return strings.ReplaceAll(url.QueryEscape(text), "+", "%20")
}
