package rules

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// load is the root of the only document, or nil after a fault. Nodes are read
// and not Go values, because nodes have lines and the scalars' own text, and
// because nothing is expanded, so that an alias bomb stays its own size.
func (r *reader) load(text []byte) *yaml.Node {
	if !r.checkText(text) || !r.checkSize(text) {
		return nil
	}
	loader, err := yaml.NewLoader(bytes.NewReader(text))
	if err != nil {
		r.loadError(err)
		return nil
	}
	var first, second yaml.Node
	if err := loader.Load(&first); err != nil {
		r.loadError(err)
		return nil
	}
	// Whatever follows the first document would be ignored, and with it rules.
	switch err := loader.Load(&second); {
	case err == nil:
		r.fault(second.Line, "want one YAML document, found a second")
	case !errors.Is(err, io.EOF):
		r.loadError(err)
	}
	if first.Kind != yaml.DocumentNode || len(first.Content) != 1 || isNull(first.Content[0]) {
		r.fault(1, "want the fields rules and deny, found nothing")
		return nil
	}
	return first.Content[0]
}

// checkText refuses what is no text, for which the YAML library has no line,
// and UTF-16, which it would accept.
func (r *reader) checkText(text []byte) bool {
	for i := 0; i < len(text); {
		c, size := utf8.DecodeRune(text[i:])
		if c == utf8.RuneError && size == 1 || c < ' ' && !strings.ContainsRune("\t\r\n", c) || c == 0x7f {
			r.fault(1+bytes.Count(text[:i], []byte("\n")), "want text in UTF-8, found byte 0x%02x", text[i])
			return false
		}
		i += size
	}
	return true
}

func (r *reader) loadError(err error) {
	if errors.Is(err, io.EOF) {
		r.fault(1, "want the fields rules and deny, found nothing")
		return
	}
	line, problem := 1, err.Error()
	if e, ok := errors.AsType[*yaml.LoadError](err); ok {
		line, problem = e.Mark.Line, e.Message
	}
	r.fault(line, "want YAML: %.80s", problem)
}

// pair is one field of a mapping; the zero value is an absent one.
type pair struct{ key, value *yaml.Node }

// mapping is the fields of a mapping that has only known fields, each at most
// once. Unknown and repeated ones are faults, and the rest is returned.
func (r *reader) mapping(n *yaml.Node, want string, known ...string) (map[string]pair, bool) {
	if !r.isPlain(n) {
		return nil, false
	}
	if n.Kind != yaml.MappingNode {
		r.fault(n.Line, "want %s, found %s", want, describe(n))
		return nil, false
	}
	fields := map[string]pair{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if !r.isPlain(key) {
			continue
		}
		if key.Kind != yaml.ScalarNode || !slices.Contains(known, key.Value) {
			r.fault(key.Line, "want only the fields %s, found %s", strings.Join(known, ", "), describe(key))
			continue
		}
		if earlier, ok := fields[key.Value]; ok {
			r.fault(key.Line, "want the field %s once, found it again after line %d", key.Value, earlier.key.Line)
			continue
		}
		fields[key.Value] = pair{key, value}
	}
	return fields, true
}

// sequence is the elements of a list.
func (r *reader) sequence(n *yaml.Node, want string) ([]*yaml.Node, bool) {
	if !r.isPlain(n) {
		return nil, false
	}
	if n.Kind != yaml.SequenceNode {
		r.fault(n.Line, "want %s, found %s", want, describe(n))
		return nil, false
	}
	return n.Content, true
}

// scalar is the text of a scalar as it is written, whatever type YAML sees in
// it, but not null and not empty.
func (r *reader) scalar(n *yaml.Node, want string) (string, bool) {
	if !r.isPlain(n) {
		return "", false
	}
	if n.Kind != yaml.ScalarNode || isNull(n) || n.Value == "" {
		r.fault(n.Line, "want %s, found %s", want, describe(n))
		return "", false
	}
	return n.Value, true
}

// isPlain refuses what makes a value mean more than it shows.
func (r *reader) isPlain(n *yaml.Node) bool {
	switch {
	case n.Kind == yaml.AliasNode:
		r.fault(n.Line, "want the value itself, found the alias *%.40s", n.Value)
	case n.Anchor != "":
		r.fault(n.Line, "want no anchors, found &%.40s", n.Anchor)
	case n.Style&yaml.TaggedStyle != 0:
		r.fault(n.Line, "want no tags, found %.40q", n.Tag)
	default:
		return true
	}
	return false
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

// describe says what a node is, for people.
func describe(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case isNull(n):
		return "nothing"
	}
	return fmt.Sprintf("%.40q", n.Value)
}
