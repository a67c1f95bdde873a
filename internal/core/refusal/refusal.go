// Package refusal defines every reason for which certgate refuses a request.
//
// A refusal is an [*Error]. It has a stable [Reason], which the client receives,
// and a detail, which appears in the log only. Any other error is a fault of the
// gateway or of the upstream and does not depend on the client.
//
// One table in this package maps each reason to its status. An unknown reason has
// status 500: a reason that is missing in the table makes the gateway refuse
// requests with the wrong status, and never makes it accept one.
package refusal

import (
	"errors"
	"fmt"
	"time"
)

// Error is one refusal.
type Error struct {
	Reason Reason
	// Detail is for the log and the operator's terminal only. It may quote fields of
	// the certificate, so the gateway never sends it to a client.
	Detail string
	// Hint tells the client how to repair its request (RFC 9457, section 3.1.4), or
	// is empty. Unverified clients receive it: it must not quote the request or
	// reveal anything that the request itself does not show.
	Hint string
	// AcceptSignature tells the client which components a signature must cover, as
	// the value of Accept-Signature (RFC 9421, section 5.1), or is empty.
	AcceptSignature string
	// RetryAfter is the time after which the client may retry (RFC 9110, section
	// 10.2.3). Zero means that the response has no Retry-After.
	RetryAfter time.Duration
}

// New returns a refusal. The detail is formatted as by [fmt.Sprintf]; untrusted
// text must be formatted with %q.
func New(r Reason, format string, args ...any) *Error {
	return &Error{Reason: r, Detail: fmt.Sprintf(format, args...)}
}

// WithHint returns a copy of e with a hint for the client. The hint is appended to
// the detail, so that the operator sees it too.
func (e *Error) WithHint(hint string) *Error {
	hinted := *e
	hinted.Detail, hinted.Hint = e.Detail+". "+hint, hint
	return &hinted
}

// Error returns the reason and the detail, for the log.
func (e *Error) Error() string { return string(e.Reason) + ": " + e.Detail }

// Of returns the refusal that err wraps, or nil if err is a fault or nil.
func Of(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return nil
}
