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
// The map has an entry for each client with a request in flight, and up to max entries of
// verified clients without one, so that their next request need not insert and delete it again.
// The pool's mu guards it.
type shares struct {
	max  int64
	half int64
	held map[string]*share // by client

	latest lastRequest // the last request
	other  lastRequest // the last request of another client
}

// share is the share of one client.
type share struct {
	client string
	places int64
}

// lastRequest is a client and the time of its last request.
type lastRequest struct {
	client string
	at     time.Time
}

func newShares(limit int64) shares {
	return shares{max: limit, half: (limit + 1) / 2, held: map[string]*share{}}
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
	case s.held[client] == nil || s.held[client].places < s.half:
		return nil
	case s.latest.at.Sub(s.other.at) < activeFor:
		return overloaded("want at most %d of %d requests in flight for client %q while other clients send requests", s.half, s.max, client)
	case free <= s.max/reserve:
		return overloaded("want at most %d of %d requests in flight for client %q", s.max-s.max/reserve, s.max, client)
	default:
		return nil
	}
}

// take takes a place for the client, until give.
func (s *shares) take(client string) *share {
	c := s.held[client]
	if c == nil {
		c = &share{client: client}
		s.held[client] = c
	}
	c.places++
	return c
}

func (s *shares) give(c *share) {
	c.places--
	if c.places == 0 && int64(len(s.held)) > s.max {
		delete(s.held, c.client)
	}
}

func overloaded(format string, args ...any) *refusal.Error {
	refused := refusal.New(refusal.Overloaded, format, args...)
	refused.RetryAfter = retryAfter
	return refused
}
