package admin

import (
	"encoding/json"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/certgate/certgate/internal/denial"
)

// problem is an answer that is not what was asked for (RFC 9457).
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Reason string `json:"reason"`
	Detail string `json:"detail,omitempty"`
}

// notFound is this surface's own: the public one refuses before it has routes.
func notFound() problem {
	return problem{
		Type: "urn:certgate:not_found", Title: "There is nothing at this path",
		Status: http.StatusNotFound, Reason: "not_found",
	}
}

// ofReason is the problem of a reason, without detail.
func ofReason(r denial.Reason) problem {
	return problem{Type: "urn:certgate:" + string(r), Title: r.Title(), Status: r.Status(), Reason: string(r)}
}

// write ends the request with the problem.
func (p problem) write(c *gin.Context) {
	body, err := json.Marshal(p)
	if err != nil { // impossible: four strings and a number
		body = []byte("{}")
	}
	c.Abort()
	c.Data(p.Status, "application/problem+json", append(body, '\n'))
}
