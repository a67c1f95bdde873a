package identity

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/certgate/certgate/internal/core/trust"
)

// Scope restricts the names that one anchor may issue.
type Scope struct {
	// Key is the id of the anchor's key: its first 16 hex digits or all 64.
	Key string
	// Source is the source of the names, or "" for the source of the [Reader].
	Source Source
	// Clients are the names: exact names, or beginnings of names that end in "*". Nil
	// permits every name.
	Clients []string
}

// ScopeError is one error in the input of [NewReader].
type ScopeError struct {
	Index int    // of the scope, from 0
	Field string // "key", "identity" or "clients"
	Item  int    // index of the client, or -1 for the field as a whole
	// Problem describes what was wanted and found. It quotes at most 80 characters of
	// the input.
	Problem string
}

// Error returns the position, such as anchors[0].clients[1], and the problem.
func (e *ScopeError) Error() string {
	place := "anchors[" + strconv.Itoa(e.Index) + "]." + e.Field
	if e.Item >= 0 {
		place += "[" + strconv.Itoa(e.Item) + "]"
	}
	return place + ": " + e.Problem
}

// scope is a valid Scope. It is immutable.
type scope struct {
	key      []byte // the first 8 bytes of the key id, or all 32
	source   Source
	every    bool // whether every name is permitted
	exact    map[string]struct{}
	prefixes []string // without "*"
	clients  []string // as configured
}

// applies reports whether the scope is that of the key.
func (s *scope) applies(id trust.KeyID) bool { return bytes.HasPrefix(id[:], s.key) }

// permits reports whether the name, read from the source, is in the scope.
func (s *scope) permits(source Source, name string) bool {
	if source != s.source {
		return false
	}
	_, found := s.exact[name]
	return found || s.every || slices.ContainsFunc(s.prefixes, func(prefix string) bool { return strings.HasPrefix(name, prefix) })
}

// newScope returns a valid scope or its errors.
func newScope(index int, s Scope, inherited Source) (*scope, []error) {
	var faults []error
	fault := func(field string, item int, err error) {
		if err != nil {
			faults = append(faults, &ScopeError{index, field, item, err.Error()})
		}
	}
	valid := &scope{source: s.Source, every: s.Clients == nil, exact: map[string]struct{}{}, clients: slices.Clone(s.Clients)}
	var err error
	valid.key, err = parseKey(s.Key)
	fault("key", -1, err)
	if s.Source == "" {
		valid.source = inherited
	}
	if _, err := ParseSource(string(valid.source)); err != nil {
		fault("identity", -1, err)
		return nil, faults // the syntax of the names depends on the source
	}
	if s.Clients != nil && len(s.Clients) == 0 {
		fault("clients", -1, errors.New("want at least one name, or no field clients for every name, found none"))
	}
	for i, name := range s.Clients {
		fault("clients", i, valid.add(name))
	}
	return valid, faults
}

// add adds one name or pattern.
func (s *scope) add(name string) error {
	prefix, isPrefix := strings.CutSuffix(name, "*")
	switch {
	case name == "*":
		return errors.New(`want a name, or the beginning of one before "*", found only "*": without the field clients every name is permitted`)
	case strings.Contains(prefix, "*"):
		return fmt.Errorf(`client %.40q: want "*" at the end only`, name)
	case isPrefix:
		if err := s.source.CheckPrefix(prefix); err != nil {
			return fmt.Errorf("client %.40q: %w", name, err)
		}
		s.prefixes = append(s.prefixes, prefix)
		return nil
	}
	if err := s.source.CheckName(name); err != nil {
		return fmt.Errorf("client %.40q: %w", name, err)
	}
	s.exact[name] = struct{}{}
	return nil
}

// shortKey is the length in bytes of a short key id.
const shortKey = 8

// parseKey returns the bytes of a key id or of its beginning.
func parseKey(text string) ([]byte, error) {
	key, err := hex.DecodeString(text)
	if err != nil || len(key) != shortKey && len(key) != len(trust.KeyID{}) {
		return nil, fmt.Errorf("want the id of a key as certgate keys prints it, 16 or 64 hex digits, found %.80q", text)
	}
	return key, nil
}
