package access

import (
	"fmt"
	"strings"
)

// checkOneMethod refuses the ways in which other routers write several methods.
// Read as a method, such a word would never match a request.
func checkOneMethod(method string) error {
	if method == "*" || method == "ANY" || method == "ALL" || strings.ContainsAny(method, ",|") {
		return fmt.Errorf("want one method such as GET, found %.20q: write a pattern for each method", method)
	}
	return nil
}

// checkForeign refuses a segment in the syntax of another router and names the
// spelling that is meant. [net/http.ServeMux] would compare it literally, so that
// the rule would load and never match. A literal of this form is written with
// percent-encoding.
func checkForeign(segment string) error {
	inner := func(open, end string) (string, bool) {
		rest, ok := strings.CutPrefix(segment, open)
		name, closed := strings.CutSuffix(rest, end)
		return name, ok && closed
	}
	if strings.Contains(segment, "*") {
		return checkStar(segment)
	}
	if name, ok := inner(":", ""); ok {
		return foreign("{"+nameOf(name)+"}", segment, "a literal : at the start is written %3A")
	}
	if name, ok := inner("[...", "]"); ok {
		return foreign("{"+nameOf(name)+"...} for all that follow", segment, "literal brackets are written %5B and %5D")
	}
	if name, ok := inner("[", "]"); ok {
		return foreign("{"+nameOf(name)+"}", segment, "literal brackets are written %5B and %5D")
	}
	if name, ok := inner("<", ">"); ok {
		_, after, converted := strings.Cut(name, ":") // a converter, as in <int:id>
		if converted {
			name = after
		}
		return foreign("{"+nameOf(name)+"}", segment, "literal < and > are written %3C and %3E")
	}
	if strings.ContainsAny(segment, "<>") {
		return foreign("{id}", segment, "literal < and > are written %3C and %3E")
	}
	return nil
}

func checkStar(segment string) error {
	const literal = "a literal * is written %2A"
	name, leads := strings.CutPrefix(segment, "*")
	switch {
	case segment == "*":
		return foreign("{name} for one segment or {rest...} for all that follow", segment, literal)
	case segment == "**":
		return foreign("{rest...} for all that follow", segment, literal)
	case leads && isIdentifier(name):
		return foreign("{"+nameOf(name)+"...} for all that follow", segment, literal)
	default:
		return foreign("a wildcard that is a whole segment such as {name}", segment, literal)
	}
}

func foreign(want, segment, literal string) error {
	return fmt.Errorf("want %s, found %.40q of another router; %s", want, segment, literal)
}

// nameOf returns the name for a wildcard: the other router's, if ServeMux takes it.
func nameOf(name string) string {
	if isIdentifier(name) && len(name) <= 20 {
		return name
	}
	return "id"
}
