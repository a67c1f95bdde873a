// Package flood keeps a flood of bad credentials out of good clients' way.
//
// A remembered client never comes here: what is remembered is answered before.
// Of the others only a few are verified at the same time, so that a core is left
// for everybody else, and those from a source that has failed too often let all
// others go first. Such a source's refusals are held back for a moment, and let
// go one by one: a fast answer invites the next request, and a flood that waits
// costs less than one that is told no. Who is good is never held back.
package flood

import (
	"net/netip"
	"runtime"
	"time"

	"github.com/certgate/certgate/internal/denial"
	"github.com/certgate/certgate/internal/gate"
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
//   - [denial.RateLimited]: the source has failed too often and too many answers
//     are held back already; the credential was not looked at,
//   - [denial.Overloaded]: too many others are being verified; neither was it.
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
func (g guarded) Identify(claim gate.Claim, now time.Time) gate.Identification {
	source := fold(claim.Source)
	if g.budgets.spent(source) {
		return g.identifySuspect(source, claim, now)
	}
	found, asked := g.ask(innocent, source, claim, now)
	if asked && found.Err != nil && !g.budgets.charge(source) && g.hold.take() {
		defer g.hold.give()
		g.hold.wait()
	}
	return found
}

// identifySuspect takes the place for the answer before the verification: who
// fails without one would be told so at once.
func (g guarded) identifySuspect(source netip.Addr, claim gate.Claim, now time.Time) gate.Identification {
	if !g.hold.take() {
		return refused(denial.RateLimited, "%s has failed too often, and %d answers are held back already", source, maxHeld)
	}
	defer g.hold.give()
	found, asked := g.ask(suspect, source, claim, now)
	if found.Err != nil && !(asked && g.budgets.charge(source)) {
		g.hold.wait()
	}
	return found
}

// ask waits for its turn; asked is false when that did not come.
func (g guarded) ask(s standing, source netip.Addr, claim gate.Claim, now time.Time) (found gate.Identification, asked bool) {
	if !g.turnstile.enter(s, source) {
		return refused(denial.Overloaded, "%s had no turn to be verified: too many others are", source), false
	}
	defer g.turnstile.leave() // a panic, too, must let the next one in
	return g.inner.Identify(claim, now), true
}

func refused(r denial.Reason, format string, args ...any) gate.Identification {
	d := denial.New(r, format, args...)
	d.RetryAfter = retryAfter
	return gate.Identification{Last: gate.Credential, Err: d}
}
