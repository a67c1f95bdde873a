package certheader

import "strings"

const (
	pemDashes = "-----"
	pemBegin  = "-----BEGIN"
	pemHead   = "-----BEGIN CERTIFICATE-----"
	pemTail   = "-----END CERTIFICATE-----"

	// The boundary lines as HTML forms encode them.
	formHead = "-----BEGIN+CERTIFICATE-----"
	formTail = "-----END+CERTIFICATE-----"
)

// lineBreaks are the sequences that may replace a newline, ordered so that a sequence comes
// before its own prefixes. Newlines themselves occur only inside percent-encoding and
// base64. HAProxy turns the folded lines of nginx into a space and a tab.
var lineBreaks = []string{"\r\n", "\n", `\r\n`, `\n`, " \t", " ", "\t"}

// decodePEM decodes 1 to [MaxCertificates] blocks (RFC 7468, section 3) without headers
// and without text around them. All lines must end with the same line break, or all
// without one; the last line break is optional. Lines may have any length, because not
// every encoder wraps at 64 characters. Empty lines are refused, because some parsers
// treat one as the end of PEM headers. pem.Decode is not used: it skips a damaged first
// certificate and returns the second one.
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
			return nil, malformed("want the END line to end as the others do, found something after it")
		}
	}
}

// lineBreakAfter returns the line break after the first line, or "" if the lines were
// joined. All other lines must end with the same one.
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
