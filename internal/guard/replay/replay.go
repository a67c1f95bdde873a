// Package replay remembers which nonces were used, so that a signed request
// passes once.
//
// [Memory] remembers for one process, [Redis] for all who share a Redis server.
// Each is a [httpsig.Nonces]: when it cannot tell whether a nonce is new, or has no
// room to remember that it was used, it refuses it. None of them makes room by
// forgetting a nonce before its time.
package replay

import (
	"time"

	"github.com/certgate/certgate/internal/core/httpsig"
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/core/trust"
)

// maxSkew is the most leeway that a verifier gives.
const maxSkew = 5 * time.Minute

// maxAhead is how long a nonce has to be remembered at most: the longest life of a
// signature with the most leeway on both ends, and some. More would occupy its room
// for as long.
const maxAhead = httpsig.MaxLifetime + 2*maxSkew + time.Minute

// retryAfter is what a client is told whose nonce could not be remembered.
const retryAfter = time.Second

// check refuses what no verifier asks for, and what is over. Until is the last
// moment of a nonce and not after it.
func check(n httpsig.Nonce) *refusal.Error {
	switch ahead := n.Until.Sub(n.Now); {
	case n.Key == (trust.KeyID{}), n.Client == "", n.Value == "", n.Now.IsZero(), n.Until.IsZero():
		return refusal.New(refusal.Internal, "want a nonce with key, client, value and times, found it without one of them")
	case ahead < 0:
		return refusal.New(refusal.ProofExpired, "the signature is over, and its nonce may be forgotten since %s", n.Until.UTC().Format(time.RFC3339))
	case ahead > maxAhead:
		return refusal.New(refusal.Internal, "want a nonce to be remembered for at most %s, found %s", maxAhead, ahead)
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
