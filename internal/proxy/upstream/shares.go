package upstream

import (
	"time"

	"github.com/certgate/certgate/internal/core/refusal"
)

const (
	// activeFor is how long a client counts as active after its last request. Refused
	// requests count.
	activeFor = 10 * time.Second
	// reserve is the divisor for the number of places that a client with more than half
	// of them leaves free: one eighth, rounded down. The next client therefore gets a
	// place at once.
	reserve = 8
)

// shares counts and bounds the places of each client. A client may hold half of the places,
// rounded up. It may hold more while no other client is active, as long as one eighth of the
// places (see reserve) stays free.
//
// A place is never taken back: a client that holds more than half when another client
// becomes active keeps its requests, and gets no further place until it holds less.
//
// Every operation costs at most two map accesses. The map has an entry for each client with a
// request in flight. MAX_IN_FLIGHT bounds it, and only verified clients are in it. The pool's mu
// guards it.
type shares struct {
	max  int64
	half int64
	held map[string]int64 // by client; no entry is 0

	latest lastRequest // the last request
	other  lastRequest // the last request of another client
}

// lastRequest is a client and the time of its last request.
type lastRequest struct {
	client string
	at     time.Time
}

func newShares(limit int64) shares {
	return shares{max: limit, half: (limit + 1) / 2, held: map[string]int64{}}
}

// noteRequest records that the client is active now.
func (s *shares) noteRequest(client string, now time.Time) {
	if client != s.latest.client {
		s.other, s.latest.client = s.latest, client
	}
	s.latest.at = now
}

// refuse returns why the client gets no place while taken places are in use, or nil. The
// last call of noteRequest was for the same client.
func (s *shares) refuse(client string, taken int64) *refusal.Error {
	free := s.max - taken
	switch {
	case taken < s.half: // then the client holds less than half, too
		return nil
	case free <= 0:
		return overloaded("want at most %d requests in flight", s.max)
	case s.held[client] < s.half:
		return nil
	case s.latest.at.Sub(s.other.at) < activeFor:
		return overloaded("want at most %d of %d requests in flight for client %q while other clients send requests", s.half, s.max, client)
	case free <= s.max/reserve:
		return overloaded("want at most %d of %d requests in flight for client %q", s.max-s.max/reserve, s.max, client)
	default:
		return nil
	}
}

func (s *shares) take(client string) { s.held[client]++ }

func (s *shares) give(client string) {
	if n := s.held[client]; n > 1 {
		s.held[client] = n - 1
		return
	}
	delete(s.held, client)
}

func overloaded(format string, args ...any) *refusal.Error {
	refused := refusal.New(refusal.Overloaded, format, args...)
	refused.RetryAfter = retryAfter
	return refused
}
