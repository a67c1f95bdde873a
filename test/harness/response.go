package harness

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

// Response is what came back.
type Response struct {
	Status int
	Header http.Header
	Body   string
}

// Problem is an RFC 9457 answer.
type Problem struct {
	Type      string `json:"type"`
	Title     string `json:"title"`
	Detail    string `json:"detail"`
	Status    int    `json:"status"`
	Reason    string `json:"reason"`
	RequestID string `json:"request_id"`
}

func (a Response) Problem(t *testing.T) Problem {
	t.Helper()
	if found := a.Header.Get("Content-Type"); found != "application/problem+json" {
		t.Fatalf("want a problem, found status %d and %q", a.Status, found)
	}
	var p Problem
	decoder := json.NewDecoder(strings.NewReader(a.Body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&p); err != nil {
		t.Fatalf("want a problem, found %.200q: %v", a.Body, err)
	}
	return p
}

// HeaderValues returns the values of all fields whose name some service could take for
// the given one: case does not count, and every character that is no letter or digit
// is the same.
func HeaderValues(head []string, name string) []string {
	var values []string
	for _, line := range head[1:] {
		if n, value, _ := strings.Cut(line, ":"); foldName(n) == foldName(name) {
			values = append(values, strings.TrimSpace(value))
		}
	}
	return values
}

// foldName maps all spellings of a field name to one.
func foldName(name string) string {
	return strings.Map(func(c rune) rune {
		if 'a' <= c && c <= 'z' || '0' <= c && c <= '9' {
			return c
		}
		return '-'
	}, strings.ToLower(name))
}
