package schedule

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// readObject splits the valid JSON value raw into its members. It reports the
// members that nobody wants, that come twice or that are missing:
// encoding/json would ignore the first, keep the last of the second and match
// names whatever their case, so two readers of one body could see two events.
//
// self names the object itself in a fault, prefix goes before its members.
func readObject(raw json.RawMessage, self, prefix string, want []string) (map[string]json.RawMessage, []Fault) {
	if kind := kindOf(raw); kind != "an object" {
		return nil, []Fault{{self, "want an object, found " + kind}}
	}
	members := map[string]json.RawMessage{}
	var faults []Fault
	for name, value := range eachMember(raw) {
		if !slices.Contains(want, name) {
			faults = append(faults, Fault{prefix + clip(name), "want no such field"})
			continue
		}
		if _, twice := members[name]; twice {
			faults = append(faults, Fault{prefix + name, "want the field once, found it again"})
			continue
		}
		members[name] = value
	}
	for _, name := range want {
		if _, ok := members[name]; !ok {
			faults = append(faults, Fault{prefix + name, "want this field, found none"})
		}
	}
	return members, faults
}

// eachMember walks the members of an object that is already known to be valid
// JSON, so the decoder cannot fail on the way.
func eachMember(raw json.RawMessage) func(yield func(string, json.RawMessage) bool) {
	return func(yield func(string, json.RawMessage) bool) {
		d := json.NewDecoder(bytes.NewReader(raw))
		_, err := d.Token() // the opening brace
		for err == nil && d.More() {
			var key json.Token
			var value json.RawMessage
			if key, err = d.Token(); err != nil {
				return
			}
			if err = d.Decode(&value); err != nil || !yield(fmt.Sprint(key), value) {
				return
			}
		}
	}
}

// readString reads a JSON string; null is not one.
func readString(raw json.RawMessage) (string, error) {
	if kind := kindOf(raw); kind != "a string" {
		return "", errors.New("want a string, found " + kind)
	}
	var s string
	err := json.Unmarshal(raw, &s)
	return s, err
}

// kindOf names the kind of a valid JSON value by its first byte.
func kindOf(raw json.RawMessage) string {
	raw = bytes.TrimLeft(raw, " \t\r\n")
	switch raw[0] {
	case '{':
		return "an object"
	case '[':
		return "an array"
	case '"':
		return "a string"
	case 't', 'f':
		return "a boolean"
	case 'n':
		return "null"
	}
	return "a number"
}

// clip keeps a member's name short enough for an answer.
func clip(name string) string {
	const enough = 60
	if runes := []rune(name); len(runes) > enough {
		return string(runes[:enough]) + "…"
	}
	return name
}
