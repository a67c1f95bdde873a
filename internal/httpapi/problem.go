package httpapi

import (
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

// document is the problem on the wire, as JSON in the order in which a person
// reads it, and a newline. No reason, title or request id has anything to escape.
func document(reason denial.Reason, requestID string) []byte {
	b := make([]byte, 0, 256)
	b = append(append(append(b, `{"type":"urn:certgate:`...), reason...), `","title":"`...)
	b = strconv.AppendInt(append(append(b, reason.Title()...), `","status":`...), int64(reason.Status()), 10)
	b = append(append(append(b, `,"reason":"`...), reason...), '"')
	if requestID != "" {
		b = append(append(append(b, `,"request_id":"`...), requestID...), '"')
	}
	return append(b, "}\n"...)
}

// write ends the request. The connection is closed where the rest of the
// request is not worth or not safe to read.
func (p problem) write(c *gin.Context) {
	status := p.reason.Status()
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
	c.Data(status, "application/problem+json", document(p.reason, p.requestID))
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
