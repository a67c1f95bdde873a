package access

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode"
)

// pattern is one "METHOD /path" of a rule: the segments, and how it ends.
type pattern struct {
	method   string
	segments []segment
	end      ending
}

// segment is a literal, percent-decoded, or with wild a {name} for any one
// segment.
type segment struct {
	literal string
	wild    bool
}

// ending says what may follow the segments of a pattern.
type ending int

const (
	endHere    ending = iota // nothing: "/a"
	endSlash                 // one slash: "/a/{$}"
	endSubtree               // a slash and anything: "/a/" and "/a/{rest...}"
)

// parsePattern reads the syntax of [net/http.ServeMux] without host and with
// the method required. It refuses what ServeMux refuses, a query, the syntax of
// other routers, and a pattern that no accepted Target can match.
func parsePattern(text string) (pattern, error) {
	method, path := text, ""
	if i := strings.IndexAny(text, " \t"); i >= 0 {
		method, path = text[:i], strings.TrimLeft(text[i:], " \t")
	}
	if strings.HasPrefix(method, "/") {
		return pattern{}, errors.New(`want a method before the path, as in "GET /events"`)
	}
	if err := checkMethod(method); err != nil {
		return pattern{}, err
	}
	if !strings.HasPrefix(path, "/") {
		return pattern{}, errors.New(`want a path that begins with "/" behind the method, and no host`)
	}
	if strings.ContainsAny(path, "?#") {
		return pattern{}, errors.New("want a path without query and fragment: rules are about method and path")
	}
	p := pattern{method: method}
	if err := p.parsePath(path[1:]); err != nil {
		return pattern{}, err
	}
	return p, p.checkReachable()
}

func checkMethod(method string) error {
	if err := checkOneMethod(method); err != nil {
		return err
	}
	if method == "CONNECT" || method == "TRACE" {
		return fmt.Errorf("want a method other than %s, which is never forwarded", method)
	}
	if method == "" || strings.Trim(method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-") != "" {
		return fmt.Errorf("want a method in capital letters such as GET, found %.20q", method)
	}
	return nil
}

// parsePath reads what follows the first slash.
func (p *pattern) parsePath(rest string) error {
	var names []string
	for {
		text, tail, more := strings.Cut(rest, "/")
		if text == "" && !more {
			p.end = endSubtree // a final slash
			return nil
		}
		if !strings.Contains(text, "{") {
			if err := checkForeign(text); err != nil {
				return err
			}
			p.segments = append(p.segments, segment{literal: unescape(text)})
		} else {
			name, end, err := parseWildcard(text)
			if err != nil {
				return err
			}
			if slices.Contains(names, name) {
				return fmt.Errorf("want each wildcard name once, found {%.20s} again", name)
			}
			names = append(names, name)
			if end != endHere {
				p.end = end
				return wantLast(text, more)
			}
			p.segments = append(p.segments, segment{wild: true})
		}
		if !more {
			return nil
		}
		rest = tail
	}
}

func wantLast(text string, more bool) error {
	if more {
		return fmt.Errorf("want %.20s at the end of the path only", text)
	}
	return nil
}

// parseWildcard reads {name}, {name...} and {$}.
func parseWildcard(text string) (name string, end ending, err error) {
	if text == "{$}" {
		return "$", endSlash, nil
	}
	if text[0] != '{' || text[len(text)-1] != '}' {
		return "", endHere, fmt.Errorf("want a wildcard that is a whole segment such as {id}, found %.40q", text)
	}
	name, isRest := strings.CutSuffix(text[1:len(text)-1], "...")
	if !isIdentifier(name) {
		return "", endHere, fmt.Errorf("want a wildcard name that is an identifier such as {id}, found %.40q", text)
	}
	if isRest {
		return name, endSubtree, nil
	}
	return name, endHere, nil
}

func isIdentifier(name string) bool {
	for i, r := range name {
		if !unicode.IsLetter(r) && r != '_' && (i == 0 || !unicode.IsDigit(r)) {
			return false
		}
	}
	return name != ""
}

// unescape decodes a literal as ServeMux does: a literal with an invalid escape is unchanged.
func unescape(literal string) string {
	if decoded, err := url.PathUnescape(literal); err == nil {
		return decoded
	}
	return literal
}

// checkReachable looks for a Target that the pattern matches, by making one.
func (p *pattern) checkReachable() error {
	var example strings.Builder
	for _, s := range p.segments {
		example.WriteByte('/')
		if s.wild {
			example.WriteByte('x')
		} else {
			example.WriteString(url.PathEscape(s.literal))
		}
	}
	if p.end != endHere {
		example.WriteByte('/')
	}
	if _, err := parseTarget(example.String()); err != nil {
		return fmt.Errorf("want a path that a request can have: %w", err)
	}
	return nil
}
