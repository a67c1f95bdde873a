// Package gate decides whether one request may pass.
//
// It runs the checks in their order, each on the output of the one before:
// target, credential, trust, identity, access, proof, rate. It knows nothing of
// sockets, frameworks or logs, so every way into certgate asks the same gate.
package gate

import (
	"cmp"
	"net/http"
	"net/netip"
	"time"

	"github.com/certgate/certgate/internal/core/access"
	"github.com/certgate/certgate/internal/core/identity"
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/core/trust"
)

// Gate is immutable, but for the token buckets of its policy, and safe for
// concurrent use. The zero value refuses everything.
type Gate struct {
	// Identifier says whom a credential speaks for; nil nobody.
	Identifier Identifier
	// Policy answers for clients; nil allows nothing.
	Policy *access.Policy
	// Possession says which requests must be signed, and judges signatures.
	Possession Possession
	// Throttle is told of each refusal of a client on the deny list, with the source of
	// the request and the client's name. It returns the refusal, or another one in its
	// place, and may delay its caller; nil: the refusal is returned at once.
	Throttle func(source netip.Addr, client string, refusal error) error
}

// Identifier says whom a credential speaks for at the time now. [Verification]
// asks the certificate each time; package remember asks it once, and package
// flood not more often than the gateway can bear.
type Identifier interface {
	Identify(claim Claim, now time.Time) Identification
}

// Claim is what a request brings to be identified by.
type Claim struct {
	// Values has every value of the credential header.
	Values []string
	// Source is where the request came from, as far as that can be believed; the
	// zero value: unknown. It identifies nobody, it only tells who asks too much.
	Source netip.Addr
}

// Identification is what an [Identifier] found. Err is nil exactly when Client
// is valid; the other fields are filled as far as the checks came.
type Identification struct {
	// Last is the step that refused, or [Identity].
	Last        Step
	Certificate trust.Verified
	Client      identity.Client
	// Signed describes the certificate when an anchor signed it and another check
	// refused it. It is for the log.
	Signed trust.Signed
	Err    error
}

// Request is what a decision depends on, nothing more.
type Request struct {
	// Time is when it came: what dates, signatures and rates are held against. The
	// times of one process come from one clock. The zero value is refused.
	Time time.Time
	// Credential has every value of the credential header.
	Credential []string
	// Source is where it came from: see [Claim].
	Source netip.Addr
	// Method is the request method, as received.
	Method string
	// Target is the request target, as received (RFC 9112, section 3.2).
	Target string

	// Auth is how possession of the certificate's key was shown on the way here:
	// [MTLS], and everything else is [Bearer].
	Auth string
	// Authority, Header, HasBody and Body are what else a signature can cover: see
	// package httpsig's Message. Body is nil when the gate cannot read the body.
	Authority string
	Header    http.Header
	HasBody   bool
	Body      Body
}

// Body is the body of a request. The gate reads it only to verify a signature that covers
// it.
type Body interface {
	// Hold returns the whole body. The memory counts against the share of the client, which
	// is verified. The error is returned as the refusal of the request.
	Hold(client string) ([]byte, error)
}

// Step is one of the checks.
type Step string

// The steps in their order.
const (
	Target     Step = "target"     // the path can be read in one way only
	Credential Step = "credential" // the header carries a certificate
	Trust      Step = "trust"      // an anchor vouches for it, in time, not revoked
	Identity   Step = "identity"   // it has exactly one clean OU
	Access     Step = "access"     // a rule allows the request
	Proof      Step = "proof"      // it is signed with the certificate's key, where that is asked for
	Rate       Step = "rate"       // the client has a token left with that rule
)

// Steps lists the steps in their order.
func Steps() []Step { return []Step{Target, Credential, Trust, Identity, Access, Proof, Rate} }

// Decision is what the gate found. Denial is nil exactly when Grant is valid;
// the other fields are filled as far as the checks came, for the log.
type Decision struct {
	// Last is the step that refused, or [Rate].
	Last        Step
	Target      access.Target
	Certificate trust.Verified
	Client      identity.Client
	// Signed describes the certificate when an anchor signed it and another check
	// refused it, for example because it has expired. Certificate is the zero value
	// then. It is for the log.
	Signed trust.Signed
	// Rule is the name of the rule that allows the request, also when its rate
	// does not.
	Rule string
	// Auth is how possession of the certificate's key was shown: [Bearer], [Signed]
	// or [MTLS].
	Auth string
	// Authority is the host for which the request is signed, where Auth is [Signed];
	// else empty.
	Authority string
	// Proof is what the rule, or the setting in its place, says of proof.
	Proof access.Proof
	// WouldRefuse is why the request would be refused if proof were required, and
	// is only observed; else nil.
	WouldRefuse *refusal.Error
	Grant       access.Grant
	Denial      *refusal.Error
}

// Decide runs the checks and stops at the first refusal. A request that passes
// has taken one token of its rule's rate, another none.
func (g *Gate) Decide(r Request) (d Decision) {
	d.Auth = cmp.Or(r.Auth, Bearer)
	if err := g.decide(&r, &d); err != nil {
		d.Grant = access.Grant{}
		d.Denial = asRefusal(err)
	}
	return d
}

// Admit runs the checks that tell who is calling, and asks the deny list; no rule
// is asked and no token taken. It is for what the gateway answers itself: the
// Grant is never valid, so nothing can be forwarded on this Decision, and Denial
// is nil when the caller is a verified client that nobody denies.
func (g *Gate) Admit(r Request) (d Decision) {
	d.Auth = cmp.Or(r.Auth, Bearer)
	err := g.identify(&r, &d)
	if err == nil {
		d.Last = Access
		err = g.admit(&r, d.Client)
	}
	if err != nil {
		d.Denial = asRefusal(err)
	}
	return d
}

func (g *Gate) decide(r *Request, d *Decision) (err error) {
	early, err := g.glance(r)
	if err != nil {
		d.Last = Proof
		return err
	}
	if err := g.identify(r, d); err != nil {
		return err
	}
	d.Last = Access
	if err := g.admit(r, d.Client); err != nil {
		return err
	}
	if d.Grant, err = g.Policy.Decide(d.Client, r.Method, d.Target); err != nil {
		return err
	}
	d.Rule = d.Grant.Rule()
	d.Last = Proof
	if err := g.prove(r, early, d); err != nil {
		return err
	}
	d.Last = Rate
	return d.Grant.Take(r.Time)
}

// admit asks the deny list. Its refusals are throttled, because a denied client whose
// certificate verifies could otherwise be refused as fast as it sends.
func (g *Gate) admit(r *Request, client identity.Client) error {
	err := g.Policy.Admit(client)
	if err != nil && g.Throttle != nil {
		return g.Throttle(r.Source, client.Name(), err)
	}
	return err
}

// identify runs the checks up to [Identity].
func (g *Gate) identify(r *Request, d *Decision) (err error) {
	d.Last = Target
	if d.Target, err = access.ParseTarget(r.Target); err != nil {
		return err
	}
	d.Last = Trust
	if r.Time.IsZero() {
		return refusal.New(refusal.Internal, "want the time of the request, found none")
	}
	if g.Identifier == nil {
		return refusal.New(refusal.CertificateUntrusted, "nobody to ask whom a certificate speaks for")
	}
	found := g.Identifier.Identify(Claim{Values: r.Credential, Source: r.Source}, r.Time)
	d.Last, d.Certificate, d.Client, d.Signed = found.Last, found.Certificate, found.Client, found.Signed
	return found.Err
}

// SignedClient returns the client name in the refused certificate that Signed
// describes, or "" when there is no such certificate or it has no valid name. It
// is for the log: the client was refused.
func (d *Decision) SignedClient() string {
	if !d.Signed.Valid() {
		return ""
	}
	name, err := identity.Claimed(d.Signed.Certificate())
	if err != nil {
		return ""
	}
	return name
}

// refusal is the denial inside err. A check that fails in another way refuses
// too: it is the gateway's fault, but the request still has no grant.
func asRefusal(err error) *refusal.Error {
	if e := refusal.Of(err); e != nil {
		return e
	}
	return refusal.New(refusal.Internal, "%v", err)
}
