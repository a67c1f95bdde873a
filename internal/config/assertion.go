package config

import (
	"errors"
	"fmt"

	"github.com/certgate/certgate/internal/core/trust"
	"github.com/certgate/certgate/internal/filewatch/regularfile"
	"github.com/certgate/certgate/internal/proxy/assertion"
)

// ParseAssertionKeys parses the content of the file that ASSERTION_KEY_FILE names, as
// [Load] does. Errors never quote the content.
func ParseAssertionKeys(file regularfile.File, ring *trust.Keyring) ([]assertion.Key, error) {
	switch {
	case file.Err != nil:
		return nil, readError(file)
	case len(file.Text) > maxKeyFile:
		return nil, fmt.Errorf("found %s: more than %d bytes", quote(file.Name), maxKeyFile)
	}
	keys, err := assertion.ParseKeys(file.Text)
	if err != nil {
		return nil, err
	}
	return keys, CheckSeparate(keys, ring)
}

// CheckSeparate returns an error if an assertion key is an anchor. The gateway must not
// have the private key of an anchor, because a program that steals it could issue
// certificates.
func CheckSeparate(keys []assertion.Key, ring *trust.Keyring) error {
	for _, anchor := range ring.Anchors() {
		for _, key := range keys {
			if key.ID() == anchor.ID() {
				return fmt.Errorf("found the key %s as master key and as assertion key, want an assertion key with no other purpose", key.ID().Short())
			}
		}
	}
	return nil
}

// Signer returns a signer of assertions, or nil if they are not configured. It does not
// change with the configuration: after a reload the caller requests another one.
func (c Config) Signer() (*assertion.Signer, error) {
	if len(c.AssertionKeys) == 0 {
		return nil, nil //nolint:nilnil // a nil Signer makes no assertions
	}
	return assertion.New(assertion.Options{
		Keys: c.AssertionKeys, Issuer: c.AssertionIssuer, Audience: c.AssertionAudience, Bind: c.AssertionBind,
	})
}

// loadAssertions sets the fields of c for assertions. The keyring of c must be set.
func (l *loader) loadAssertions(v variables, c *Config) {
	c.AssertionKeyFile, c.AssertionBind = string(v.AssertionKeyFile), v.AssertionBind.request
	c.AssertionIssuer, c.AssertionAudience = string(v.AssertionIssuer), string(v.AssertionAudience)
	const variable = "ASSERTION_KEY_FILE"
	if v.AssertionKeyFile == "" { // not set, or parse has added a fault
		return
	}
	file := l.readFile(v.AssertionKeyFile, maxKeyFile)
	keys, err := ParseAssertionKeys(file, c.Keyring)
	switch {
	case file.Err != nil:
		spec := l.findSpec(func(spec variableSpec) bool { return spec.Name == variable })
		l.addFault(variable, err.Error()+", want "+spec.want)
	case err != nil:
		l.addFault(variable, err.Error())
	}
	c.AssertionKeys = keys
}

// checkAssertions adds a fault if the keys are configured without the claims that a
// verifier needs.
func (l *loader) checkAssertions(v variables) {
	if v.AssertionKeyFile == "" {
		return
	}
	for name, value := range map[string]assertionName{"ASSERTION_ISSUER": v.AssertionIssuer, "ASSERTION_AUDIENCE": v.AssertionAudience} {
		if value == "" && !l.hasFault(name) {
			l.addMissing(l.findSpec(func(spec variableSpec) bool { return spec.Name == name }))
		}
	}
}

// assertionsWithoutKey returns the names of the variables that have no effect because
// there is no key.
func (v *variables) assertionsWithoutKey() (names []string) {
	if v.AssertionKeyFile != "" {
		return nil
	}
	if v.AssertionIssuer != "" {
		names = append(names, "ASSERTION_ISSUER")
	}
	if v.AssertionAudience != "" {
		names = append(names, "ASSERTION_AUDIENCE")
	}
	if v.AssertionBind.request {
		names = append(names, "ASSERTION_BIND")
	}
	return names
}

func assertionKeyIDs(keys []assertion.Key) (ids []string) {
	for _, key := range keys {
		ids = append(ids, key.ID().String())
	}
	return ids
}

// assertionName is an issuer or an audience. Verifiers compare it byte for byte.
type assertionName string

const maxAssertionName = 255

func (n *assertionName) UnmarshalText(text []byte) error {
	if len(text) > maxAssertionName {
		return errors.New(quote(string(text)))
	}
	for _, c := range text {
		if c <= ' ' || c > '~' {
			return errors.New(quote(string(text)))
		}
	}
	*n = assertionName(text)
	return nil
}

// assertionBind selects whether assertions are bound to requests.
type assertionBind struct {
	request bool
}

func (b *assertionBind) UnmarshalText(text []byte) error {
	switch string(text) {
	case "off":
		b.request = false
	case "request":
		b.request = true
	default:
		return errors.New(quote(string(text)))
	}
	return nil
}
