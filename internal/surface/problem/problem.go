// Package problem serializes the response to a refused request (RFC 9457).
//
// The response contains the information that a client needs to correct the request or
// to contact the operator. It does not disclose the findings of the gateway.
package problem

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/certgate/certgate/internal/core/headers"
	"github.com/certgate/certgate/internal/core/refusal"
)

// Problem is one problem response. Reason and Status are required.
type Problem struct {
	Reason refusal.Reason
	// Status is the status of the reason, or the substitute for a proxy that does not
	// understand it.
	Status int
	// RequestID identifies the audit record. Empty means that there is no record. It
	// must not contain characters that JSON escapes.
	RequestID string
	// Hint describes how to correct the request. It is optional.
	Hint string
	// Header is the name of the credential header, for the challenge of a 401.
	Header string
	// AcceptSignature lists the components that a signature must cover (RFC 9421,
	// section 5.1). Empty omits the field.
	AcceptSignature string
	// RetryAfter is the delay before the client should retry. Zero omits the field.
	RetryAfter time.Duration
}

// ContentType is the media type of [Problem.Document].
const ContentType = "application/problem+json"

// SetHeader sets the header fields of the response, except Content-Type and the fields
// that concern the connection.
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
		// Retry-After is in whole seconds. Rounding up prevents a retry that is too early.
		seconds := (p.RetryAfter + time.Second - 1) / time.Second
		h.Set("Retry-After", strconv.FormatInt(int64(seconds), 10))
	}
}

// Document serializes the problem as JSON, with the most readable fields first, and
// appends a newline. Reasons, titles and request IDs contain no characters that JSON
// escapes.
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
