// Package throttle protects valid clients from a flood of bad credentials.
//
// Credentials in the certificate cache are identified before this package is called.
// The other credentials are verified a few at a time, so that cores remain free for other
// work. Sources over their failure budget are verified after all other sources.
// Their refusals are delayed and released one at a time, because a fast refusal
// invites the next request. Successful identifications are never delayed.
//
// Signatures are never cached. [Guard.Prove] limits their verification.
package throttle

import (
	"net/netip"
	"runtime"
	"time"

	"github.com/certgate/certgate/internal/core/gate"
	"github.com/certgate/certgate/internal/core/refusal"
)

// retryAfter is the Retry-After of refusals without a verification. After that time
// a budget is full again, and requests that wait for verification have timed out.
const retryAfter = time.Second

// Options configure a [Guard].
type Options struct {
	// FailuresPerSecond is the number of failures per second, and at once, that one
	// source may cause before its refusals are delayed. 0 means no limit.
	FailuresPerSecond int
}

// Guard counts the failures of each source and limits concurrent verifications. It is
// safe for concurrent use, and its memory is bounded. It lives as long as the gateway,
// while identifiers are replaced with the keyring. Create one with [New].
type Guard struct {
	budgets *budgets
	queue   *verifyQueue
	delayer *delayer
}

// New returns a guard without recorded failures. At most half of GOMAXPROCS, and at
// least one, goroutines verify at the same time.
func New(o Options) *Guard {
	return &Guard{
		budgets: newBudgets(o.FailuresPerSecond),
		queue:   newVerifyQueue(max(1, runtime.GOMAXPROCS(0)/2)),
		delayer: newDelayer(),
	}
}

// Delayed returns the number of refusals that were delayed so far.
func (g *Guard) Delayed() uint64 { return g.delayer.total.Load() }

// Wrap returns an identifier that limits calls of inner, whose verification is
// expensive. In addition to inner's refusals it returns
//
//   - [refusal.RateLimited]: the source is over its budget and all slots for delayed
//     responses are taken; the credential was not verified,
//   - [refusal.Overloaded]: the credential was not verified within one second, because too many
//     others were being verified.
//
// Both have a Retry-After. Identify waits at most one second for its turn. A
// refusal is delayed for 100 ms, or for up to two seconds if a thousand refusals are delayed.
func (g *Guard) Wrap(inner gate.Identifier) gate.Identifier { return guardedIdentifier{g, inner} }

type guardedIdentifier struct {
	*Guard

	inner gate.Identifier
}

// Identify counts every failure, including a missing credential: refusing it is cheap,
// but the response invites the next request.
func (g guardedIdentifier) Identify(claim gate.Claim, now time.Time) (result gate.Identification) {
	called := false
	err := g.call(source{addr: sourceAddr(claim.Source)}, true, func() error {
		called = true
		result = g.inner.Identify(claim, now)
		return result.Err
	})
	if !called {
		return gate.Identification{Last: gate.Credential, Err: err}
	}
	return result
}

// Prove calls check, which verifies that a request from addr was signed with the key
// of the verified client of this name. Every error of check is a failure. Failures are
// counted per client and address, separately from those of [Guard.Wrap]: if all clients
// have the address of one load balancer, a flood of bad certificates delays no signed
// request, and a flood of bad signatures for one client delays only that client.
//
// Sources within their budget are verified immediately, because every signed request
// is verified and must not queue. Sources over their budget queue at low priority
// together with certificate verifications, and get the same refusals as in [Guard.Wrap].
func (g *Guard) Prove(addr netip.Addr, client string, check func() error) error {
	return g.call(source{addr: sourceAddr(addr), client: client}, false, check)
}

// Refuse counts the refusal of a verified client, such as a client on the deny list, as a
// failure of this client at this address, and returns the refusal. Over the budget the
// refusal is delayed, or replaced as in [Guard.Wrap].
func (g *Guard) Refuse(addr netip.Addr, client string, refused error) error {
	return g.call(source{addr: sourceAddr(addr), client: client}, false, func() error { return refused })
}

// Observe calls check for a request that is forwarded regardless of the result. It never
// waits. If the client at this address has sent too many invalid signatures, check is not
// called and the error is [refusal.RateLimited]. Only the reason proof_invalid counts as a
// failure, because other failures of check are cheap.
func (g *Guard) Observe(addr netip.Addr, client string, check func() error) error {
	s := source{addr: sourceAddr(addr), client: client, observed: true}
	if g.budgets.isSpent(s) {
		return newRefusal(refusal.RateLimited, "%s sent too many invalid signatures: the signature was not verified", s)
	}
	err := check()
	if e := refusal.Of(err); e != nil && e.Reason == refusal.ProofInvalid {
		g.budgets.charge(s)
	}
	return err
}

// call calls check and delays its error if the source is over its budget. With
// queued, a source within its budget waits for its turn.
func (g *Guard) call(s source, queued bool, check func() error) error {
	if g.budgets.isSpent(s) {
		return g.callSuspect(s, check)
	}
	var err error
	called := true
	if queued {
		called, err = g.callQueued(regular, s, check)
	} else {
		err = check()
	}
	if called && err != nil && !g.budgets.charge(s) && g.delayer.acquire() {
		defer g.delayer.release()
		g.delayer.sleep()
	}
	return err
}

// callSuspect acquires a slot for the delayed response before it calls check. Otherwise a
// request without a slot would be refused immediately after the verification.
func (g *Guard) callSuspect(s source, check func() error) error {
	if !g.delayer.acquire() {
		return newRefusal(refusal.RateLimited, "%s has failed too often, and %d responses are already delayed", s, maxDelayed)
	}
	defer g.delayer.release()
	called, err := g.callQueued(suspect, s, check)
	if err != nil && !(called && g.budgets.charge(s)) {
		g.delayer.sleep()
	}
	return err
}

// callQueued waits for its turn and calls check. called is false after a timeout or if the queue is full.
func (g *Guard) callQueued(st priority, s source, check func() error) (called bool, err error) {
	if !g.queue.enter(st, s) {
		return false, newRefusal(refusal.Overloaded, "%s was not verified in time: too many other verifications are in progress", s)
	}
	defer g.queue.leave() // also after a panic of check
	return true, check()
}

func newRefusal(r refusal.Reason, format string, args ...any) *refusal.Error {
	d := refusal.New(r, format, args...)
	d.RetryAfter = retryAfter
	return d
}
