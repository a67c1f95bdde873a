package service

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
)

// Reason is the stable reason of a refusal.
type Reason string

// The reasons.
const (
	Missing          Reason = "assertion_missing"           // no X-Client-Assertion
	Malformed        Reason = "assertion_malformed"         // several fields, or not a JWS of the right type and algorithm
	UnknownKey       Reason = "assertion_key_unknown"       // no key with this kid in the JWK set
	InvalidSignature Reason = "assertion_signature_invalid" // the signature was not made with the key
	InvalidClaims    Reason = "assertion_claims_invalid"    // a claim is missing or has the wrong form
	WrongIssuer      Reason = "assertion_issuer"            // another issuer
	WrongAudience    Reason = "assertion_audience"          // another audience
	Expired          Reason = "assertion_expired"           // the time is after exp
	Future           Reason = "assertion_future"            // the time is before iat
	TooLong          Reason = "assertion_lifetime"          // exp is more than 60 seconds after iat
	WrongClient      Reason = "assertion_client"            // X-Client-Id names another client
	Unbound          Reason = "assertion_unbound"           // not bound to a request, although it is required
	WrongRequest     Reason = "assertion_request"           // bound to another method, target or body
	KeysUnavailable  Reason = "assertion_keys_unavailable"  // the JWK set has never been fetched
)

// Error is the error for a request without a valid assertion. Detail is for the log of
// the service. It never contains the assertion.
type Error struct {
	Reason Reason
	Detail string
}

// Error returns the reason and the detail.
func (e *Error) Error() string { return string(e.Reason) + ": " + e.Detail }

func refuse(reason Reason, format string, args ...any) *Error {
	return &Error{reason, fmt.Sprintf(format, args...)}
}

// writeRefusal writes the response to a refused request.
func writeRefusal(w http.ResponseWriter, err error) {
	status, kind, title := http.StatusUnauthorized, "assertion_invalid", "The service accepts requests of the gateway only"
	if r, ok := errors.AsType[*Error](err); ok && r.Reason == KeysUnavailable {
		status, kind, title = http.StatusServiceUnavailable, string(r.Reason), "The service cannot verify requests at the moment"
	} else {
		// RFC 9110, section 15.5.2: a 401 must carry a challenge.
		w.Header().Set("WWW-Authenticate", `Certificate realm="certgate"`)
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, `{"type":"urn:certgate:`+kind+`","title":"`+title+`","status":`+strconv.Itoa(status)+"}\n") // the client may have closed the connection
}
