// Package problem is the answer to a refused request (RFC 9457).
//
// It says what a client needs to act and to ask the operator, nothing of what
// the gateway found.
package problem

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/certgate/certgate/internal/core/headers"
	"github.com/certgate/certgate/internal/core/refusal"
)

// Problem is one answer. Reason and Status are required.
type Problem struct {
	Reason refusal.Reason
	// Status is the reason's, or what stands for it where others are not
	// understood.
	Status int
	// RequestID finds the audit line; empty: there is none. It has nothing to
	// escape in JSON.
	RequestID string
	// Hint says how to repair the request; empty: the title says it all.
	Hint string
	// Header is the credential header's name, for the challenge of a 401.
	Header string
	// AcceptSignature says what a signature has to cover (RFC 9421, section 5.1);
	// empty: nothing is said.
	AcceptSignature string
	// RetryAfter is when another try may make sense; 0: unknown.
	RetryAfter time.Duration
}

// ContentType is the media type of [Problem.Document].
const ContentType = "application/problem+json"

// SetHeader sets the fields of the answer, all but Content-Type and what
// concerns the connection.
func (p Problem) SetHeader(h http.Header) {
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	if p.RequestID != "" {
		h.Set(headers.RequestID, p.RequestID)
	}
	if p.Status == http.StatusUnauthorized {
		// RFC 9110, section 15.5.2: a 401 must carry a challenge.
		h.Set("WWW-Authenticate", `Certificate realm="certgate", header="`+p.Header+`", error="`+string(p.Reason)+`"`)
	}
	if p.AcceptSignature != "" {
		h.Set("Accept-Signature", p.AcceptSignature)
	}
	if p.RetryAfter > 0 {
		// Whole seconds, and never so early that the answer is the same.
		seconds := (p.RetryAfter + time.Second - 1) / time.Second
		h.Set("Retry-After", strconv.FormatInt(int64(seconds), 10))
	}
}

// Document is the problem on the wire, as JSON in the order in which a person
// reads it, and a newline. No reason, title or request id has anything to escape.
func (p Problem) Document() []byte {
	b := make([]byte, 0, 256)
	b = append(append(append(b, `{"type":"urn:certgate:`...), p.Reason...), `","title":"`...)
	b = append(append(b, p.Reason.Title()...), '"')
	if quoted, err := json.Marshal(p.Hint); p.Hint != "" && err == nil {
		b = append(append(b, `,"detail":`...), quoted...)
	}
	b = strconv.AppendInt(append(b, `,"status":`...), int64(p.Status), 10)
	b = append(append(append(b, `,"reason":"`...), p.Reason...), '"')
	if p.RequestID != "" {
		b = append(append(append(b, `,"request_id":"`...), p.RequestID...), '"')
	}
	return append(b, "}\n"...)
}
