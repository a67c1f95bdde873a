package httpsig

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/certgate/certgate/internal/core/headers"
)

// This file is a fast path. It parses the canonical serialization (RFC 9651, section 4) of
// the fields that nearly every client sends, in one pass and without maps. Each function
// reports false for every other form, valid or not, and the caller then uses the general
// parser, which accepts or refuses it. FuzzCanonical compares the two parsers.

// readCanonical returns the same as parseSignature. It requires that Signature-Input and
// Signature have one member each, that no component has parameters, that the signature has
// only the parameters that certgate reads, and that no string contains an escape.
func readCanonical(h http.Header) (p parsedSignature, ok bool) {
	raw, err := joinLines(headers.SignatureInput, h[headers.SignatureInput])
	if err != nil {
		return parsedSignature{}, false
	}
	label, params, ok := strings.Cut(raw, "=")
	if !ok || !isKey(label) {
		return parsedSignature{}, false
	}
	p.params = params
	r := reader{params}
	if p.covered, ok = r.components(); !ok || !r.parameters(&p.statement) {
		return parsedSignature{}, false
	}
	p.statement.signature, ok = readCanonicalBytes(headers.Signature, h[headers.Signature], label)
	return p, ok
}

// readCanonicalDigest returns the digest of a Content-Digest field that has only sha-256.
func readCanonicalDigest(lines []string) (digests, bool) {
	sum, ok := readCanonicalBytes(headers.ContentDigest, lines, "sha-256")
	return digests{sha256: sum}, ok && len(sum) == sha256.Size
}

// readCanonicalBytes returns the byte sequence of a field with one member, which must have
// the given key.
func readCanonicalBytes(field string, lines []string, key string) ([]byte, bool) {
	raw, err := joinLines(field, lines)
	if err != nil {
		return nil, false
	}
	r := reader{raw}
	if !r.skip(key) || !r.skip("=:") {
		return nil, false
	}
	text, ok := strings.CutSuffix(r.rest, ":")
	if !ok || strings.ContainsAny(text, "\r\n") { // encoding/base64 ignores line breaks
		return nil, false
	}
	value, err := base64.StdEncoding.Strict().DecodeString(text)
	return value, err == nil
}

// reader holds the unread rest of a field. Its methods consume what they read.
type reader struct{ rest string }

// skip reports whether the rest starts with the prefix.
func (r *reader) skip(prefix string) (ok bool) {
	r.rest, ok = strings.CutPrefix(r.rest, prefix)
	return ok
}

// components reads the list of covered components.
func (r *reader) components() ([]component, bool) {
	if !r.skip("(") {
		return nil, false
	}
	covered := make([]component, 0, 8)
	for !r.skip(")") {
		if len(covered) > 0 && !r.skip(" ") {
			return nil, false
		}
		var name string
		if !r.text(&name) || len(covered) == maxComponents {
			return nil, false
		}
		c, ok := newPlainComponent(name)
		if !ok || slices.Contains(covered, c) {
			return nil, false
		}
		covered = append(covered, c)
	}
	return covered, true
}

// parameters reads the parameters of the signature up to the end of the field. Each one may
// occur once, and all except alg are required.
func (r *reader) parameters(s *Statement) bool {
	var tag string
	for r.rest != "" {
		ok := false
		switch {
		case r.skip(";created="):
			ok = r.time(&s.created)
		case r.skip(";expires="):
			ok = r.time(&s.expires)
		case r.skip(";nonce="):
			ok = r.text(&s.nonce)
		case r.skip(";keyid="):
			ok = r.text(&s.keyID)
		case r.skip(";alg="):
			ok = r.text((*string)(&s.algorithm))
			s.hasAlg = true
		case r.skip(";tag="):
			ok = r.text(&tag)
		}
		if !ok {
			return false
		}
	}
	// The lifetime is invalid if created or expires is missing: the zero time is in year 1.
	return s.validLifetime() && s.validNonce() && s.keyID != "" && tag == Tag
}

// text reads a string that is not empty and has no escapes. It reports false if value is set
// already.
func (r *reader) text(value *string) bool {
	if *value != "" || !r.skip(`"`) {
		return false
	}
	end := 0
	for end < len(r.rest) && r.rest[end] >= ' ' && r.rest[end] <= '~' && r.rest[end] != '"' && r.rest[end] != '\\' {
		end++
	}
	*value, r.rest = r.rest[:end], r.rest[end:]
	return end > 0 && r.skip(`"`)
}

// time reads a positive integer of at most 15 digits (RFC 9651, section 3.3.1), in seconds
// since the Unix epoch. It reports false if value is set already.
func (r *reader) time(value *time.Time) bool {
	end := 0
	for end < len(r.rest) && r.rest[end] >= '0' && r.rest[end] <= '9' {
		end++
	}
	if !value.IsZero() || end == 0 || end > 15 || r.rest[0] == '0' {
		return false
	}
	seconds, err := strconv.ParseInt(r.rest[:end], 10, 64)
	*value, r.rest = time.Unix(seconds, 0), r.rest[end:]
	return err == nil
}

// isKey reports whether the text is a key of a dictionary (RFC 9651, section 3.1.2).
func isKey(text string) bool {
	for i := range len(text) {
		c := text[i]
		first := 'a' <= c && c <= 'z' || c == '*'
		if !first && (i == 0 || (c < '0' || c > '9') && c != '_' && c != '-' && c != '.') {
			return false
		}
	}
	return text != ""
}
