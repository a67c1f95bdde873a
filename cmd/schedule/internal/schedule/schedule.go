// Package schedule stores the events of all client applications and shows them on one
// page.
//
// It has no keys, reads no certificates and has no list of applications. It takes the
// name of the client from the X-Client-Id header, which the gateway sets. This is secure
// only if all requests come through the gateway, because the gateway deletes the
// X-Client-Id of a client before it sets its own. Bind the service to a loopback address
// or to a private network: a client that reaches it directly can use any name.
//
// [Open] opens the database, and [NewHandler] serves these routes:
//
//	POST /events        add an event; Idempotency-Key makes a retry safe
//	GET  /events        list events: from, to, client, limit, cursor
//	GET  /events/{id}   one event
//	GET  /healthz       200 while the database responds
//	GET  /              an HTML page with the events of a week
//
// The service cannot change or delete events, and has no users and no time zones: all
// times are UTC. A refusal is a problem document (RFC 9457) with every fault of the
// request.
package schedule

import (
	"errors"
	"time"

	"github.com/certgate/certgate/cmd/schedule/internal/event"
)

// Event is a stored event. The times are UTC, and EndTime is after StartTime.
type Event struct {
	ID        string    `json:"id"`
	Client    string    `json:"client"`
	Name      string    `json:"name"`
	StartTime time.Time `json:"start_time"`
	EndTime   time.Time `json:"end_time"`
	CreatedAt time.Time `json:"created_at"`
}

// These are the refusals of a [Store]. Its other errors are faults of the database.
var (
	// ErrNotFound: no event has the ID.
	ErrNotFound = errors.New("no event has this id")
	// ErrKeyReused: the client has used the idempotency key before, for an event with
	// another name or other times.
	ErrKeyReused = errors.New("the idempotency key belongs to a different event")
)

// draft returns the draft from which the event was made.
func (e Event) draft() event.Draft {
	return event.Draft{Name: e.Name, Start: e.StartTime, End: e.EndTime}
}
