package simulation

import (
	"strings"

	"github.com/certgate/certgate/internal/core/access"
)

// route returns the path of the pattern that a request matches, or else its path with
// placeholders.
func (r *Replay) route(method string, t access.Target) string {
	if pattern := r.routes.Find(method, t); pattern != "" {
		return pattern
	}
	return withoutIDs(t.Path())
}

// withoutIDs replaces segments that are probably identifiers by {id}, so that a report has one
// route for them: numbers, and segments of eight characters or more with a digit.
func withoutIDs(path string) string {
	if !strings.ContainsAny(path, "0123456789") {
		return path
	}
	segments := strings.Split(path, "/")
	for i, s := range segments {
		digits := 0
		for _, c := range []byte(s) {
			if '0' <= c && c <= '9' {
				digits++
			}
		}
		if digits > 0 && (digits == len(s) || len(s) >= 8) {
			segments[i] = "{id}"
		}
	}
	return strings.Join(segments, "/")
}
