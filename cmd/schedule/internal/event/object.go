package event

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// readObject returns the members of the valid JSON value raw. Unknown, repeated and
// missing members are faults. encoding/json ignores unknown members, keeps the last of
// repeated ones, and matches names case-insensitively, so another parser could read
// another event from the same body.
//
// In a fault, self is the name of the object, and prefix precedes the names of members.
func readObject(raw json.RawMessage, self, prefix string, want []string) (map[string]json.RawMessage, []Fault) {
	if kind := kindOf(raw); kind != "an object" {
		return nil, []Fault{{self, "want an object, found " + kind}}
	}
	members := map[string]json.RawMessage{}
	var faults []Fault
	for name, value := range eachMember(raw) {
		if !slices.Contains(want, name) {
			faults = append(faults, Fault{prefix + Clip(name), "want no such field"})
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

// eachMember iterates over the members of an object. The object must be valid JSON, so
// that the decoder returns no error.
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

// readString parses a JSON string. null is an error.
func readString(raw json.RawMessage) (string, error) {
	if kind := kindOf(raw); kind != "a string" {
		return "", errors.New("want a string, found " + kind)
	}
	var s string
	err := json.Unmarshal(raw, &s)
	return s, err
}

// kindOf returns the type of a valid JSON value, according to its first byte.
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

// Clip shortens the name of a member for a response.
func Clip(name string) string {
	const limit = 60
	if runes := []rune(name); len(runes) > limit {
		return string(runes[:limit]) + "…"
	}
	return name
}
