package schedule

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/certgate/certgate/cmd/schedule/internal/event"
)

// problem is the response to a refused request (RFC 9457). Type is "urn:schedule:" and a
// stable code.
type problem struct {
	Type   string        `json:"type"`
	Title  string        `json:"title"`
	Status int           `json:"status"`
	Detail string        `json:"detail"`
	Errors []event.Fault `json:"errors,omitempty"`
}

// Error returns the code, the detail and the faults, for the log.
func (p *problem) Error() string {
	parts := []string{p.Type + ": " + p.Detail}
	for _, f := range p.Errors {
		parts = append(parts, fmt.Sprintf("[%q: %s]", f.Field, f.Detail))
	}
	return strings.Join(parts, " ")
}

// refuse returns a problem with the faults of the request.
func refuse(status int, code, title, detail string, faults ...event.Fault) *problem {
	return &problem{Type: "urn:schedule:" + code, Title: title, Status: status, Detail: detail, Errors: faults}
}

func invalidEvent(faults []event.Fault) *problem {
	return refuse(http.StatusUnprocessableEntity, "invalid_event", "The event cannot be added",
		"Nothing was stored. Every fault of the request is listed in errors.", faults...)
}

func invalidQuery(faults []event.Fault) *problem {
	return refuse(http.StatusUnprocessableEntity, "invalid_query", "The events cannot be listed",
		"Every fault of the query is listed in errors.", faults...)
}

// translate returns the problem for an error of a handler. Unknown errors are faults of
// the service, and their text is not sent to the client.
func translate(err error) *problem {
	if p, ok := errors.AsType[*problem](err); ok {
		return p
	}
	switch {
	case errors.Is(err, ErrNotFound):
		return refuse(http.StatusNotFound, "not_found", "There is no such event", "No event has this id.")
	case errors.Is(err, ErrKeyReused):
		return refuse(http.StatusUnprocessableEntity, "idempotency_key_reused", "The idempotency key is taken",
			"A repeated request must be the same request; a new event needs a new key.",
			event.Fault{Field: headerKey, Detail: "want a key of its own for a different event"})
	case errors.Is(err, context.Canceled):
		return refuse(http.StatusServiceUnavailable, "canceled", "The request was canceled", "The client closed the connection.")
	}
	return refuse(http.StatusInternalServerError, "internal", "The schedule failed", "This is a fault of the service. The log contains the details.")
}

// respond writes v as JSON.
func respond(c *gin.Context, status int, mediaType string, v any) {
	body, err := json.Marshal(v)
	if err != nil { // only for a time outside of the years 0 to 9999, which no event has
		_ = c.Error(err)
		c.Status(http.StatusInternalServerError)
		return
	}
	c.Data(status, mediaType, append(body, '\n'))
}

// fail writes the problem for err and keeps err for the access log.
func fail(c *gin.Context, err error) {
	_ = c.Error(err)
	p := translate(err)
	respond(c, p.Status, "application/problem+json", p)
}
