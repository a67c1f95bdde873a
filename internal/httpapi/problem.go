package httpapi

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/certgate/certgate/internal/denial"
)

// problem is the answer to a refused request (RFC 9457). It says what a client
// needs to act and to ask the operator, nothing of what the gateway found.
type problem struct {
	reason    denial.Reason
	requestID string
	header    string // the credential header's name, for the challenge
	// retryAfter is when another try may make sense; 0: unknown.
	retryAfter time.Duration
}

// document is the problem on the wire, in the order in which a person reads it.
type document struct {
	Type      string `json:"type"`
	Title     string `json:"title"`
	Status    int    `json:"status"`
	Reason    string `json:"reason"`
	RequestID string `json:"request_id,omitempty"`
}

func newDocument(reason denial.Reason, requestID string) document {
	return document{
		Type: "urn:certgate:" + string(reason), Title: reason.Title(), Status: reason.Status(),
		Reason: string(reason), RequestID: requestID,
	}
}

// write ends the request. The connection is closed where the rest of the
// request is not worth or not safe to read.
func (p problem) write(c *gin.Context) {
	status := p.reason.Status()
	body, err := json.Marshal(newDocument(p.reason, p.requestID))
	if err != nil { // impossible: strings and a number
		body = []byte("{}")
	}
	h := c.Writer.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	if p.requestID != "" {
		h.Set("X-Request-Id", p.requestID)
	}
	if status == http.StatusUnauthorized {
		// RFC 9110, section 15.5.2: a 401 must carry a challenge.
		h.Set("WWW-Authenticate", `Certificate realm="certgate", header="`+p.header+`", error="`+string(p.reason)+`"`)
	}
	if p.retryAfter > 0 {
		// Whole seconds, and never so early that the answer is the same.
		seconds := (p.retryAfter + time.Second - 1) / time.Second
		h.Set("Retry-After", strconv.FormatInt(int64(seconds), 10))
	}
	if closes(p.reason) || c.Request.Method == http.MethodConnect || c.Request.ProtoMajor != 1 {
		h.Set("Connection", "close")
	}
	c.Abort()
	c.Data(status, "application/problem+json", append(body, '\n'))
}

// closes reports whether what follows on the connection cannot be trusted to be
// a request, or is a body nobody wants.
func closes(r denial.Reason) bool {
	switch r {
	case denial.RequestAmbiguous, denial.RequestMalformed, denial.PathAmbiguous, denial.BodyTooLarge, denial.CredentialTooLarge,
		denial.RequestTimeout, denial.ClientClosed, denial.Draining:
		return true
	default:
		return false
	}
}
