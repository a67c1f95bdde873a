package identity

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// maxName is the maximum length of an OU in characters (RFC 5280, appendix A.1:
// ub-organizational-unit-name).
const maxName = 64

// CheckName returns an error if name is not a valid client name. A valid name has 1 to 64
// characters: ASCII letters and digits, and between them also . _ - : @ / + and single
// spaces. The error describes the first violation and quotes at most one character of the
// name.
func CheckName(name string) error {
	if n := utf8.RuneCountInString(name); n == 0 || n > maxName {
		return fmt.Errorf("want 1 to %d characters, found %d", maxName, n)
	}
	for _, r := range name {
		if !isAlphanumeric(r) && !isInner(r) {
			return fmt.Errorf("want only ASCII letters, digits and inner . _ - : @ / + or single spaces, found %q", r)
		}
	}
	first, last := rune(name[0]), rune(name[len(name)-1])
	switch {
	case !isAlphanumeric(first):
		return fmt.Errorf("want a letter or digit at the beginning, found %q", first)
	case !isAlphanumeric(last):
		return fmt.Errorf("want a letter or digit at the end, found %q", last)
	case strings.Contains(name, "  "):
		return errors.New("want single spaces, found two in a row")
	}
	return nil
}

func isAlphanumeric(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
}

// isInner reports whether the character is allowed except at the ends of a name.
func isInner(r rune) bool { return strings.ContainsRune("._-:@/+ ", r) }
