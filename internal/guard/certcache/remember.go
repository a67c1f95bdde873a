// Package certcache spares the gateway verifying the same certificate again.
//
// Reading and verifying a certificate costs tens of microseconds, remembering
// it a fraction of one. The header value itself is the key, byte for byte: there
// is no hash that could collide, and a value that was never verified is never
// found. What is remembered belongs to one set of anchors and revocations: new
// ones come with a new [Identifier], which begins empty. And it holds only while
// the clock is inside the period that the verification named.
package certcache

import (
	"strings"
	"sync"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/certgate/certgate/internal/core/gate"
)

const (
	// maxBytes bounds the memory of what is remembered, roughly.
	maxBytes = 128 << 20
	// perEntry is what a parsed certificate takes beside its header value.
	perEntry = 6 << 10
	// maxSpellings is how many spellings of one certificate are remembered. A
	// client can write its certificate in countless ways, and must not push out
	// the others' with that.
	maxSpellings = 4
)

// Identifier remembers what another identifier found. It is safe for concurrent
// use; [New] makes one. Refusals are never remembered: whoever sends something
// else each time would fill the memory with it.
type Identifier struct {
	inner   gate.Identifier
	recents recents
	known   *otter.Cache[string, gate.Identification]

	mu        sync.Mutex
	spellings map[string]int // by fingerprint
}

// New remembers what inner finds. There must be an inner.
func New(inner gate.Identifier) *Identifier { return newIdentifier(inner, maxBytes) }

func newIdentifier(inner gate.Identifier, maxBytes uint64) *Identifier {
	i := &Identifier{inner: inner, spellings: map[string]int{}}
	i.known = otter.Must(&otter.Options[string, gate.Identification]{
		MaximumWeight: maxBytes,
		Weigher: func(key string, _ gate.Identification) uint32 {
			return uint32(len(key) + perEntry) //nolint:gosec // a header value is far shorter than 4 GiB
		},
		OnAtomicDeletion: func(e otter.DeletionEvent[string, gate.Identification]) { i.forget(e.Value) },
	})
	return i
}

// Identify answers from memory where it can.
func (i *Identifier) Identify(claim gate.Claim, now time.Time) gate.Identification {
	if len(claim.Values) != 1 {
		return i.inner.Identify(claim, now)
	}
	value := claim.Values[0]
	if found, ok := i.recents.get(value, now); ok {
		return found
	}
	if found, ok := i.known.GetIfPresent(value); ok {
		if found.Certificate.ValidAt(now) {
			i.recents.put(value, found)
			return found
		}
		// What does not hold any more must not count as one of the spellings.
		i.known.Invalidate(value)
	}
	found := i.inner.Identify(claim, now)
	if found.Err == nil && i.another(found) {
		// A copy: the value is a part of the request's whole header.
		i.known.Set(strings.Clone(value), found)
	}
	return found
}

// another counts one spelling more and reports whether it may be remembered.
func (i *Identifier) another(found gate.Identification) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	fingerprint := found.Certificate.Fingerprint()
	if i.spellings[fingerprint] >= maxSpellings {
		return false
	}
	i.spellings[fingerprint]++
	return true
}

func (i *Identifier) forget(found gate.Identification) {
	i.mu.Lock()
	defer i.mu.Unlock()
	fingerprint := found.Certificate.Fingerprint()
	if i.spellings[fingerprint]--; i.spellings[fingerprint] <= 0 {
		delete(i.spellings, fingerprint)
	}
}
