package upstream

import (
	"time"

	"github.com/certgate/certgate/internal/core/refusal"
)

const (
	// wantingFor is how long a client counts as wanting places after its last
	// request, refused requests included.
	wantingFor = 10 * time.Second
	// reserve is the fraction of the places that a client over its half leaves free,
	// rounded down: a client that comes next finds a place at once.
	reserve = 8
)

// shares counts the places of each client and bounds them. A client may have up to
// half of the places, rounded up. It may have more while no other client has asked
// for a place within wantingFor, as long as one reserve-th of the places stays free.
//
// Places are not taken back: a client that is over its half when another one comes
// keeps its requests and gets no further place until it is below its half again.
//
// Every operation costs one map access. The map has an entry for each client with a
// request in flight, so MAX_IN_FLIGHT bounds it, and only verified clients get that
// far. It is guarded by the pool's mu.
type shares struct {
	max  int64
	half int64
	held map[string]int64 // by client; no entry is 0

	latest asker // the client that asked last
	other  asker // the last one with another name
}

// asker is a client and when it last asked for a place.
type asker struct {
	client string
	at     time.Time
}

func newShares(most int64) shares {
	return shares{max: most, half: (most + 1) / 2, held: map[string]int64{}}
}

// asked notes that the client wants a place now.
func (s *shares) asked(client string, now time.Time) {
	if client != s.latest.client {
		s.other, s.latest.client = s.latest, client
	}
	s.latest.at = now
}

// refuse returns why the client, the one that asked last, gets no place while taken
// places are in use; nil if it gets one.
func (s *shares) refuse(client string, taken int64) *refusal.Error {
	free, held := s.max-taken, s.held[client]
	switch {
	case free <= 0:
		return overloaded("want at most %d requests in flight", s.max)
	case held < s.half:
		return nil
	case s.latest.at.Sub(s.other.at) < wantingFor:
		return overloaded("want at most %d of %d requests in flight for client %q while other clients send requests", s.half, s.max, client)
	case free <= s.max/reserve:
		return overloaded("want at most %d of %d requests in flight for client %q", s.max-s.max/reserve, s.max, client)
	default:
		return nil
	}
}

func (s *shares) take(client string) { s.held[client]++ }

func (s *shares) give(client string) {
	if s.held[client]--; s.held[client] == 0 {
		delete(s.held, client)
	}
}

func overloaded(format string, args ...any) *refusal.Error {
	d := refusal.New(refusal.Overloaded, format, args...)
	d.RetryAfter = retryAfter
	return d
}
