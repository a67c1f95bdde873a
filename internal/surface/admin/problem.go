package admin

import (
	"encoding/json"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/certgate/certgate/internal/core/refusal"
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

// hostUnknown refuses a request for a host that is not the surface's (RFC 9110, section
// 15.5.20).
func hostUnknown() problem {
	return problem{
		Type: "urn:certgate:host_unknown", Title: "The operator's port does not answer to this host name",
		Status: http.StatusMisdirectedRequest, Reason: "host_unknown",
		Detail: "Ask by IP address or as localhost, or add the name to ADMIN_HOSTS",
	}
}

// crossOrigin refuses a request that a browser sends for a page of another site.
func crossOrigin() problem {
	return problem{
		Type: "urn:certgate:cross_origin", Title: "The operator's port does not answer to pages of other sites",
		Status: http.StatusForbidden, Reason: "cross_origin",
	}
}

// ofReason is the problem of a reason, without detail.
func ofReason(r refusal.Reason) problem {
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
