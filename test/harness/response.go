package harness

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

// Response is an HTTP response.
type Response struct {
	Status int
	Header http.Header
	Body   string
}

// Problem is a problem document of RFC 9457.
type Problem struct {
	Type      string `json:"type"`
	Title     string `json:"title"`
	Detail    string `json:"detail"`
	Status    int    `json:"status"`
	Reason    string `json:"reason"`
	RequestID string `json:"request_id"`
}

// Problem parses the body as a problem document.
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

// HeaderValues returns the values of all fields whose name a service could treat as equal to
// the given name: letter case is ignored, and all characters except letters and digits are
// equal.
func HeaderValues(head []string, name string) []string {
	var values []string
	for _, line := range head[1:] {
		if n, value, _ := strings.Cut(line, ":"); foldName(n) == foldName(name) {
			values = append(values, strings.TrimSpace(value))
		}
	}
	return values
}

// foldName returns the common form of all spellings of a field name.
func foldName(name string) string {
	return strings.Map(func(c rune) rune {
		if 'a' <= c && c <= 'z' || '0' <= c && c <= '9' {
			return c
		}
		return '-'
	}, strings.ToLower(name))
}
