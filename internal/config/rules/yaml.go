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

// parseYAML returns the root node of the only document, or nil after a fault. The
// parser reads nodes instead of Go values, because nodes have lines and the original
// text of scalars, and because aliases in nodes are not expanded.
func (r *reader) parseYAML(text []byte) *yaml.Node {
	if !r.checkText(text) || !r.checkSize(text) {
		return nil
	}
	loader, err := yaml.NewLoader(bytes.NewReader(text))
	if err != nil {
		r.addYAMLError(err)
		return nil
	}
	var first, second yaml.Node
	if err := loader.Load(&first); err != nil {
		r.addYAMLError(err)
		return nil
	}
	// The rules in a second document would be ignored.
	switch err := loader.Load(&second); {
	case err == nil:
		r.addFault(second.Line, "want one YAML document, found a second")
	case !errors.Is(err, io.EOF):
		r.addYAMLError(err)
	}
	if first.Kind != yaml.DocumentNode || len(first.Content) != 1 || isNull(first.Content[0]) {
		r.addFault(1, "want %s, found nothing", r.want)
		return nil
	}
	return first.Content[0]
}

// checkText adds a fault for control characters and invalid UTF-8, for which the YAML
// library reports no line. UTF-16, which the library accepts, is a fault, too.
func (r *reader) checkText(text []byte) bool {
	for i := 0; i < len(text); {
		c, size := utf8.DecodeRune(text[i:])
		if c == utf8.RuneError && size == 1 || c < ' ' && !strings.ContainsRune("\t\r\n", c) || c == 0x7f {
			r.addFault(1+bytes.Count(text[:i], []byte("\n")), "want text in UTF-8, found byte 0x%02x", text[i])
			return false
		}
		i += size
	}
	return true
}

// addYAMLError adds an error of the YAML library.
func (r *reader) addYAMLError(err error) {
	if errors.Is(err, io.EOF) {
		r.addFault(1, "want %s, found nothing", r.want)
		return
	}
	line, problem := 1, err.Error()
	if e, ok := errors.AsType[*yaml.LoadError](err); ok {
		line, problem = e.Mark.Line, e.Message
	}
	r.addFault(line, "want YAML: %.80s", problem)
}

// mappingField is one field of a mapping. The zero value is an absent field.
type mappingField struct{ key, value *yaml.Node }

// mapping returns the fields of a mapping, except unknown and repeated fields, which are
// faults.
func (r *reader) mapping(n *yaml.Node, want string, known ...string) (map[string]mappingField, bool) {
	list, ok := r.pairs(n, want, func(key *yaml.Node) bool {
		if key.Kind == yaml.ScalarNode && slices.Contains(known, key.Value) {
			return true
		}
		r.addFault(key.Line, "want only the fields %s, found %s", strings.Join(known, ", "), describeNode(key))
		return false
	})
	fields := map[string]mappingField{}
	for _, f := range list {
		fields[f.key.Value] = f
	}
	return fields, ok
}

// pairs returns the fields of a mapping in their order, except repeated fields, which are
// faults, and fields that accept refuses. Accept adds the faults of those fields.
func (r *reader) pairs(n *yaml.Node, want string, accept func(key *yaml.Node) bool) ([]mappingField, bool) {
	if !r.requirePlain(n) {
		return nil, false
	}
	if n.Kind != yaml.MappingNode {
		r.addFault(n.Line, "want %s, found %s", want, describeNode(n))
		return nil, false
	}
	var list []mappingField
	lines := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if !r.requirePlain(key) || !accept(key) {
			continue
		}
		if earlier, ok := lines[key.Value]; ok {
			r.addFault(key.Line, "want the field %s once, found it again after line %d", key.Value, earlier)
			continue
		}
		lines[key.Value] = key.Line
		list = append(list, mappingField{key, value})
	}
	return list, true
}

// sequence returns the elements of a list.
func (r *reader) sequence(n *yaml.Node, want string) ([]*yaml.Node, bool) {
	if !r.requirePlain(n) {
		return nil, false
	}
	if n.Kind != yaml.SequenceNode {
		r.addFault(n.Line, "want %s, found %s", want, describeNode(n))
		return nil, false
	}
	return n.Content, true
}

// scalar returns the text of a scalar, regardless of its YAML type. Null and empty
// scalars are faults.
func (r *reader) scalar(n *yaml.Node, want string) (string, bool) {
	if !r.requirePlain(n) {
		return "", false
	}
	if n.Kind != yaml.ScalarNode || isNull(n) || n.Value == "" {
		r.addFault(n.Line, "want %s, found %s", want, describeNode(n))
		return "", false
	}
	return n.Value, true
}

// requirePlain reports whether a node has no alias, anchor and tag, and adds a fault
// otherwise.
func (r *reader) requirePlain(n *yaml.Node) bool {
	switch {
	case n.Kind == yaml.AliasNode:
		r.addFault(n.Line, "want the value itself, found the alias *%.40s", n.Value)
	case n.Anchor != "":
		r.addFault(n.Line, "want no anchors, found &%.40s", n.Anchor)
	case n.Style&yaml.TaggedStyle != 0:
		r.addFault(n.Line, "want no tags, found %.40q", n.Tag)
	default:
		return true
	}
	return false
}

// isNull reports whether a node is null or empty.
func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

// describeNode describes a node for an error.
func describeNode(n *yaml.Node) string {
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
