package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"

	"github.com/certgate/certgate/internal/config/rules"
	"github.com/certgate/certgate/internal/core/identity"
	"github.com/certgate/certgate/internal/core/trust"
	"github.com/certgate/certgate/internal/filewatch/regularfile"
)

// Limits of file sizes, in bytes.
const (
	maxKeyFile  = 1 << 20
	maxRuleFile = regularfile.MaxBytes
)

// ParseKeyring parses the content of the file that AUTH_PUBLIC_KEY_FILE names, as
// [Load] does. Errors never quote the content.
func ParseKeyring(file regularfile.File, minRSABits int) (*trust.Keyring, error) {
	switch {
	case file.Err != nil:
		return nil, readError(file)
	case len(file.Text) > maxKeyFile:
		return nil, fmt.Errorf("found %s: more than %d bytes", quote(file.Name), maxKeyFile)
	}
	return trust.ParseKeyring(file.Text, minRSABits)
}

// ParseRules parses the content of the file that ACCESS_RULES_FILE names, as [Load]
// does with AUTH_IDENTITY set to source. It does not compare the rules with the keyring.
// The error may have several lines, "file:LINE: problem".
func ParseRules(file regularfile.File, source identity.Source) (rules.Document, error) {
	if file.Err != nil {
		return rules.Document{}, readError(file)
	}
	return parseRules(file.Name, file.Text, source)
}

// parseRules parses YAML rules.
func parseRules(name string, text []byte, source identity.Source) (rules.Document, error) {
	if err := checkNoKey(text, "YAML rules"); err != nil {
		return rules.Document{}, err
	}
	return rules.Parse(name, text, source)
}

// ParseCases parses a file with test cases for rules. The error may have several lines,
// "file:LINE: problem".
func ParseCases(file regularfile.File) ([]rules.Case, error) {
	if file.Err != nil {
		return nil, readError(file)
	}
	if err := checkNoKey(file.Text, "YAML cases"); err != nil {
		return nil, err
	}
	return rules.ParseCases(file.Name, file.Text)
}

// checkNoKey detects a key in place of YAML, as PEM or base64, because errors of the YAML
// parser quote the text. Base64 contains no colon.
func checkNoKey(text []byte, want string) error {
	if bytes.Contains(text, []byte("-----BEGIN ")) || bytes.Contains(text, []byte("-----END ")) {
		return fmt.Errorf("found PEM, want %s", want)
	}
	if !bytes.Contains(text, []byte(":")) {
		return fmt.Errorf("found no YAML field, want %s", want)
	}
	return nil
}

// readError returns the error of a file that cannot be read. It does not contain a long
// file name, which may be a key in the wrong variable.
func readError(file regularfile.File) error {
	return fmt.Errorf("found %s: %w", quote(file.Name), pathErrorCause(file.Err))
}

// pathErrorCause returns the error inside a [*fs.PathError], which contains no name.
func pathErrorCause(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err
	}
	return err
}
