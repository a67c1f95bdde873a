package certcache

import (
	"encoding/binary"
	"sync/atomic"
	"time"
)

const (
	// recentsBits is the binary logarithm of the number of slots of [recents].
	recentsBits = 10
	// sampleSize is the number of bytes of a value that select its slot.
	sampleSize = 8
)

// recents is a direct-mapped cache of recently used entries in front of the main cache.
// Comparing a value of two kilobytes costs a tenth of hashing it.
//
// It is safe for concurrent use. The zero value is empty.
type recents [1 << recentsBits]atomic.Pointer[entry]

// slot returns the slot of a value, or nil for a value that is too short to be a
// certificate. It hashes a few bytes in the last quarter of the value, which belong to the
// signature and differ between certificates in every format. A collision makes the colliding
// clients slower and has no other effect.
func slot[T string | []byte](r *recents, value T) *atomic.Pointer[entry] {
	from := len(value) * 3 / 4
	if len(value)-from < sampleSize {
		return nil
	}
	bits := binary.LittleEndian.Uint64([]byte(value[from : from+sampleSize]))
	const golden = 0x9E3779B97F4A7C15 // Fibonacci hashing
	return &r[bits*golden>>(64-recentsBits)]
}

// get returns the entry of a value if it is stored, byte for byte, and valid at now. An
// entry that is not valid any more is removed.
func (r *recents) get(value string, now time.Time) (*entry, bool) {
	p := slot(r, value)
	if p == nil {
		return nil, false
	}
	e := p.Load()
	if e == nil || e.value != value {
		return nil, false
	}
	if !e.result.Certificate.ValidAt(now) {
		p.CompareAndSwap(e, nil)
		return nil, false
	}
	return e, true
}

func (r *recents) put(e *entry) {
	if p := slot(r, e.value); p != nil {
		p.Store(e)
	}
}

// Intern returns the cached header value with the same bytes, if it was used recently. A
// parser can use the string instead of a copy of the bytes. The value is printable ASCII.
func (c *Cache) Intern(value []byte) (string, bool) {
	p := slot(&c.recents, value)
	if p == nil {
		return "", false
	}
	e := p.Load()
	if e == nil || !e.isPrintable || e.value != string(value) {
		return "", false
	}
	return e.value, true
}
