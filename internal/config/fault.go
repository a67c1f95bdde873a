package config

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Fault describes the error in one variable.
type Fault struct {
	Variable string
	Problem  string // "found …, want …", or the error of the parser of keys or rules
}

// Error contains every fault of an environment, in the order of [Variables].
type Error struct {
	Faults []Fault
}

// Error returns one line for each fault: "VARIABLE: problem", or "VARIABLE:LINE:
// problem" if the variable itself contains the rules.
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

// maxQuote is the length of the longest value that an error quotes, in bytes. It is
// longer than common settings and shorter than any key.
const maxQuote = 64

// quote formats a value for an error. It describes a value that may be a key in the
// wrong variable instead of quoting it.
func quote(s string) string {
	if s == "" {
		return "an empty value"
	}
	if len(s) > maxQuote || strings.Contains(s, "-----") || strings.ContainsAny(s, "\r\n") || !utf8.ValidString(s) {
		return fmt.Sprintf("a text of %d bytes", len(s))
	}
	return strconv.Quote(s)
}
