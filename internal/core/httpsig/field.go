package httpsig

import (
	"strings"

	"github.com/dunglas/httpsfv"

	"github.com/certgate/certgate/internal/core/refusal"
)

// Bounds of what a stranger makes the gateway read.
const (
	maxField = 8 << 10 // bytes of a field, all lines
	maxParts = 256     // what a field may be made of: members, items, parameters, strings
)

// dictionary reads all lines of a field as one dictionary (RFC 9651, section
// 3.2). There is one spelling of it, but for spaces: what is not what serializing
// the value gives is malformed. That is how keys and parameters that occur twice
// are found, of which the parser silently takes the last. It returns that spelling
// as well.
func dictionary(name string, lines []string) (d *httpsfv.Dictionary, only string, err error) {
	raw, err := joined(name, lines)
	if err != nil {
		return nil, "", err
	}
	if d, err = httpsfv.UnmarshalDictionary([]string{raw}); err != nil {
		return nil, "", refusal.New(refusal.ProofMalformed, "want %s to be a dictionary, found %v", name, err)
	}
	if only, err = httpsfv.Marshal(d); err != nil {
		return nil, "", refusal.New(refusal.ProofMalformed, "want %s to have a spelling, found %v", name, err)
	}
	if raw != only && unspaced(raw) != unspaced(only) {
		// Which may be a signature: nothing of it belongs in the log.
		return nil, "", refusal.New(refusal.ProofMalformed, "want %s in its one spelling, without a key or parameter twice, found another of %d bytes", name, len(raw))
	}
	return d, only, nil
}

// joined is the value of the field, bounded before anything is allocated for it.
func joined(name string, lines []string) (string, error) {
	size := 2 * max(len(lines)-1, 0)
	for _, line := range lines {
		size += len(line)
	}
	if size > maxField {
		return "", refusal.New(refusal.ProofMalformed, "want at most %d bytes of %s, found %d", maxField, name, size)
	}
	raw := strings.Join(lines, ", ")
	parts := strings.Count(raw, ",") + strings.Count(raw, ";") + strings.Count(raw, " ") + strings.Count(raw, `"`)/2
	if parts > maxParts {
		return "", refusal.New(refusal.ProofMalformed, "want at most %d parts of %s, found %d", maxParts, name, parts)
	}
	return raw, nil
}

// unspaced is the field without the spaces that are in no string.
func unspaced(field string) string {
	var b strings.Builder
	b.Grow(len(field))
	quoted := false
	for i := 0; i < len(field); i++ {
		c := field[i]
		switch {
		case c == '"':
			quoted = !quoted
		case c == '\\' && quoted && i+1 < len(field):
			b.WriteByte(c)
			i++
			c = field[i]
		case !quoted && (c == ' ' || c == '\t'):
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}

// blank reports a field that is not there, or says nothing.
func blank(lines []string) bool {
	for _, line := range lines {
		if strings.Trim(line, " \t") != "" {
			return false
		}
	}
	return true
}

// firstFew is as much of a stranger's list as belongs in a log line.
func firstFew(names []string) []string { return names[:min(len(names), 4)] }
