// Package certcache caches verified certificates.
//
// Parsing and verifying a certificate takes tens of microseconds, a cache hit a fraction
// of one. The key is the header value itself, byte for byte, so hash collisions cannot return
// another client, and a value that was never verified is never returned. A cache belongs to one
// set of anchors and revocations: a reload creates a new, empty [Cache]. An entry is used only
// while the clock is inside the validity period that the verification returned.
package certcache

import (
	"strings"
	"sync"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/certgate/certgate/internal/core/gate"
)

const (
	// maxBytes is the approximate limit of the cache's memory.
	maxBytes = 128 << 20
	// perEntry is the memory of a parsed certificate without its header value.
	perEntry = 6 << 10
	// maxSpellings is the number of cached header values of one certificate. A client can
	// encode its certificate in many ways and must not evict other clients with them.
	maxSpellings = 4
)

// Cache is a [gate.Identifier] that caches the successful results of another identifier. It
// is safe for concurrent use; create one with [New]. Refusals are never cached, because a
// sender could fill the cache with different invalid values.
type Cache struct {
	inner   gate.Identifier
	recents recents
	cache   *otter.Cache[string, *entry]

	mu        sync.Mutex
	spellings map[string]int // number of cached values by certificate fingerprint
}

// entry is a cached result. It is immutable.
type entry struct {
	value       string
	isPrintable bool // value is printable ASCII
	result      gate.Identification
}

// newEntry copies the value, because it shares memory with the request's whole header.
func newEntry(value string, result gate.Identification) *entry {
	unprintable := func(c rune) bool { return c < ' ' || c > '~' }
	return &entry{strings.Clone(value), !strings.ContainsFunc(value, unprintable), result}
}

// New returns an empty cache in front of inner, which is required.
func New(inner gate.Identifier) *Cache { return newCache(inner, maxBytes) }

func newCache(inner gate.Identifier, maxBytes uint64) *Cache {
	c := &Cache{inner: inner, spellings: map[string]int{}}
	c.cache = otter.Must(&otter.Options[string, *entry]{
		MaximumWeight: maxBytes,
		Weigher: func(key string, _ *entry) uint32 {
			return uint32(len(key) + perEntry) //nolint:gosec // a header value is far shorter than 4 GiB
		},
		OnAtomicDeletion: func(e otter.DeletionEvent[string, *entry]) { c.uncountSpelling(e.Value.result) },
	})
	return c
}

// Identify returns the cached result of a claim with one header value, or calls the inner identifier.
func (c *Cache) Identify(claim gate.Claim, now time.Time) gate.Identification {
	if len(claim.Values) != 1 {
		return c.inner.Identify(claim, now)
	}
	value := claim.Values[0]
	if e, ok := c.recents.get(value, now); ok {
		return e.result
	}
	if e, ok := c.cache.GetIfPresent(value); ok {
		if e.result.Certificate.ValidAt(now) {
			c.recents.put(e)
			return e.result
		}
		// An expired entry must not count as a spelling.
		c.cache.Invalidate(value)
	}
	result := c.inner.Identify(claim, now)
	if result.Err == nil && c.countSpelling(result) {
		e := newEntry(value, result)
		c.cache.Set(e.value, e)
	}
	return result
}

// countSpelling counts one more cached value of a certificate and reports whether it may be cached.
func (c *Cache) countSpelling(result gate.Identification) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	fingerprint := result.Certificate.Fingerprint()
	if c.spellings[fingerprint] >= maxSpellings {
		return false
	}
	c.spellings[fingerprint]++
	return true
}

// uncountSpelling undoes countSpelling after an entry was removed.
func (c *Cache) uncountSpelling(result gate.Identification) {
	c.mu.Lock()
	defer c.mu.Unlock()
	fingerprint := result.Certificate.Fingerprint()
	if c.spellings[fingerprint]--; c.spellings[fingerprint] <= 0 {
		delete(c.spellings, fingerprint)
	}
}
