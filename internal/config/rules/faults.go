package rules

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/certgate/certgate/internal/core/identity"
)

// MaxFaults is the maximum number of faults in an error of [Parse].
const MaxFaults = 20

// maxElements limits the number of elements of a document, such as fields and list
// items, estimated from its text. A document of single characters and commas would
// otherwise take a hundred times its size in memory. A rule with two clients and two
// patterns has 11 elements.
const maxElements = 500_000

// reader parses a document and collects its faults.
type reader struct {
	want    string   // the fields of the document, for errors
	faults  []*Error // the first ones, in the order of lines
	omitted int      // number of faults that are not in the list

	source  identity.Source   // of anchors that the document does not list
	sources []identity.Source // in use: source and those of listed anchors
	groups  map[string]*group // by name
	named   []namedClient     // every client in a rule, with its first line
	seen    map[string]bool   // the names in named
}

// addFault adds a fault. Faults after the first MaxFaults, by line, are only counted.
func (r *reader) addFault(line int, format string, args ...any) {
	line = max(line, 1)
	place, _ := slices.BinarySearchFunc(r.faults, line+1, func(e *Error, line int) int { return cmp.Compare(e.Line, line) })
	if place == MaxFaults {
		r.omitted++
		return
	}
	r.faults = slices.Insert(r.faults, place, &Error{Line: line, Problem: fmt.Sprintf(format, args...)})
	if len(r.faults) > MaxFaults {
		r.faults = r.faults[:MaxFaults]
		r.omitted++
	}
}

// err returns the joined faults, or nil.
func (r *reader) err(name string) error {
	var all []error
	for _, fault := range r.faults {
		fault.Name = name
		all = append(all, fault)
	}
	if r.omitted > 0 {
		all = append(all, fmt.Errorf("%s: %d more faults", name, r.omitted))
	}
	return errors.Join(all...)
}

// checkSize adds a fault if a text may have more than maxElements elements. It counts
// the YAML indicators, because each element except the first needs one. The count
// includes the same characters in strings and comments.
func (r *reader) checkSize(text []byte) bool {
	count := 0
	for i, c := range text {
		switch c {
		case '\n', ',', '[', '{':
			count++
		case ':', '-', '?': // an indicator only before a separator
			if i+1 == len(text) || text[i+1] <= ' ' || text[i+1] >= 0x80 || strings.IndexByte(`,[]{}"'`, text[i+1]) >= 0 {
				count++
			}
		}
	}
	if count > maxElements {
		r.addFault(1, "want at most %d fields and list items, found about %d", maxElements, count)
		return false
	}
	return true
}
