package rules

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// MaxFaults is the number of faults that an error of [Parse] has at most.
const MaxFaults = 20

// maxElements bounds the elements of a document, such as fields and list items,
// as an upper estimate from its text. A text of one character and one comma per
// element would otherwise take a hundred times its size in memory. Rules with two
// clients and two patterns have 11 each.
const maxElements = 500_000

// reader collects faults while it reads.
type reader struct {
	faults []*Error // the first ones, in the order of lines
	more   int      // faults that are not in the list
}

// fault adds a fault. A fault that is later than MaxFaults others is only counted.
func (r *reader) fault(line int, format string, args ...any) {
	line = max(line, 1)
	place, _ := slices.BinarySearchFunc(r.faults, line+1, func(e *Error, line int) int { return cmp.Compare(e.Line, line) })
	if place == MaxFaults {
		r.more++
		return
	}
	r.faults = slices.Insert(r.faults, place, &Error{Line: line, Problem: fmt.Sprintf(format, args...)})
	if len(r.faults) > MaxFaults {
		r.faults = r.faults[:MaxFaults]
		r.more++
	}
}

// err joins the faults, or is nil when there are none.
func (r *reader) err(name string) error {
	var all []error
	for _, fault := range r.faults {
		fault.Name = name
		all = append(all, fault)
	}
	if r.more > 0 {
		all = append(all, fmt.Errorf("%s: %d more faults", name, r.more))
	}
	return errors.Join(all...)
}

// checkSize refuses a text with more elements than maxElements. Each element
// except the first needs one of the indicators that are counted. Characters of
// texts and comments that look like indicators are counted, too.
func (r *reader) checkSize(text []byte) bool {
	count := 0
	for i, c := range text {
		switch c {
		case '\n', ',', '[', '{':
			count++
		case ':', '-', '?': // an indicator only before something that ends a word
			if i+1 == len(text) || text[i+1] <= ' ' || text[i+1] >= 0x80 || strings.IndexByte(`,[]{}"'`, text[i+1]) >= 0 {
				count++
			}
		}
	}
	if count > maxElements {
		r.fault(1, "want at most %d fields and list items, found about %d", maxElements, count)
		return false
	}
	return true
}
