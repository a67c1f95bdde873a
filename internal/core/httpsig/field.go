package httpsig

import (
	"strings"

	"github.com/dunglas/httpsfv"

	"github.com/certgate/certgate/internal/core/refusal"
)

// Limits on a field that is parsed before the client is authenticated.
const (
	maxField = 8 << 10 // bytes in all lines of a field
	maxParts = 256     // members, items, parameters and strings in a field
)

// dictionary parses all lines of a field as one dictionary (RFC 9651, section 3.2) and
// returns the dictionary and its canonical serialization. A field that differs from its
// serialization in more than spaces is malformed. This comparison detects duplicate keys
// and parameters, because the parser silently keeps only the last one.
func dictionary(name string, lines []string) (d *httpsfv.Dictionary, canonical string, err error) {
	raw, err := joinLines(name, lines)
	if err != nil {
		return nil, "", err
	}
	if d, err = httpsfv.UnmarshalDictionary([]string{raw}); err != nil {
		return nil, "", refusal.New(refusal.ProofMalformed, "want %s to be a dictionary, found %v", name, err)
	}
	if canonical, err = httpsfv.Marshal(d); err != nil {
		return nil, "", refusal.New(refusal.ProofMalformed, "want %s to be serializable, found %v", name, err)
	}
	if raw != canonical && withoutSpaces(raw) != withoutSpaces(canonical) {
		// The field may contain a signature, so the error does not quote it.
		return nil, "", refusal.New(refusal.ProofMalformed, "want %s in canonical form without duplicate keys or parameters, found another form of %d bytes", name, len(raw))
	}
	return d, canonical, nil
}

// joinLines returns all lines of the field as one value. It checks the size limit before
// it allocates memory.
func joinLines(name string, lines []string) (string, error) {
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

// withoutSpaces returns the field without the spaces and tabs outside quoted strings.
func withoutSpaces(field string) string {
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

// isBlank reports whether the field is absent or contains only spaces and tabs.
func isBlank(lines []string) bool {
	for _, line := range lines {
		if strings.Trim(line, " \t") != "" {
			return false
		}
	}
	return true
}

// firstFew returns the first four names, to limit the length of a log line.
func firstFew(names []string) []string { return names[:min(len(names), 4)] }
