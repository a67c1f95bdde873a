package certheader

import "strings"

const (
	pemDashes = "-----"
	pemHead   = "-----BEGIN CERTIFICATE-----"
	pemTail   = "-----END CERTIFICATE-----"
)

// boundary lines as HTML forms encode them, their space a plus.
var (
	formHead = strings.ReplaceAll(pemHead, " ", "+")
	formTail = strings.ReplaceAll(pemTail, " ", "+")
)

// lineBreaks are what may stand for a line break, the longer before its own
// beginning. Real ones occur only inside percent-encoding and base64.
var lineBreaks = []string{"\r\n", "\n", `\r\n`, `\n`, " ", "\t"}

// decodePEM takes one to [MaxCertificates] blocks (RFC 7468, section 3), without
// headers or text around them, whose lines all end in the same way, or not at
// all. Lines may have any length, as not every encoder wraps at 64; an empty one
// is refused, because to some readers it ends the headers. pem.Decode is not
// used: it skips what it does not understand.
func decodePEM(text string) ([][]byte, error) {
	if strings.Count(text, pemDashes) > 4*MaxCertificates {
		return nil, malformed("want at most 4 certificates, found more boundary lines")
	}
	head, tail := pemHead, pemTail
	if strings.HasPrefix(text, formHead) {
		head, tail = formHead, formTail
	}
	lineBreak := lineBreakAfter(text, head)
	var ders [][]byte
	for text != "" {
		der, rest, err := decodeBlock(text, head, tail, lineBreak)
		if err != nil {
			return nil, err
		}
		ders, text = append(ders, der), rest
	}
	return ders, nil
}

// lineBreakAfter is what ends the first line, and so must end every other;
// empty where the lines were joined.
func lineBreakAfter(text, head string) string {
	rest := strings.TrimPrefix(text, head)
	for _, b := range lineBreaks {
		if strings.HasPrefix(rest, b) {
			return b
		}
	}
	return ""
}

func decodeBlock(text, head, tail, lineBreak string) (der []byte, rest string, err error) {
	body, ok := strings.CutPrefix(text, head+lineBreak)
	if !ok {
		return nil, "", malformed("want a BEGIN CERTIFICATE line, found something else")
	}
	body, rest, ok = strings.Cut(body, lineBreak+tail)
	if !ok {
		return nil, "", malformed("want an END CERTIFICATE line, found something else")
	}
	if lineBreak != "" {
		if strings.Contains(lineBreak+body+lineBreak, lineBreak+lineBreak) {
			return nil, "", malformed("want base64 on every line of the certificate, found an empty line")
		}
		body = strings.ReplaceAll(body, lineBreak, "")
		rest = strings.TrimPrefix(rest, lineBreak)
	}
	der, err = strictBase64(body)
	return der, rest, err
}
