package identity

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// maxAttribute is the maximum length of an OU or CN in characters (RFC 5280, appendix
// A.1: ub-organizational-unit-name, ub-common-name).
const maxAttribute = 64

// checkAttribute checks a name from the subject.
func checkAttribute(name string) error {
	if n := utf8.RuneCountInString(name); n == 0 || n > maxAttribute {
		return fmt.Errorf("want 1 to %d characters, found %d", maxAttribute, n)
	}
	for _, r := range name {
		if !isAlphanumeric(r) && !strings.ContainsRune("._-:@/+ ", r) {
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

func isAlphanumeric(r rune) bool { return isLowerAlphanumeric(r) || 'A' <= r && r <= 'Z' }

func isLowerAlphanumeric(r rune) bool { return 'a' <= r && r <= 'z' || '0' <= r && r <= '9' }
