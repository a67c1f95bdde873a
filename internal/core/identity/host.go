package identity

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Maximum lengths in bytes: RFC 1035, section 2.3.4, without the length bytes, and RFC
// 5321, sections 4.5.3.1.1 and 4.5.3.1.3.
const (
	maxHost      = 253
	maxLabel     = 63
	maxEmail     = 254
	maxLocalPart = 64
)

// checkHost checks a host name (RFC 1123, section 2.1) in lower case. An IP address is
// not a host name.
func checkHost(name string) error {
	if n := utf8.RuneCountInString(name); n == 0 || len(name) > maxHost {
		return fmt.Errorf("want 1 to %d characters, found %d", maxHost, n)
	}
	for _, r := range name {
		if !isLowerAlphanumeric(r) && r != '-' && r != '.' {
			return fmt.Errorf("want only lower-case ASCII letters, digits, - and . in a host name, found %q", r)
		}
	}
	last := ""
	for label := range strings.SplitSeq(name, ".") {
		switch {
		case label == "" || len(label) > maxLabel:
			return fmt.Errorf("want labels of 1 to %d characters between the dots of a host name, found %d", maxLabel, len(label))
		case strings.HasPrefix(label, "-") || strings.HasSuffix(label, "-"):
			return errors.New("want a letter or digit at both ends of each label, found '-'")
		}
		last = label
	}
	if strings.Trim(last, "0123456789") == "" {
		return errors.New("want a host name whose last label is not a number, found one as in an IP address")
	}
	return nil
}

// checkEmail checks a mailbox (RFC 5321, section 4.1.2) without quotes and comments.
func checkEmail(name string) error {
	if n := utf8.RuneCountInString(name); n == 0 || len(name) > maxEmail {
		return fmt.Errorf("want 1 to %d characters, found %d", maxEmail, n)
	}
	local, host, found := strings.Cut(name, "@")
	if !found {
		return errors.New("want an email address, found no @")
	}
	if err := checkLocalPart(local); err != nil {
		return err
	}
	if err := checkHost(host); err != nil {
		return fmt.Errorf("after the @: %w", err)
	}
	return nil
}

func checkLocalPart(local string) error {
	if n := utf8.RuneCountInString(local); n == 0 || len(local) > maxLocalPart {
		return fmt.Errorf("want 1 to %d characters before the @, found %d", maxLocalPart, n)
	}
	for _, r := range local {
		if !isAlphanumeric(r) && !strings.ContainsRune("._-+=", r) {
			return fmt.Errorf("want only ASCII letters, digits and inner . _ - + = before the @, found %q", r)
		}
	}
	if first, last := rune(local[0]), rune(local[len(local)-1]); !isAlphanumeric(first) || !isAlphanumeric(last) {
		return errors.New("want a letter or digit at both ends of the part before the @, found another character")
	}
	if strings.Contains(local, "..") {
		return errors.New("want single dots before the @, found two in a row")
	}
	return nil
}
