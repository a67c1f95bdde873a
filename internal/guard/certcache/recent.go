package certcache

import (
	"encoding/binary"
	"strings"
	"sync/atomic"
	"time"

	"github.com/certgate/certgate/internal/core/gate"
)

// recents is a small direct-mapped cache of recently used entries in front of the main cache.
// Comparing a value of two kilobytes costs a tenth of hashing it.
//
// It is safe for concurrent use. The zero value is empty.
type recents [64]atomic.Pointer[recent]

// recent is one entry. It is immutable.
type recent struct {
	value string
	found gate.Identification
}

// place returns the slot of a value. It hashes a few bytes in the last quarter of the value,
// which belong to the signature and differ between certificates in every format. A collision
// makes the colliding clients slower and has no other effect.
func (r *recents) place(value string) *atomic.Pointer[recent] {
	const sample = 8
	from := len(value) * 3 / 4
	if len(value)-from < sample {
		return nil
	}
	bits := binary.LittleEndian.Uint64([]byte(value[from : from+sample]))
	const golden, shift = 0x9E3779B97F4A7C15, 64 - 6 // Fibonacci hashing to 64 places
	return &r[bits*golden>>shift]
}

// get returns the entry of a value if it is stored, byte for byte, and valid at now. An
// entry that is not valid any more is removed.
func (r *recents) get(value string, now time.Time) (gate.Identification, bool) {
	p := r.place(value)
	if p == nil {
		return gate.Identification{}, false
	}
	e := p.Load()
	if e == nil || e.value != value {
		return gate.Identification{}, false
	}
	if !e.found.Certificate.ValidAt(now) {
		p.CompareAndSwap(e, nil)
		return gate.Identification{}, false
	}
	return e.found, true
}

// put stores a copy of the value, because the value shares memory with the request's whole header.
func (r *recents) put(value string, found gate.Identification) {
	if p := r.place(value); p != nil {
		p.Store(&recent{strings.Clone(value), found})
	}
}
