// Package usage keeps an inventory of the clients, keys and rules that are in use, and of
// the latest refusals.
//
// The inventory is bounded: only clients whose certificate an anchor signed have an entry,
// and at most [MaxClients]. The client that was not seen for the longest time is dropped
// first.
package usage

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/certgate/certgate/internal/audit"
)

const (
	// MaxClients is the largest number of clients in the inventory.
	MaxClients = 10_000
	// MaxRefusals is the largest number of refusals in the inventory.
	MaxRefusals = 200
)

// Options configures a [Store].
type Options struct {
	Now func() time.Time
}

// Store is the inventory. It is safe for concurrent use.
type Store struct {
	now   func() time.Time
	since time.Time

	mu       sync.Mutex
	clients  map[string]*Client
	refusals []Refusal
	keys     []Key
	rules    []Rule
}

// New returns an empty inventory. The observation begins now.
func New(o Options) *Store {
	return &Store{now: o.Now, since: o.Now(), clients: map[string]*Client{}}
}

// Configure sets the keys and rules in force. The use of keys and rules that were in force
// before is kept.
func (s *Store) Configure(keys, rules []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys = keep(s.keys, keys, func(k Key) string { return k.ID }, func(id string) Key { return Key{ID: id, Since: s.now()} })
	s.rules = keep(s.rules, rules, func(r Rule) string { return r.Name }, func(name string) Rule { return Rule{Name: name} })
}

func keep[T any](old []T, names []string, nameOf func(T) string, create func(string) T) (list []T) {
	for _, name := range names {
		if i := slices.IndexFunc(old, func(v T) bool { return nameOf(v) == name }); i >= 0 {
			list = append(list, old[i])
			continue
		}
		list = append(list, create(name))
	}
	return list
}

// Observe counts a request. It does not retain rec.
func (s *Store) Observe(rec *audit.Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := rec.Time
	if at.IsZero() {
		at = s.now()
	}
	if rec.Decision != audit.Allowed {
		s.refuse(rec, at)
	}
	if rec.Client == "" {
		return
	}
	c := s.clients[rec.Client]
	if c == nil {
		c = &Client{Name: rec.Client}
		s.clients[rec.Client] = c
	}
	c.LastSeen = at
	if rec.Decision != audit.Allowed {
		c.Refused, c.LastRefusal, c.LastReason = c.Refused+1, at, rec.Reason
		return
	}
	c.Allowed++
}

func (s *Store) refuse(rec *audit.Record, at time.Time) {
	r := Refusal{Time: at, Surface: rec.Surface, Client: rec.Client, Status: rec.Status, Reason: rec.Reason}
	s.refusals = append(s.refusals, r)
	if len(s.refusals) > MaxRefusals {
		s.refusals = s.refusals[1:]
	}
}

// Snapshot returns a copy of the inventory.
func (s *Store) Snapshot() Snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	snap := Snapshot{Time: s.now(), Since: s.since, Keys: slices.Clone(s.keys), Rules: slices.Clone(s.rules), Replicas: 1}
	snap.Refusals = slices.Clone(s.refusals)
	slices.Reverse(snap.Refusals)
	for _, c := range s.clients {
		snap.Clients = append(snap.Clients, *c)
	}
	slices.SortFunc(snap.Clients, func(a, b Client) int { return cmp.Compare(a.Name, b.Name) })
	return snap
}
