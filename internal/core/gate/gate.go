// Package gate decides whether one request is allowed.
//
// It runs the checks in a fixed order, each on the output of the previous one: target,
// credential, trust, identity, access, proof, rate. It does not depend on sockets,
// frameworks or logs, so every listener of certgate uses the same gate.
package gate

import (
	"net/http"
	"net/netip"
	"time"

	"github.com/certgate/certgate/internal/core/access"
	"github.com/certgate/certgate/internal/core/identity"
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/core/trust"
)

// Gate decides about requests. It is immutable, except for the token buckets of its policy,
// and safe for concurrent use. The zero value refuses every request.
type Gate struct {
	// Identifier returns the client of a credential. Nil refuses every credential.
	Identifier Identifier
	// Policy holds the access rules. Nil allows nothing.
	Policy *access.Policy
	// Signatures states which requests must be signed, and verifies signatures.
	Signatures SignaturePolicy
	// Throttle receives each refusal of a client on the deny list, with the source of the
	// request and the client's name. It returns the refusal or replaces it, and may delay
	// its caller. Nil returns the refusal at once.
	Throttle func(source netip.Addr, client string, refusal error) error
	// Next holds the rules that are compared with Policy. Nil compares nothing.
	Next *NextRules
}

// Identifier returns the client of a credential at the time now. [Verification] verifies the
// certificate each time. Package certcache caches the results, and package throttle
// limits the verifications.
type Identifier interface {
	Identify(claim Claim, now time.Time) Identification
}

// Claim holds the parts of a request that identify its client.
type Claim struct {
	// Values has every value of the credential header.
	Values []string
	// Source is the address of the client, as far as it is trusted. The zero value means
	// unknown. It does not identify a client; it is used for throttling.
	Source netip.Addr
}

// Identification is the result of an [Identifier]. Err is nil exactly when Client is valid.
// The other fields are set by the checks that ran.
type Identification struct {
	// Last is the step that refused, or [Identity].
	Last Step
	// Certificate is the verification of the certificate, without the parsed certificate.
	Certificate trust.Verified
	Client      identity.Client
	// Signed describes the certificate when an anchor signed it and another check
	// refused it, for example because it has expired. Certificate is the zero value
	// then. It is for the log.
	Signed trust.Signed
	// SignedClient is the client name in the certificate that Signed describes, or "" if
	// the certificate has no valid name. It is for the log: the client was refused.
	SignedClient string
	// NextName is the name of the client under the next rules, or "" if they refuse the
	// certificate. It is for the comparison with the next rules only.
	NextName string
	Err      error
}

// Request holds everything that a decision depends on.
type Request struct {
	// Time is the time of arrival, which validity periods, signatures and rates are compared
	// with. All times of a process come from one clock. The zero value is refused.
	Time time.Time
	// Credential has every value of the credential header.
	Credential []string
	// Source is the address of the client: see [Claim].
	Source netip.Addr
	// Method is the request method, as received.
	Method string
	// Target is the request target, as received (RFC 9112, section 3.2).
	Target string

	// Auth is the possession of the certificate's key that a proxy has verified: [MTLS], or
	// any other value for [Bearer].
	Auth string
	// Authority, Header, HasBody and Body are the other parts that a signature can cover: see
	// Message in package httpsig. Body is nil if the gate cannot read the body.
	Authority string
	Header    http.Header
	HasBody   bool
	Body      Body
}

// level returns the level of possession of a request without a signature.
func (r *Request) level() string {
	if r.Auth == "" {
		return Bearer
	}
	return r.Auth
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
	Target     Step = "target"     // the path has only one interpretation
	Credential Step = "credential" // the header carries a certificate
	Trust      Step = "trust"      // an anchor signed it, it is valid now and not revoked
	Identity   Step = "identity"   // it has exactly one valid name, which its anchor may issue
	Access     Step = "access"     // a rule allows the request
	Proof      Step = "proof"      // it is signed with the certificate's key, where that is required
	Rate       Step = "rate"       // the client has a token left in the bucket of that rule
)

// Steps lists the steps in their order.
func Steps() []Step { return []Step{Target, Credential, Trust, Identity, Access, Proof, Rate} }

// Decision is the result of the checks. Refusal is nil exactly when Grant is valid. The other
// fields are set by the checks that ran, for the log.
type Decision struct {
	// Identification is the result of the Identifier, or the zero value if it was not called,
	// except for Last, which is the step that refused, or [Rate].
	Identification

	Target access.Target
	// Rule is the name of the rule that allows the request, even if its rate is exceeded.
	Rule string
	// Auth is the level of possession: [Bearer], [Signed] or [MTLS].
	Auth string
	// Authority is the host that the signature covers if Auth is [Signed], and empty otherwise.
	Authority string
	// Proof is the requirement of the rule, or of the default setting.
	Proof access.Proof
	// WouldRefuse is the refusal that proof: require would have caused, if proof is only
	// observed, and nil otherwise.
	WouldRefuse *refusal.Error
	// Next states how the next rules would change the decision. It is for the log.
	Next    Change
	Grant   access.Grant
	Refusal *refusal.Error
}

// Decide runs the checks and stops at the first refusal. An allowed request takes one token
// of its rule's rate. A refused request takes none. The comparison with the next rules follows
// the decision and has no influence on it.
func (g *Gate) Decide(r Request) (d Decision) {
	d.Auth = r.level()
	err := g.decide(&r, &d)
	granted := d.Grant
	if err != nil {
		d.Grant = access.Grant{}
		d.Refusal = asRefusal(err)
	}
	if g.Next != nil {
		d.Next = g.compare(&r, d, granted)
	}
	return d
}

// Admit runs the checks that identify the client, and the deny list. It checks no rule and
// takes no token. The gateway uses it for requests that it serves itself. They are not compared
// with the next rules. The Grant is never valid, so the request cannot be forwarded. Refusal is
// nil if the client is verified and not denied.
func (g *Gate) Admit(r Request) (d Decision) {
	d.Auth = r.level()
	err := g.identify(&r, &d)
	if err == nil {
		d.Last = Access
		if err = g.Policy.Admit(d.Client); err != nil {
			err = g.throttle(&r, d.Client, err)
		}
	}
	if err != nil {
		d.Refusal = asRefusal(err)
	}
	return d
}

func (g *Gate) decide(r *Request, d *Decision) (err error) {
	if err := g.identify(r, d); err != nil {
		return err
	}
	d.Last = Access
	if d.Grant, err = g.Policy.Decide(d.Client, r.Method, d.Target); err != nil {
		return g.throttle(r, d.Client, err)
	}
	d.Rule = d.Grant.Rule()
	d.Last = Proof
	if err := g.prove(r, d); err != nil {
		return err
	}
	d.Last = Rate
	return d.Grant.Take(r.Time)
}

// throttle returns a refusal by the policy. The refusal of a client on the deny list passes
// through Throttle, because a denied client whose certificate verifies could otherwise be
// refused as fast as it sends.
func (g *Gate) throttle(r *Request, client identity.Client, refused error) error {
	if g.Throttle == nil || g.Policy.Admit(client) == nil {
		return refused
	}
	return g.Throttle(r.Source, client.Name(), refused)
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
		return refusal.New(refusal.CertificateUntrusted, "want an identifier, found none")
	}
	d.Identification = g.Identifier.Identify(Claim{Values: r.Credential, Source: r.Source}, r.Time)
	return d.Err
}

// asRefusal returns the refusal in err. Any other error is a fault of the gateway and becomes
// an internal refusal, because the request has no grant.
func asRefusal(err error) *refusal.Error {
	if e := refusal.Of(err); e != nil {
		return e
	}
	return refusal.New(refusal.Internal, "%v", err)
}
