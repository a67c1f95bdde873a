// Package schedule keeps the events of every client application and shows them
// on one page.
//
// It is the service behind the gateway, and it is deliberately ignorant: it
// holds no key, reads no certificate and has no list of applications. Who is
// calling is what the gateway wrote into the X-Client-Id header. That is safe
// only while the gateway is the one way in, because the gateway deletes every
// X-Client-Id that a caller brings before it writes its own. So bind the
// service to loopback or to a private network; anyone who reaches it directly
// can be whoever they like.
//
// [Open] opens the database, [NewHandler] serves it:
//
//	POST /events        add an event; Idempotency-Key makes a retry safe
//	GET  /events        list events: from, to, client, limit, cursor
//	GET  /events/{id}   one event
//	GET  /healthz       200 while the database answers
//	GET  /              the week as a page for people
//
// What it lacks on purpose: changing and deleting events, time zones (all
// times are UTC) and users. A refusal is a problem document (RFC 9457) that
// names every fault of the request at once.
package schedule

import (
	"errors"
	"time"
)

// Event is one entry of the schedule as it is stored and answered. The times
// are UTC and EndTime is after StartTime.
type Event struct {
	ID        string    `json:"id"`
	Client    string    `json:"client"`
	Name      string    `json:"name"`
	StartTime time.Time `json:"start_time"`
	EndTime   time.Time `json:"end_time"`
	CreatedAt time.Time `json:"created_at"`
}

// The two refusals of a [Store]; every other error of it is a fault of the
// database.
var (
	// ErrNotFound says that no event has the wanted ID.
	ErrNotFound = errors.New("no event has this id")
	// ErrKeyReused says that the client has already used the idempotency key
	// for an event with another name or other times.
	ErrKeyReused = errors.New("the idempotency key belongs to a different event")
)

// draft is the draft the event was made from.
func (e Event) draft() Draft {
	return Draft{Name: e.Name, Start: e.StartTime, End: e.EndTime}
}
