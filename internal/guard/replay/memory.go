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

// Capacity is how many nonces a [Memory] holds. It takes 36 MiB, all of them at the
// first nonce.
const Capacity = 1 << 20

// chunk is how many forgotten nonces are swept at a time under the lock, some 20
// microseconds of work. It is more than one, so that forgetting keeps up.
const chunk = 256

// Memory remembers nonces in this process. It forgets everything when the process
// ends. It is safe for concurrent use; [NewMemory] makes one.
//
// A client may hold as many nonces as are free (Choudhury and Hahne, "Dynamic queue
// length thresholds", 1998): one alone gets half of the room, n get n of n+1 parts,
// and there is always some left for another.
//
// Time is what the nonces say. A nonce is remembered to the end of the second of
// its Until, that is as long as it could be accepted again. If a clock went ahead,
// so that nonces were forgotten, and came back, then nonces that are good no longer
// than those were are refused: they could be among them.
type Memory struct {
	capacity int
	// secret goes into each digest: nobody can choose nonces that meet in one bucket.
	secret [16]byte

	mu     sync.Mutex
	start  int64 // the Unix time of the first nonce
	table  *table
	shares *shares
}

// NewMemory makes a memory of [Capacity]; it takes no room before the first nonce.
func NewMemory() *Memory { return newMemory(Capacity) }

func newMemory(capacity int) *Memory {
	m := &Memory{capacity: capacity}
	_, _ = rand.Read(m.secret[:]) // never fails
	return m
}

// Len is how many nonces are remembered now, 0 to [Capacity].
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

// verdict is what becomes of a nonce.
type verdict int

const (
	accepted verdict = iota
	used
	tooLate
	noTime
	noRoom
)

// Spend is that of [httpsig.Nonces]. It also refuses with ProofExpired what is over,
// by the clock of the nonce or because the clock has been ahead; and with Internal
// what is no nonce.
func (m *Memory) Spend(n httpsig.Nonce) error {
	if d := check(n); d != nil {
		return d
	}
	key := m.digest(n)
	for {
		v, more := m.spend(key, n)
		if v == noRoom && more { // others may take their turn in between
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

func (m *Memory) spend(key digest, n httpsig.Nonce) (v verdict, more bool) {
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
	case last <= m.table.forgotten:
		return tooLate, false
	case m.table.has(key):
		return used, false
	case m.shares.held(n.Client) >= m.capacity-m.table.used:
		return noRoom, more
	}
	m.table.add(key, m.shares.take(n.Client), last)
	return accepted, false
}

// second counts from 68 years before the first nonce to 68 years after it.
func (m *Memory) second(t time.Time) (second uint32, ok bool) {
	count := t.Unix() - m.start + 1<<31
	return uint32(count), 0 < count && count < math.MaxUint32 //nolint:gosec // not used when it is not in the range
}

func (m *Memory) explain(v verdict, n httpsig.Nonce) *refusal.Error {
	switch v {
	case accepted:
		return nil
	case used:
		return replayed()
	case tooLate:
		return refusal.New(refusal.ProofExpired, "the clock has been past %s, and nonces of then are forgotten", n.Until.UTC().Format(time.RFC3339))
	case noRoom:
		return overloaded("client %q holds as many nonces as are free of %d", n.Client, m.capacity)
	default:
		return refusal.New(refusal.Internal, "want a clock that was set, found %s", n.Now.UTC().Format(time.RFC3339))
	}
}
