package forward

import (
	"errors"
	"time"

	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/http1/client"
)

// Attempt is one attempt to send a request to an address of the upstream. A request that
// finds an address unreachable may make further attempts.
type Attempt struct {
	Address  int // the index in the pool
	Outcome  Outcome
	Duration time.Duration // until the response header, or until the failure
}

// Outcome is the result of an [Attempt]. The zero value is not an outcome.
type Outcome int

// The outcomes.
const (
	_ Outcome = iota

	Status2xx   // a response with a status of 200 to 299
	Status3xx   // likewise
	Status4xx   // likewise
	Status5xx   // likewise
	Malformed   // a response that is not HTTP, or that has another status
	Unreachable // no connection; the request was not sent
	Timeout     // no response within the timeout
	Broken      // the connection ended before a response
	ClientFault // the client closed its connection, or its body could not be read
)

// outcomeNames are the results of [Outcome.String].
var outcomeNames = [...]string{
	Status2xx: "2xx", Status3xx: "3xx", Status4xx: "4xx", Status5xx: "5xx", Malformed: "malformed",
	Unreachable: "unreachable", Timeout: "timeout", Broken: "broken", ClientFault: "client_fault",
}

// Outcomes returns every outcome, in the order of their values, which begin at 1.
func Outcomes() (all []Outcome) {
	for o := Status2xx; o <= ClientFault; o++ {
		all = append(all, o)
	}
	return all
}

// String returns the name of the outcome as a metric label.
func (o Outcome) String() string { return outcomeNames[o] }

// outcomeOfStatus returns the outcome of an attempt with a response.
func outcomeOfStatus(status int) Outcome {
	switch class := status / 100; class {
	case 2, 3, 4, 5:
		return Status2xx + Outcome(class-2)
	default:
		return Malformed
	}
}

// outcomeOfFailure returns the outcome of an attempt without a response. reason is the
// [failure] of err.
func outcomeOfFailure(reason refusal.Reason, err error) Outcome {
	switch {
	case reason != refusal.UpstreamFailed && reason != refusal.UpstreamTimeout:
		return ClientFault
	case errors.Is(err, client.ErrBadResponse):
		return Malformed
	case errors.Is(err, client.ErrUnreachable):
		return Unreachable
	case reason == refusal.UpstreamTimeout:
		return Timeout
	default:
		return Broken
	}
}
