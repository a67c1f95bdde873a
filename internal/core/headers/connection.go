package headers

import (
	"fmt"
	"strings"
)

// MaxConnectionOptions bounds the elements of all Connection fields of a message,
// empty elements included.
const MaxConnectionOptions = 64

// Options is the set of names that the Connection fields of a message list
// (RFC 9110, section 7.6.1). The zero value is the empty set.
type Options struct{ folded map[string]struct{} }

// ParseConnection parses the values of the Connection fields of one message. Its time
// is linear in their length. It returns an error if they list more than
// [MaxConnectionOptions] elements.
func ParseConnection(values []string) (Options, error) {
	elements := 0
	for _, value := range values {
		elements++
		if !namesNoField(value) {
			elements += strings.Count(value, ",")
		}
	}
	if elements > MaxConnectionOptions {
		return Options{}, fmt.Errorf("want at most %d options in Connection, found %d", MaxConnectionOptions, elements)
	}
	var o Options
	for _, value := range values {
		if !namesNoField(value) {
			o.add(value)
		}
	}
	return o, nil
}

// namesNoField reports whether a value is one of those of nearly every message.
func namesNoField(value string) bool { return value == "keep-alive" || value == "close" }

func (o *Options) add(value string) {
	if o.folded == nil {
		o.folded = make(map[string]struct{})
	}
	for option := range strings.SplitSeq(value, ",") {
		o.folded[Fold(strings.Trim(option, " \t"))] = struct{}{}
	}
}

// List reports whether the fields list a name that [Fold] maps to the same form as name.
func (o Options) List(name string) bool {
	if len(o.folded) == 0 {
		return false
	}
	_, listed := o.folded[Fold(name)]
	return listed
}
