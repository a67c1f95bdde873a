package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"

	"github.com/certgate/certgate/internal/config/rules"
	"github.com/certgate/certgate/internal/core/trust"
	"github.com/certgate/certgate/internal/filewatch/regularfile"
)

// The largest files that are read, in bytes.
const (
	maxKeyFile  = 1 << 20
	maxRuleFile = regularfile.MaxBytes
)

// ParseKeyring reads the content of the file that AUTH_PUBLIC_KEY_FILE names, as
// [Load] does. Errors never quote the content.
func ParseKeyring(file regularfile.File, minRSABits int) (*trust.Keyring, error) {
	switch {
	case file.Err != nil:
		return nil, unreadable(file)
	case len(file.Text) > maxKeyFile:
		return nil, fmt.Errorf("found %s: more than %d bytes", quote(file.Name), maxKeyFile)
	}
	return trust.ParseKeyring(file.Text, minRSABits)
}

// ParseRules reads the content of the file that ACCESS_RULES_FILE names, as [Load]
// does. The error may have several lines, "file:LINE: problem".
func ParseRules(file regularfile.File) (rules.Document, error) {
	if file.Err != nil {
		return rules.Document{}, unreadable(file)
	}
	return parseRules(file.Name, file.Text)
}

// parseRules refuses what can be no rules before anybody quotes it: a key that
// was put into the wrong place. Base64 has no colon.
func parseRules(name string, text []byte) (rules.Document, error) {
	if bytes.Contains(text, []byte("-----BEGIN ")) || bytes.Contains(text, []byte("-----END ")) {
		return rules.Document{}, errors.New("found PEM, want YAML rules")
	}
	if !bytes.Contains(text, []byte(":")) {
		return rules.Document{}, errors.New("found no YAML field, want YAML rules")
	}
	return rules.Parse(name, text)
}

// unreadable has the system's reason and not the name as it is: a key that was
// given for a name would be in it.
func unreadable(file regularfile.File) error {
	return fmt.Errorf("found %s: %w", quote(file.Name), reasonOf(file.Err))
}

func reasonOf(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err
	}
	return err
}
