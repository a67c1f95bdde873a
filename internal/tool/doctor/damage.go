package doctor

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/certgate/certgate/internal/surface/echo"
)

// change is one thing that happens to values on their way, or "" where the value
// cannot suffer it.
type change struct {
	words string
	apply func(string) string
}

func replace(words string, oldnew ...string) change {
	return change{words, strings.NewReplacer(oldnew...).Replace}
}

// decode is a change by percent-decoding, after which line breaks cannot stay.
func decode(unescape func(string) (string, error), lineBreak string) change {
	return change{"it arrives percent-decoded", func(s string) string {
		text, err := unescape(s)
		if err != nil {
			return ""
		}
		return strings.TrimSpace(strings.ReplaceAll(text, "\n", lineBreak))
	}}
}

// changes are those that can be told by the digest of the outcome.
func changes() []change {
	return []change{
		{"its letters arrive in lower case", strings.ToLower},
		{"its letters arrive in upper case", strings.ToUpper},
		replace("each + arrives as a space", "+", " "),
		replace("each + is lost", "+", ""),
		replace("each + arrives as %2B", "+", "%2B"),
		decode(url.PathUnescape, " "), decode(url.PathUnescape, ""),
		decode(url.QueryUnescape, " "), decode(url.QueryUnescape, ""),
		{"it arrives percent-encoded once more", url.QueryEscape},
		{"it arrives percent-encoded once more", url.PathEscape},
		replace("it arrives percent-encoded once more", "%", "%25"),
		replace("each space is lost", " ", ""),
		replace("each space arrives as +", " ", "+"),
		replace("each space arrives as %20", " ", "%20"),
		replace("its quotation marks are lost", `"`, ""),
		replace("its quotation marks arrive escaped", `"`, `\"`),
		replace("each backslash is lost", `\`, ""),
		replace("each backslash arrives doubled", `\`, `\\`),
		replace(`each \n arrives as a space`, `\n`, " "),
		replace(`each \n is lost`, `\n`, ""),
		{"the = at its end are lost", func(s string) string { return strings.TrimRight(s, "=") }},
		{"the colons around it are lost", func(s string) string { return strings.Trim(s, ":") }},
		{"it arrives twice in one line", func(s string) string { return s + ", " + s }},
		{"it arrives twice in one line", func(s string) string { return s + "," + s }},
	}
}

// damage says in words what happened to a value that was sent as one line of a
// header; "" is nothing.
func damage(sent string, arrived []echo.Value) string {
	switch {
	case len(arrived) == 0:
		return "the header does not arrive"
	case len(arrived) > 1:
		return fmt.Sprintf("one line of the header is sent and %d arrive", len(arrived))
	case arrived[0] == echo.Of(sent):
		return ""
	}
	for _, c := range changes() {
		// Spaces at the ends are no part of a value (RFC 9110, section 5.5).
		if arrived[0] == echo.Of(strings.Trim(c.apply(sent), " \t")) {
			return c.words
		}
	}
	if words := shortened(sent, arrived[0]); words != "" {
		return words
	}
	for _, c := range changes() {
		if words := shortened(c.apply(sent), arrived[0]); words != "" {
			return c.words + ", and " + words
		}
	}
	return fmt.Sprintf("it arrives altered in a way that the doctor does not know: %d bytes are sent, %d arrive", len(sent), arrived[0].Length)
}

// shortened is what damage says of a beginning or an end.
func shortened(sent string, arrived echo.Value) string {
	n := arrived.Length
	switch {
	case n >= len(sent):
		return ""
	case n == 0:
		return "it arrives empty"
	case arrived == echo.Of(sent[:n]):
		return fmt.Sprintf("it arrives cut behind %d of %d bytes", n, len(sent))
	case arrived == echo.Of(sent[len(sent)-n:]):
		return fmt.Sprintf("its first %d bytes are lost", len(sent)-n)
	default:
		return ""
	}
}
