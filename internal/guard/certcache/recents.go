package certcache

import (
	"encoding/binary"
	"strings"
	"sync/atomic"
	"time"

	"github.com/certgate/certgate/internal/core/gate"
)

// recents are the last few that were asked for, in the way of those that hash to the
// same place. Comparing a value of two kilobytes costs a tenth of hashing it.
//
// They are safe for concurrent use. The zero value knows nobody.
type recents [64]atomic.Pointer[recent]

// recent is immutable.
type recent struct {
	value string
	found gate.Identification
}

// place is where the value belongs. It looks at a few bytes in the last quarter,
// where a certificate has its signature: they differ between certificates, whatever
// the form. Who makes certificates meet there only makes their holders slower.
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

// get answers for a value that is there, byte for byte, and holds at the time now.
// What does not hold any more is dropped.
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

// put keeps a copy of the value, which is a part of a request's whole header.
func (r *recents) put(value string, found gate.Identification) {
	if p := r.place(value); p != nil {
		p.Store(&recent{strings.Clone(value), found})
	}
}
