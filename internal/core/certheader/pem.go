package certheader

import "strings"

const (
	pemDashes = "-----"
	pemBegin  = "-----BEGIN"
	pemHead   = "-----BEGIN CERTIFICATE-----"
	pemTail   = "-----END CERTIFICATE-----"

	// The same as HTML forms encode them, their space a plus.
	formHead = "-----BEGIN+CERTIFICATE-----"
	formTail = "-----END+CERTIFICATE-----"
)

// lineBreaks are what may stand for a line break, the longer before its own
// beginning. Real ones occur only inside percent-encoding and base64. A space
// with a tab is what HAProxy makes of nginx's folded lines.
var lineBreaks = []string{"\r\n", "\n", `\r\n`, `\n`, " \t", " ", "\t"}

// decodePEM takes one to [MaxCertificates] blocks (RFC 7468, section 3), without
// headers or text around them, whose lines all end in the same way, or not at
// all; only the last line may end without. Lines may have any length, as not
// every encoder wraps at 64; an empty one is refused, because to some readers it
// ends the headers. pem.Decode is not used: it skips what it does not
// understand, and so takes the second of two certificates where the first is
// damaged.
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
	for {
		der, rest, err := decodeBlock(text, head, tail, lineBreak)
		if err != nil {
			return nil, err
		}
		ders = append(ders, der)
		var ended bool
		text, ended = strings.CutPrefix(rest, lineBreak)
		switch {
		case text == "":
			return ders, nil
		case !ended:
			return nil, malformed("want the END line to end as the others do, found something behind it")
		}
	}
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
	switch {
	case !ok && strings.HasPrefix(text, pemBegin):
		return nil, "", malformed("want blocks of type CERTIFICATE with the same line ends, found another")
	case !ok:
		return nil, "", malformed("want a BEGIN CERTIFICATE line, found something else")
	}
	body, rest, ok = strings.Cut(body, lineBreak+tail)
	switch {
	case !ok:
		return nil, "", malformed("want an END CERTIFICATE line, found something else")
	case strings.Contains(body, ":"):
		return nil, "", malformed("want no PEM headers, found one")
	case lineBreak != "" && strings.Contains(lineBreak+body+lineBreak, lineBreak+lineBreak):
		return nil, "", malformed("want base64 on every line of the certificate, found an empty line")
	case lineBreak != "":
		body = strings.ReplaceAll(body, lineBreak, "")
	}
	der, err = strictBase64(body)
	return der, rest, err
}
