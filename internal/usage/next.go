package usage

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/certgate/certgate/internal/audit"
	"github.com/certgate/certgate/internal/core/gate"
)

// NextRules has the requests of this process about which the next rules would decide
// differently.
type NextRules struct {
	// Since is when the next rules were loaded.
	Since time.Time
	// Changes is sorted by client and change. It has at most [MaxClients] elements.
	Changes []NextChange
	// Dropped is the number of requests that are not in Changes because it was full.
	Dropped uint64
}

// NextChange counts the requests of a client with one change.
type NextChange struct {
	Client   string
	Change   gate.Change
	Requests uint64
	Last     time.Time
	// RequestID, Method and Path are those of an example, at most a second before Last or
	// the last one before a pause. They are printable ASCII of limited length.
	RequestID, Method, Path string

	example time.Time
}

// nextUse is the use of the next rules. The zero value is that without next rules.
type nextUse struct {
	mu      sync.Mutex
	digest  string // of the next rules, or empty without them
	since   time.Time
	changes map[nextKey]*NextChange
	dropped uint64
}

type nextKey struct {
	client string
	change gate.Change
}

// exampleAge is the time after which another request becomes the example of a change.
const exampleAge = time.Second

// ConfigureNext sets the digest of the next rules, or the empty one if there are none. New
// next rules begin with no requests.
func (s *Store) ConfigureNext(digest string) {
	n := &s.next
	n.mu.Lock()
	defer n.mu.Unlock()
	if digest == n.digest {
		return
	}
	n.digest, n.since, n.changes, n.dropped = digest, s.now().UTC(), map[nextKey]*NextChange{}, 0
}

// observe counts a request of a client with a change. It does not retain rec.
func (n *nextUse) observe(rec *audit.Record, at time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.digest == "" || rec.Client == "" { // a request that began with earlier next rules, or without a client
		return
	}
	c := n.changes[nextKey{rec.Client, rec.Next}]
	if c == nil {
		if len(n.changes) >= MaxClients {
			n.dropped++
			return
		}
		c = &NextChange{Client: strings.Clone(rec.Client), Change: rec.Next}
		n.changes[nextKey{c.Client, c.Change}] = c
	}
	c.Requests++
	if at.After(c.Last) {
		c.Last = at.UTC()
	}
	if at.Sub(c.example) >= exampleAge {
		clean := rec.Sanitized()
		c.example = at
		c.RequestID, c.Method, c.Path = strings.Clone(clean.RequestID), strings.Clone(clean.Method), strings.Clone(clean.Path)
	}
}

// collect returns a copy, or nil without next rules.
func (n *nextUse) collect() *NextRules {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.digest == "" {
		return nil
	}
	copied := &NextRules{Since: n.since, Dropped: n.dropped}
	for _, c := range n.changes {
		copied.Changes = append(copied.Changes, *c)
	}
	slices.SortFunc(copied.Changes, func(a, b NextChange) int {
		return cmp.Or(cmp.Compare(a.Client, b.Client), cmp.Compare(a.Change, b.Change))
	})
	return copied
}
