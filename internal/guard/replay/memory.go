package replay

import (
	"crypto/rand"
	"crypto/sha256"
	"math"
	"sync"
	"time"

	"github.com/certgate/certgate/internal/core/httpsig"
	"github.com/certgate/certgate/internal/core/refusal"
)

// Capacity is the number of nonces that a [Memory] holds. They take 36 MiB, which
// are allocated with the first nonce.
const Capacity = 1 << 20

// chunk is the number of expired entries that one call frees while it holds the
// lock, about 20 microseconds of work. It is more than one, because each call adds at
// most one entry: freeing then stays ahead of adding.
const chunk = 256

// Memory stores nonces in this process; they are lost when the process ends. It is
// safe for concurrent use. Use [NewMemory] to create one.
//
// A client may hold at most as many nonces as there are free entries (Choudhury and
// Hahne, "Dynamic queue length thresholds", 1998). One client alone gets half of the
// entries, and n clients together get n/(n+1) of them, so that entries remain free
// for a further client.
//
// The current time is the Now of the nonces. A nonce is stored until the end of the
// second of its Until, which is as long as its signature could be accepted. If the
// clock jumps ahead, Memory drops nonces that are valid again once the clock is set
// back. It therefore refuses every nonce that expires no later than the latest
// dropped one, because the nonce could be one of those.
type Memory struct {
	capacity int
	// secret is part of each digest, so that clients cannot choose nonces that fall
	// into the same bucket.
	secret [16]byte

	mu     sync.Mutex
	start  int64 // the Unix time of the first nonce
	table  *table
	shares *shares
}

// NewMemory returns a Memory that holds [Capacity] nonces. It allocates its entries
// with the first nonce.
func NewMemory() *Memory { return newMemory(Capacity) }

func newMemory(capacity int) *Memory {
	m := &Memory{capacity: capacity}
	_, _ = rand.Read(m.secret[:]) // never fails
	return m
}

// Len returns the number of nonces that are stored and not expired at now, from 0 to
// [Capacity].
func (m *Memory) Len(now time.Time) int {
	for {
		used, more := m.sweep(now)
		if !more {
			return used
		}
	}
}

func (m *Memory) sweep(now time.Time) (used int, more bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.table == nil {
		return 0, false
	}
	if second, ok := m.second(now); ok {
		m.table.advance(second)
	}
	more = m.table.sweep(chunk, m.shares.give)
	return m.table.used, more
}

// verdict is the result of using a nonce.
type verdict int

const (
	accepted verdict = iota
	used
	tooLate
	noTime
	noRoom
)

// Use implements [httpsig.Nonces]. It also refuses with ProofExpired a nonce that
// has expired at its Now, or that may have been dropped while the clock was ahead,
// and with Internal an invalid nonce.
func (m *Memory) Use(n httpsig.Nonce) error {
	if d := check(n); d != nil {
		return d
	}
	key := m.digest(n)
	for {
		v, more := m.use(key, n)
		if v == noRoom && more { // the lock is free between two calls
			continue
		}
		if d := m.explain(v, n); d != nil {
			return d
		}
		return nil
	}
}

func (m *Memory) digest(n httpsig.Nonce) (key digest) {
	text := make([]byte, 0, 256)
	text = append(append(append(text, m.secret[:]...), n.Key[:]...), n.Value...)
	sum := sha256.Sum256(text)
	copy(key[:], sum[:])
	return key
}

func (m *Memory) use(key digest, n httpsig.Nonce) (v verdict, more bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.table == nil {
		m.start, m.table, m.shares = n.Now.Unix(), newTable(m.capacity), newShares()
	}
	now, nowOK := m.second(n.Now)
	last, lastOK := m.second(n.Until)
	if !nowOK || !lastOK {
		return noTime, false
	}
	if n.Until.Nanosecond() > 0 {
		last++
	}
	m.table.advance(now)
	more = m.table.sweep(chunk, m.shares.give)
	switch {
	case last <= m.table.expired:
		return tooLate, false
	case m.table.has(key):
		return used, false
	case m.shares.held(n.Client) >= m.capacity-m.table.used:
		return noRoom, more
	}
	m.table.add(key, m.shares.take(n.Client), last)
	return accepted, false
}

// second converts t to the clock of the table, which counts from 68 years before the
// first nonce to 68 years after it. ok reports whether t is in that range.
func (m *Memory) second(t time.Time) (second uint32, ok bool) {
	count := t.Unix() - m.start + 1<<31
	return uint32(count), 0 < count && count < math.MaxUint32 //nolint:gosec // the caller does not use a value out of range
}

func (m *Memory) explain(v verdict, n httpsig.Nonce) *refusal.Error {
	switch v {
	case accepted:
		return nil
	case used:
		return replayed()
	case tooLate:
		return refusal.New(refusal.ProofExpired, "the clock was ahead: nonces that expire by %s have been dropped", n.Until.UTC().Format(time.RFC3339))
	case noRoom:
		return overloaded("client %q holds as many nonces as are free of %d", n.Client, m.capacity)
	default:
		return refusal.New(refusal.Internal, "want a clock that was set, found %s", n.Now.UTC().Format(time.RFC3339))
	}
}
