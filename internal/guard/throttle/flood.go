// Package throttle keeps a flood of bad credentials out of good clients' way.
//
// A remembered client never comes here to be identified: what is remembered is
// answered before.
// Of the others only a few are verified at the same time, so that a core is left
// for everybody else, and those from a source that has failed too often let all
// others go first. Such a source's refusals are held back for a moment, and let
// go one by one: a fast answer invites the next request, and a flood that waits
// costs less than one that is told no. Who is good is never held back.
//
// Signatures are another matter: nobody's can be remembered. [Guard.Prove] stands
// before them.
package throttle

import (
	"net/netip"
	"runtime"
	"time"

	"github.com/certgate/certgate/internal/core/gate"
	"github.com/certgate/certgate/internal/core/refusal"
)

// retryAfter is when a client that was turned away should try again: by then a
// budget is full again and who waits for verification has given up.
const retryAfter = time.Second

// Options are what a [Guard] is made of.
type Options struct {
	// FailuresPerSecond is how often one source may fail, on average and at once,
	// before its refusals are held back; 0: as often as it likes.
	FailuresPerSecond int
}

// Guard knows which sources fail and how many are being verified. It is safe for
// concurrent use, bounded in memory whatever comes, and meant to live as long as
// the gateway: identifiers come and go with the keyring. [New] makes one.
type Guard struct {
	budgets   *budgets
	turnstile *turnstile
	hold      *hold
}

// New makes a guard before which nobody has failed yet. At most half of
// GOMAXPROCS verify at the same time, but one at least.
func New(o Options) *Guard {
	return &Guard{
		budgets:   newBudgets(o.FailuresPerSecond),
		turnstile: newTurnstile(max(1, runtime.GOMAXPROCS(0)/2)),
		hold:      newHold(),
	}
}

// Held is how many refusals have been held back so far.
func (g *Guard) Held() uint64 { return g.hold.total.Load() }

// Before stands before an identifier that costs something to ask. Beside the
// inner one's, its refusals are
//
//   - [refusal.RateLimited]: the source has failed too often and too many answers
//     are held back already; the credential was not looked at,
//   - [refusal.Overloaded]: too many others are being verified; neither was it.
//
// Both say when to try again. Identify waits for its turn to verify, a second at
// most; a refusal may be held back for 100 ms more, or for two seconds when a
// thousand others are.
func (g *Guard) Before(inner gate.Identifier) gate.Identifier { return guarded{g, inner} }

type guarded struct {
	*Guard

	inner gate.Identifier
}

// Identify counts every failure: a missing credential costs little, but its
// answer invites the next one all the same.
func (g guarded) Identify(claim gate.Claim, now time.Time) (found gate.Identification) {
	asked := false
	err := g.call(source{addr: fold(claim.Source)}, true, func() error {
		asked = true
		found = g.inner.Identify(claim, now)
		return found.Err
	})
	if !asked {
		return gate.Identification{Last: gate.Credential, Err: err}
	}
	return found
}

// Prove calls check, which looks whether a request from addr was signed with the key
// of the client of this name; it is verified, or empty. Every error of check is a
// failure. They are counted for the client at this address, and apart from those of
// [Guard.Before]: where all clients come from one address, that of a load balancer,
// a flood of bad certificates delays no signed request, and one of bad signatures for
// one client those of that client only. With no name it counts as bad certificates do.
//
// Who has not failed too often is checked at once: signed requests are checked each
// anew, and must not wait for each other. Who has takes turns with those who are
// verified, behind them, and gets the refusals that Before has, too.
func (g *Guard) Prove(addr netip.Addr, client string, check func() error) error {
	return g.call(source{addr: fold(addr), client: client}, false, check)
}

// Refuse counts the refusal of a verified client, such as one on the deny list, as a
// failure of this client at this address, and returns it. If the client has failed too
// often there, the refusal is held back, or is replaced as those of [Guard.Before] are.
func (g *Guard) Refuse(addr netip.Addr, client string, refused error) error {
	return g.call(source{addr: fold(addr), client: client}, false, func() error { return refused })
}

// Observe is Prove for a request that passes whatever check says. Nobody waits and
// nothing is held back: when the client at this address had too many signatures that
// were found wrong, check is not called, and the error is of [refusal.RateLimited].
// Other failures of check cost little and do not count.
func (g *Guard) Observe(addr netip.Addr, client string, check func() error) error {
	s := source{addr: fold(addr), client: client, observed: true}
	if g.budgets.spent(s) {
		return refused(refusal.RateLimited, "%s has signed wrongly too often: its signature was not verified", s)
	}
	err := check()
	if e := refusal.Of(err); e != nil && e.Reason == refusal.ProofInvalid {
		g.budgets.charge(s)
	}
	return err
}

// call calls what costs something, and holds back its failure if the source fails
// too often. InLine says whether a source that does not has to wait for its turn.
func (g *Guard) call(s source, inLine bool, check func() error) error {
	if g.budgets.spent(s) {
		return g.callSuspect(s, check)
	}
	var err error
	asked := true
	if inLine {
		asked, err = g.inTurn(innocent, s, check)
	} else {
		err = check()
	}
	if asked && err != nil && !g.budgets.charge(s) && g.hold.take() {
		defer g.hold.give()
		g.hold.wait()
	}
	return err
}

// callSuspect takes the place for the answer before the check: who fails without one
// would be told so at once.
func (g *Guard) callSuspect(s source, check func() error) error {
	if !g.hold.take() {
		return refused(refusal.RateLimited, "%s has failed too often, and %d answers are held back already", s, maxHeld)
	}
	defer g.hold.give()
	asked, err := g.inTurn(suspect, s, check)
	if err != nil && !(asked && g.budgets.charge(s)) {
		g.hold.wait()
	}
	return err
}

// inTurn waits for its turn; asked is false when that did not come.
func (g *Guard) inTurn(st standing, s source, check func() error) (asked bool, err error) {
	if !g.turnstile.enter(st, s) {
		return false, refused(refusal.Overloaded, "%s had no turn to be verified: too many others are", s)
	}
	defer g.turnstile.leave() // a panic, too, must let the next one in
	return true, check()
}

func refused(r refusal.Reason, format string, args ...any) *refusal.Error {
	d := refusal.New(r, format, args...)
	d.RetryAfter = retryAfter
	return d
}
