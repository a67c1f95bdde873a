package config

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/certgate/certgate/internal/core/trust"
	"github.com/certgate/certgate/internal/filewatch/regularfile"
)

// nextVariable contains the next rules, and nextFileVariable names their file.
const (
	nextVariable     = "ACCESS_RULES_NEXT"
	nextFileVariable = "ACCESS_RULES_NEXT_FILE"
)

// HasNoRules reports whether there are no next rules in their file: the file is empty, or it
// does not exist, for example after the next rules were promoted.
func HasNoRules(file regularfile.File) bool {
	return errors.Is(file.Err, fs.ErrNotExist) || file.Err == nil && len(bytes.TrimSpace(file.Text)) == 0
}

// loadNextRules sets the next rules. Faults of the environment are faults of the
// configuration. Faults in the file are listed in NextFaults and do not prevent the start,
// because the next rules have no effect on requests.
func (l *loader) loadNextRules(v variables, c *Config) {
	_, hasInline := l.environ[nextVariable]
	_, hasFile := l.environ[nextFileVariable]
	switch {
	case hasInline && hasFile:
		l.addFault(nextVariable, "found "+nextFileVariable+" as well, want only one of the two")
	case l.isSetEmpty(nextVariable), l.isSetEmpty(nextFileVariable): // parse has added a fault
	case hasInline:
		document, faults := l.parseDocument(nextVariable, regularfile.File{Name: nextVariable, Text: []byte(v.NextRules)}, v, c.Keyring)
		if l.faults = append(l.faults, faults...); faults == nil {
			c.Next = &document
		}
	case hasFile:
		l.loadNextFile(v, c)
	}
}

func (l *loader) loadNextFile(v variables, c *Config) {
	name := string(v.NextRulesFile)
	c.NextFile = name
	if filepath.Clean(name) == filepath.Clean(string(v.AccessRulesFile)) {
		l.addFault(nextFileVariable, "found the file of ACCESS_RULES_FILE, want another file: the next rules replace it later")
		return
	}
	if !mayAppear(name) {
		l.addFault(nextFileVariable, fmt.Sprintf("found %s, want the name of a file in an existing folder", quote(name)))
		return
	}
	file := l.readFile(v.NextRulesFile, maxRuleFile)
	c.NextText = file
	switch {
	case HasNoRules(file):
	case file.Err != nil:
		c.NextFaults = []Fault{{nextFileVariable, readError(file).Error() + ", want a readable file"}}
	default:
		document, faults := l.parseDocument(nextFileVariable, file, v, c.Keyring)
		if c.NextFaults = faults; faults == nil {
			c.Next = &document
		}
	}
}

// mayAppear reports whether a file of this name may be created later: its folder exists, and
// [quote] would quote the name instead of hiding it as a possible key in the wrong variable.
// A missing file is not a fault, and its name is logged.
func mayAppear(name string) bool {
	folder, base := filepath.Split(name)
	info, err := os.Stat(cmp.Or(folder, "."))
	return err == nil && info.IsDir() && quote(base) == strconv.Quote(base)
}

// NextDigest returns a digest of the meaning of the next rules, or "" if there are none.
func (c Config) NextDigest() string {
	if c.Next == nil {
		return ""
	}
	return digest(append([]string{c.Next.RulesDigest}, c.Next.Denials...))
}

// NextVerifier returns a verifier as [Config.Verifier] does, with the deny list of the next
// rules. It is nil if there are no next rules, or if they revoke the same certificates as the
// rules in force.
func (c Config) NextVerifier() *trust.Verifier {
	if c.Next == nil || slices.Equal(c.Next.Revocations.Entries(), c.Rules.Revocations.Entries()) {
		return nil
	}
	return c.verifierWith(c.Next.Revocations)
}
