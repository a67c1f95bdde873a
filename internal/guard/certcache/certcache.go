// Package certcache caches verified certificates.
//
// Parsing and verifying a certificate takes tens of microseconds, a cache hit one or two.
// The key is the SHA-256 of the header value. A value that was never verified is never
// found, because that would need two values with the same hash, and SHA-256 has a collision
// resistance of 128 bits (NIST SP 800-107, section 4.2). The fingerprints of revoked
// certificates depend on the same property.
//
// A cache belongs to one set of anchors and revocations: a reload creates a new, empty
// [Cache]. An entry is used only while the clock is inside the validity period that the
// verification returned.
package certcache

import (
	"crypto/sha256"
	"strings"
	"sync"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/certgate/certgate/internal/core/gate"
	"github.com/certgate/certgate/internal/core/identity"
)

const (
	// maxBytes is the approximate limit of the cache's memory, enough for more than
	// 100,000 certificates.
	maxBytes = 128 << 20
	// perEntry is the memory of an entry without its client: the node of the cache, its
	// place in the hash table and the counter of spellings.
	perEntry = 256
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
	cache   store
	buffers sync.Pool // of *[]byte, for digestOf

	mu        sync.Mutex
	spellings map[string]int // number of cached values by certificate fingerprint
}

// store is the part of [otter.Cache] that is used. With the type itself in [Cache], the
// compiler would generate all of otter's code again in every package that imports this one.
type store interface {
	GetIfPresent(key digest) (entry, bool)
	Set(key digest, e entry) (entry, bool)
	Invalidate(key digest) (entry, bool)
}

// digest is the SHA-256 of a header value.
type digest [sha256.Size]byte

// digestOf hashes a copy of the value in a reused buffer, because a conversion to bytes
// allocates memory for each request.
func (c *Cache) digestOf(value string) digest {
	buffer, _ := c.buffers.Get().(*[]byte)
	if buffer == nil {
		buffer = new([]byte)
	}
	*buffer = append((*buffer)[:0], value...)
	sum := sha256.Sum256(*buffer)
	c.buffers.Put(buffer)
	return sum
}

// entry is the cached result for one header value. It holds neither the value nor the
// parsed certificate, which would need several times its memory.
type entry struct {
	client      identity.Client
	nextName    string // see [gate.Identification]
	isPrintable bool   // the value is printable ASCII
}

func newEntry(value string, result gate.Identification) entry {
	unprintable := func(c rune) bool { return c < ' ' || c > '~' }
	return entry{result.Client, result.NextName, !strings.ContainsFunc(value, unprintable)}
}

func (e entry) validAt(now time.Time) bool { return e.client.Certificate().ValidAt(now) }

// result returns the identification of the client. Every successful one has this form.
func (e entry) result() gate.Identification {
	return gate.Identification{Last: gate.Identity, Certificate: e.client.Certificate(), Client: e.client, NextName: e.nextName}
}

// weight returns the approximate memory of an entry in bytes.
func weight(_ digest, e entry) uint32 {
	return uint32(perEntry + len(e.client.Name()) + len(e.nextName) + e.client.Certificate().Size()) //nolint:gosec // far below 4 GiB
}

// New returns an empty cache in front of inner, which is required.
func New(inner gate.Identifier) *Cache { return newCache(inner, maxBytes) }

func newCache(inner gate.Identifier, maxBytes uint64) *Cache {
	c := &Cache{inner: inner, spellings: map[string]int{}}
	c.cache = otter.Must(&otter.Options[digest, entry]{
		MaximumWeight:    maxBytes,
		Weigher:          weight,
		OnAtomicDeletion: func(e otter.DeletionEvent[digest, entry]) { c.uncountSpelling(e.Value.client) },
	})
	return c
}

// Identify returns the cached result of a claim with one header value, or calls the inner identifier.
func (c *Cache) Identify(claim gate.Claim, now time.Time) gate.Identification {
	if len(claim.Values) != 1 {
		return c.inner.Identify(claim, now)
	}
	if r := c.recents.get(claim.Values[0], now); r != nil {
		return r.result
	}
	return c.lookUp(claim, now)
}

// lookUp returns the result of the main cache for a claim with one header value, or calls the
// inner identifier.
func (c *Cache) lookUp(claim gate.Claim, now time.Time) gate.Identification {
	value := claim.Values[0]
	key := c.digestOf(value)
	if e, ok := c.cache.GetIfPresent(key); ok {
		if e.validAt(now) {
			c.recents.offer(value, key, e)
			return e.result()
		}
		// An expired entry must not count as a spelling.
		c.cache.Invalidate(key)
	}
	result := c.inner.Identify(claim, now)
	if result.Err == nil && c.countSpelling(result.Client) {
		e := newEntry(value, result)
		c.cache.Set(key, e)
		c.recents.offer(value, key, e)
	}
	return result
}

// countSpelling counts one more cached value of a certificate and reports whether it may be cached.
func (c *Cache) countSpelling(client identity.Client) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	fingerprint := client.Certificate().Fingerprint()
	if c.spellings[fingerprint] >= maxSpellings {
		return false
	}
	c.spellings[fingerprint]++
	return true
}

// uncountSpelling undoes countSpelling after an entry was removed.
func (c *Cache) uncountSpelling(client identity.Client) {
	c.mu.Lock()
	defer c.mu.Unlock()
	fingerprint := client.Certificate().Fingerprint()
	if c.spellings[fingerprint]--; c.spellings[fingerprint] <= 0 {
		delete(c.spellings, fingerprint)
	}
}
