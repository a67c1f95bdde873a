// Package throttle protects valid clients from a flood of bad credentials.
//
// Credentials in the certificate cache are identified before this package is called.
// The other credentials are verified a few at a time, so that cores remain free for other
// work. Failed verifications take at most a tenth of one core, from all sources together:
// each one causes a pause in which only known sources are verified. Known sources are
// those that have sent an accepted credential. After the pause sources that have not
// failed go first, and sources over their failure budget last. Sources that have failed take
// at most a fiftieth of one core, because each of their failures causes a longer pause for
// them. Refusals of sources over their budget are also delayed and released one at a time,
// because a client that is refused fast sends its next request sooner. Successful
// identifications are never delayed.
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
	// FailuresPerSecond is the number of failures per second, and in one burst, that one
	// source may cause before its refusals are delayed. 0 means no limit, also for the
	// failures of all sources together.
	FailuresPerSecond int
}

// Guard counts the failures of each source and limits concurrent verifications. It is
// safe for concurrent use, and its memory is bounded. It lives as long as the gateway,
// while identifiers are replaced with the keyring. Create one with [New].
type Guard struct {
	budgets *budgets
	known   *knownSources
	queue   *verifyQueue
	delayer *delayer
}

// New returns a guard without recorded failures. At most half of GOMAXPROCS, and at
// least one, goroutines verify at the same time.
func New(o Options) *Guard {
	return &Guard{
		budgets: newBudgets(o.FailuresPerSecond),
		known:   newKnownSources(),
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
//     others were waiting.
//
// Both have a Retry-After. Identify waits at most one second for its turn. A
// refusal is delayed for 100 ms, or for up to two seconds if a thousand refusals are delayed.
func (g *Guard) Wrap(inner gate.Identifier) gate.Identifier { return guardedIdentifier{g, inner} }

type guardedIdentifier struct {
	*Guard

	inner gate.Identifier
}

// Identify counts every failure, including a missing credential: refusing it is cheap,
// but the next request may follow immediately.
func (g guardedIdentifier) Identify(claim gate.Claim, now time.Time) (result gate.Identification) {
	s, called := source{addr: sourceAddr(claim.Source)}, false
	err := g.call(s, g.priority(s), func() error {
		called = true
		result = g.inner.Identify(claim, now)
		return result.Err
	})
	if !called {
		return gate.Identification{Last: gate.Credential, Err: err}
	}
	if err == nil {
		g.known.add(s)
	}
	return result
}

// Prove calls check, which verifies that a request from addr was signed with the key
// of the verified client of this name. Every error of check is a failure. Failures are
// counted per client and address, separately from those of [Guard.Wrap]: if all clients
// have the address of one load balancer, a flood of bad certificates delays no signed
// request, and a flood of bad signatures for one client delays only that client.
//
// A client is verified immediately at an address that [Guard.Accept] was called for, unless
// it is over its budget there: every signed request is verified and must not queue. The
// others queue together with certificate verifications, and get the same refusals as in
// [Guard.Wrap]. Bad signatures from other addresses therefore do not stop a client.
func (g *Guard) Prove(addr netip.Addr, client string, check func() error) error {
	s := source{addr: sourceAddr(addr), client: client}
	p := g.priority(s)
	if p == known {
		p = immediate
	}
	return g.call(s, p, check)
}

// Accept records that a signed request of the client from addr was accepted. A signature that
// only passed [Guard.Prove] does not suffice, because it may be a copy of an earlier one.
func (g *Guard) Accept(addr netip.Addr, client string) {
	g.known.add(source{addr: sourceAddr(addr), client: client})
}

// Refuse counts the refusal of a verified client, such as a client on the deny list, as a
// failure of this client at this address, and returns the refusal. Over the budget the
// refusal is delayed, or replaced as in [Guard.Wrap].
func (g *Guard) Refuse(addr netip.Addr, client string, refused error) error {
	s := source{addr: sourceAddr(addr), client: client}
	p := immediate
	if _, spent := g.budgets.state(s); spent {
		p = suspect
	}
	return g.call(s, p, func() error { return refused })
}

// Observe calls check for a request that is forwarded regardless of the result. It never
// waits. If the client at this address has sent too many invalid signatures, check is not
// called and the error is [refusal.RateLimited]. Only the reason proof_invalid counts as a
// failure, because other failures of check are cheap.
func (g *Guard) Observe(addr netip.Addr, client string, check func() error) error {
	s := source{addr: sourceAddr(addr), client: client, observed: true}
	if _, spent := g.budgets.state(s); spent {
		return newRefusal(refusal.RateLimited, "%s sent too many invalid signatures: the signature was not verified", s)
	}
	err := check()
	if e := refusal.Of(err); e != nil && e.Reason == refusal.ProofInvalid {
		g.budgets.charge(s)
	}
	return err
}

// priority returns the priority of a source. Without a limit every source is known.
func (g *Guard) priority(s source) priority {
	failed, spent := g.budgets.state(s)
	switch {
	case spent:
		return suspect
	case g.budgets.perSecond == 0 || g.known.contains(s):
		return known
	case failed:
		return failing
	}
	return regular
}

// call calls check in the turn of the priority, and delays its error if the source is over
// its budget.
func (g *Guard) call(s source, p priority, check func() error) error {
	if p == suspect {
		return g.callSuspect(s, check)
	}
	called, err := g.callInTurn(p, s, check)
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
	called, err := g.callInTurn(suspect, s, check)
	if err != nil && !(called && g.budgets.charge(s)) {
		g.delayer.sleep()
	}
	return err
}

// callInTurn waits for its turn and calls check. called is false after a timeout or if the queue is full.
func (g *Guard) callInTurn(p priority, s source, check func() error) (called bool, err error) {
	if p != immediate {
		if !g.queue.enter(p, s) {
			return false, newRefusal(refusal.Overloaded, "%s was not verified in time: too many other verifications are in progress", s)
		}
		defer g.queue.leave() // also after a panic of check
	}
	start := time.Now()
	err = check()
	if err != nil {
		g.queue.charge(p, time.Since(start))
	}
	return true, err
}

func newRefusal(r refusal.Reason, format string, args ...any) *refusal.Error {
	d := refusal.New(r, format, args...)
	d.RetryAfter = retryAfter
	return d
}
