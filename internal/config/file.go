package config

import (
	"bytes"
	"errors"
	"io/fs"

	"github.com/certgate/certgate/internal/regularfile"
	"github.com/certgate/certgate/internal/rules"
	"github.com/certgate/certgate/internal/trust"
)

// The largest files that are read, in bytes.
const (
	maxKeyFile  = 1 << 20
	maxRuleFile = regularfile.MaxBytes
)

// ReadKeyring reads the file that AUTH_PUBLIC_KEY_FILE names, as [Load] does,
// for those who watch it. Errors never quote the content.
func ReadKeyring(file string, minRSABits int) (*trust.Keyring, error) {
	text, err := path(file).read(maxKeyFile)
	if err != nil {
		return nil, err
	}
	return trust.ParseKeyring(text, minRSABits)
}

// ReadRules reads the file that ACCESS_RULES_FILE names, as [Load] does, for
// those who watch it. The error may have several lines, "file:LINE: problem".
func ReadRules(file string) (rules.Document, error) {
	text, err := path(file).read(maxRuleFile)
	if err != nil {
		return rules.Document{}, err
	}
	return parseRules(file, text)
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

// readFile reads a whole regular file of at most limit bytes. Errors have the
// system's reason and not the name: a key that was given for a name would be in it.
func readFile(name string, limit int64) ([]byte, error) {
	content, err := regularfile.Read(name, limit)
	if err != nil {
		return nil, reasonOf(err)
	}
	return content.Text, nil
}

func reasonOf(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err
	}
	return err
}
