package admin

import (
	"encoding/json"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/certgate/certgate/internal/core/refusal"
)

// problem is an error response (RFC 9457).
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Reason string `json:"reason"`
	Detail string `json:"detail,omitempty"`
}

// notFound returns the problem for an unknown path. It exists on this surface only,
// because the public surface forwards or refuses every path.
func notFound() problem {
	return problem{
		Type: "urn:certgate:not_found", Title: "There is nothing at this path",
		Status: http.StatusNotFound, Reason: "not_found",
	}
}

// hostUnknown returns the problem for a request to a host name that this surface does
// not serve (RFC 9110, section 15.5.20).
func hostUnknown() problem {
	return problem{
		Type: "urn:certgate:host_unknown", Title: "The operator's port does not serve this host name",
		Status: http.StatusMisdirectedRequest, Reason: "host_unknown",
		Detail: "Use an IP address or localhost, or add the name to ADMIN_HOSTS",
	}
}

// crossOrigin returns the problem for a request that a browser sends on behalf of
// another site.
func crossOrigin() problem {
	return problem{
		Type: "urn:certgate:cross_origin", Title: "The operator's port refuses requests from pages of other sites",
		Status: http.StatusForbidden, Reason: "cross_origin",
	}
}

// ofReason returns the problem for a reason, without details.
func ofReason(r refusal.Reason) problem {
	return problem{Type: "urn:certgate:" + string(r), Title: r.Title(), Status: r.Status(), Reason: string(r)}
}

// write responds with the problem and ends the request.
func (p problem) write(c *gin.Context) {
	body, err := json.Marshal(p)
	if err != nil { // impossible: four strings and a number
		body = []byte("{}")
	}
	c.Abort()
	c.Data(p.Status, "application/problem+json", append(body, '\n'))
}
