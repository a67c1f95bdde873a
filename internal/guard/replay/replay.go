// Package replay stores used nonces, so that a signed request is accepted once.
//
// [Memory] stores nonces for one process, [Redis] for all gateways that share a Redis
// server. Both implement [httpsig.Nonces]. They refuse a nonce if they cannot
// determine whether it is new, or have no room to store it. They keep every nonce
// until it expires, even when they are full.
package replay

import (
	"time"

	"github.com/certgate/certgate/internal/core/httpsig"
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/core/trust"
)

// maxSkew is the largest clock skew that a verifier allows.
const maxSkew = 5 * time.Minute

// maxAhead is the longest time that a nonce has to be stored: the longest lifetime of
// a signature, the largest clock skew at both ends, and a minute of reserve. A longer
// time is refused, because the nonce would occupy its entry for as long.
const maxAhead = httpsig.MaxLifetime + 2*maxSkew + time.Minute

// retryAfter is the value of Retry-After in the refusal of a nonce that could not be stored.
const retryAfter = time.Second

// check refuses an invalid or expired nonce. At the time Until the nonce is still
// valid.
func check(n httpsig.Nonce) *refusal.Error {
	switch ahead := n.Until.Sub(n.Now); {
	case n.Key == (trust.KeyID{}), n.Client == "", n.Value == "", n.Now.IsZero(), n.Until.IsZero():
		return refusal.New(refusal.Internal, "want a nonce with key, client, value and times, found one of them missing")
	case ahead < 0:
		return refusal.New(refusal.ProofExpired, "the signature expired at %s, and its nonce may have been dropped", n.Until.UTC().Format(time.RFC3339))
	case ahead > maxAhead:
		return refusal.New(refusal.Internal, "want a nonce to be stored for at most %s, found %s", maxAhead, ahead)
	}
	return nil
}

func overloaded(format string, args ...any) *refusal.Error {
	d := refusal.New(refusal.Overloaded, format, args...)
	d.RetryAfter = retryAfter
	return d
}

func replayed() *refusal.Error {
	return refusal.New(refusal.ProofReplayed, "the nonce has been used before with this key")
}
