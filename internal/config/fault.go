package config

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Fault is what is wrong with one variable.
type Fault struct {
	Variable string
	Problem  string // "found …, want …", or what a parser of keys or rules says
}

// Error is every fault of an environment, in the order of [Variables].
type Error struct {
	Faults []Fault
}

// Error is one line for each fault: "VARIABLE: problem", or "VARIABLE:LINE:
// problem" for rules that are in the variable itself.
func (e *Error) Error() string {
	lines := make([]string, len(e.Faults))
	for i, f := range e.Faults {
		lines[i] = f.Variable + ": " + f.Problem
		if strings.HasPrefix(f.Problem, f.Variable+":") {
			lines[i] = f.Problem
		}
	}
	return strings.Join(lines, "\n")
}

// maxQuote is the longest value that an error quotes, in bytes: longer than any
// sensible setting and shorter than any key.
const maxQuote = 64

// quote is a value for an error. What could be a key that landed in the wrong
// variable is described instead.
func quote(s string) string {
	if s == "" {
		return "an empty value"
	}
	if len(s) > maxQuote || strings.Contains(s, "-----") || strings.ContainsAny(s, "\r\n") || !utf8.ValidString(s) {
		return fmt.Sprintf("a text of %d bytes", len(s))
	}
	return strconv.Quote(s)
}
