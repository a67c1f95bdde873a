package certcache

import (
	"encoding/binary"
	"strings"
	"sync/atomic"
	"time"

	"github.com/certgate/certgate/internal/core/gate"
)

const (
	// recentsBits is the binary logarithm of the number of slots of [recents].
	recentsBits = 10
	// sampleSize is the number of bytes of a value that select its slot.
	sampleSize = 8
)

// recents is a direct-mapped cache of recently used entries in front of the main cache.
// Comparing a value of two kilobytes costs a small part of hashing it.
//
// It is safe for concurrent use. The zero value is empty.
type recents [1 << recentsBits]slot

// slot is the place of one entry.
type slot struct {
	recent atomic.Pointer[recent]
	// candidate is the beginning of the digest of the last value that was offered. See offer.
	candidate atomic.Uint64
}

// recent is the result for a value. It is immutable.
type recent struct {
	value       string
	isPrintable bool // see entry
	result      gate.Identification
}

// slotOf returns the slot of a value, or nil for a value that is too short to be a
// certificate. It hashes a few bytes in the last quarter of the value, which belong to the
// signature and differ between certificates in every format. A collision makes the colliding
// clients slower and has no other effect.
func slotOf[T string | []byte](r *recents, value T) *slot {
	from := len(value) * 3 / 4
	if len(value)-from < sampleSize {
		return nil
	}
	bits := binary.LittleEndian.Uint64([]byte(value[from : from+sampleSize]))
	const golden = 0x9E3779B97F4A7C15 // Fibonacci hashing
	return &r[bits*golden>>(64-recentsBits)]
}

// get returns the entry of a value if it is stored, byte for byte, and valid at now, or nil. An
// entry that is not valid any more is removed.
func (r *recents) get(value string, now time.Time) *recent {
	s := slotOf(r, value)
	if s == nil {
		return nil
	}
	e := s.recent.Load()
	if e == nil || e.value != value {
		return nil
	}
	if !e.result.Certificate.ValidAt(now) {
		s.recent.CompareAndSwap(e, nil)
		return nil
	}
	return e
}

// offer stores the entry of a verified value if the slot's last offer was the same value.
// Many clients that take turns are therefore not stored: each would be replaced before its
// next request. The value is copied, because it shares memory with the request's whole header.
func (r *recents) offer(value string, key digest, e entry) {
	s := slotOf(r, value)
	if s == nil {
		return
	}
	candidate := binary.LittleEndian.Uint64(key[:])
	if s.candidate.Swap(candidate) == candidate {
		s.recent.Store(&recent{strings.Clone(value), e.isPrintable, e.result()})
	}
}

// Intern returns the cached header value with the same bytes, if it was used recently. A
// parser can use the string instead of a copy of the bytes. The value is printable ASCII.
func (c *Cache) Intern(value []byte) (string, bool) {
	s := slotOf(&c.recents, value)
	if s == nil {
		return "", false
	}
	e := s.recent.Load()
	if e == nil || !e.isPrintable || e.value != string(value) {
		return "", false
	}
	return e.value, true
}
