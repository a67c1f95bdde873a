package doctor

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/certgate/certgate/internal/surface/echo"
)

// change is a change that load balancers make to header values. apply returns "" if it
// cannot change the value.
type change struct {
	text  string
	apply func(string) string
}

func replace(text string, oldnew ...string) change {
	return change{text, strings.NewReplacer(oldnew...).Replace}
}

// decode returns the change by percent-decoding. Decoded line breaks cannot occur in a
// header value, so they are replaced by lineBreak.
func decode(unescape func(string) (string, error), lineBreak string) change {
	return change{"it arrives percent-decoded", func(s string) string {
		text, err := unescape(s)
		if err != nil {
			return ""
		}
		return strings.TrimSpace(strings.ReplaceAll(text, "\n", lineBreak))
	}}
}

// changes returns the changes that the doctor recognizes by comparing digests.
func changes() []change {
	return []change{
		{"its letters arrive in lower case", strings.ToLower},
		{"its letters arrive in upper case", strings.ToUpper},
		replace("each + arrives as a space", "+", " "),
		replace("each + is removed", "+", ""),
		replace("each + arrives as %2B", "+", "%2B"),
		decode(url.PathUnescape, " "), decode(url.PathUnescape, ""),
		decode(url.QueryUnescape, " "), decode(url.QueryUnescape, ""),
		{"it arrives percent-encoded once more", url.QueryEscape},
		{"it arrives percent-encoded once more", url.PathEscape},
		replace("it arrives percent-encoded once more", "%", "%25"),
		replace("each space is removed", " ", ""),
		replace("each space arrives as +", " ", "+"),
		replace("each space arrives as %20", " ", "%20"),
		replace("its quotation marks are removed", `"`, ""),
		replace("its quotation marks arrive escaped", `"`, `\"`),
		replace("each backslash is removed", `\`, ""),
		replace("each backslash arrives twice", `\`, `\\`),
		replace(`each \n arrives as a space`, `\n`, " "),
		replace(`each \n is removed`, `\n`, ""),
		{"the = at its end are removed", func(s string) string { return strings.TrimRight(s, "=") }},
		{"the colons around it are removed", func(s string) string { return strings.Trim(s, ":") }},
		{"it arrives twice in one line", func(s string) string { return s + ", " + s }},
		{"it arrives twice in one line", func(s string) string { return s + "," + s }},
	}
}

// describeDamage describes how a value changed that was sent as one line of a header. It
// returns "" if the value arrived unchanged.
func describeDamage(sent string, arrived []echo.Value) string {
	switch {
	case len(arrived) == 0:
		return "the header does not arrive"
	case len(arrived) > 1:
		return fmt.Sprintf("one line of the header is sent and %d arrive", len(arrived))
	case arrived[0] == echo.Of(sent):
		return ""
	}
	for _, c := range changes() {
		// White space at either end is not part of a value (RFC 9110, section 5.5).
		if arrived[0] == echo.Of(strings.Trim(c.apply(sent), " \t")) {
			return c.text
		}
	}
	if text := describeTruncation(sent, arrived[0]); text != "" {
		return text
	}
	for _, c := range changes() {
		if text := describeTruncation(c.apply(sent), arrived[0]); text != "" {
			return c.text + ", and " + text
		}
	}
	return fmt.Sprintf("it arrives with a change that the doctor does not recognize: %d bytes are sent, %d arrive", len(sent), arrived[0].Length)
}

// describeTruncation describes a value that lost its beginning or end, and returns "" for
// other values.
func describeTruncation(sent string, arrived echo.Value) string {
	n := arrived.Length
	switch {
	case n >= len(sent):
		return ""
	case n == 0:
		return "it arrives empty"
	case arrived == echo.Of(sent[:n]):
		return fmt.Sprintf("it arrives truncated to %d of %d bytes", n, len(sent))
	case arrived == echo.Of(sent[len(sent)-n:]):
		return fmt.Sprintf("its first %d bytes are removed", len(sent)-n)
	default:
		return ""
	}
}
