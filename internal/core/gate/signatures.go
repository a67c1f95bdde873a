package gate

import (
	"net/netip"
	"time"

	"github.com/certgate/certgate/internal/core/access"
	"github.com/certgate/certgate/internal/core/httpsig"
	"github.com/certgate/certgate/internal/core/identity"
	"github.com/certgate/certgate/internal/core/refusal"
)

// Levels of possession of the certificate's key.
const (
	Bearer = "bearer" // not shown: the client sent the certificate only
	Signed = "signed" // by a signature over the request
	MTLS   = "mtls"   // by a TLS handshake with a trusted proxy
)

// SignaturePolicy states which requests must be signed, and verifies signatures. The zero
// value requires signatures where a rule does, and accepts none.
type SignaturePolicy struct {
	// Default applies to rules without a proof setting. Unsaid means off.
	Default access.Proof
	// Verifier verifies signatures. Nil accepts none.
	Verifier *httpsig.Verifier
	// Guard calls check for the verified client with that name. It may delay a source
	// with too many failures, or refuse it. Nil calls check at once.
	Guard func(source netip.Addr, client string, check func() error) error
	// Accepted is called for each request whose required signature was accepted, after every
	// check of it. Nil does nothing.
	Accepted func(source netip.Addr, client string)
	// Observer replaces Guard for a request whose signature is only observed. It never waits,
	// and may skip check for a client with too many failures. Nil calls check.
	Observer func(source netip.Addr, client string, check func() error) error
}

// required returns the setting of a rule, or the default.
func (p *SignaturePolicy) required(rule access.Proof) access.Proof {
	if rule != access.ProofUnsaid {
		return rule
	}
	if p.Default != access.ProofUnsaid {
		return p.Default
	}
	return access.ProofOff
}

// LooksAtSignatures reports whether the gateway verifies signatures of this request, with any
// result.
func (d *Decision) LooksAtSignatures() bool {
	return d.Proof != access.ProofOff && d.Proof != access.ProofUnsaid
}

func (p *SignaturePolicy) callGuard(source netip.Addr, client string, check func() error) error {
	if p.Guard == nil {
		return check()
	}
	return p.Guard(source, client, check)
}

// prove verifies the signature if the rule requires or observes one. For an observed
// signature it records the refusal and allows the request. An error of reading the body
// is reported when the request is forwarded.
func (g *Gate) prove(r *Request, d *Decision) error {
	d.Proof = g.Signatures.required(d.Grant.Proof())
	if d.Proof == access.ProofOff || r.Auth == MTLS {
		return nil
	}
	p := g.Signatures
	if d.Proof == access.ProofObserve {
		p.Guard = p.Observer
	}
	err := p.verify(signedRequest{r.message(d.Client.Name()), d.Client, r.Source}, r.Time)
	switch {
	case err == nil:
		if d.Proof == access.ProofRequire && p.Accepted != nil {
			p.Accepted(r.Source, d.Client.Name())
		}
		d.Auth, d.Authority = Signed, p.Verifier.Authority(r.Authority)
	case d.Proof == access.ProofObserve:
		d.WouldRefuse, err = asRefusal(err), nil
	}
	return err
}

// signedRequest is a request whose signature is to be verified.
type signedRequest struct {
	message httpsig.Message
	client  identity.Client
	source  netip.Addr
}

// verify runs the steps of package httpsig. The guard limits the signature verification
// and counts the failures of the other steps. It is not held while the body is read.
func (p *SignaturePolicy) verify(s signedRequest, now time.Time) error {
	var checked httpsig.Checked
	err := p.callGuard(s.source, s.client.Name(), func() error {
		statement, err := p.Verifier.Read(s.message, now)
		if err != nil {
			return p.missingProof(err, s.client)
		}
		checked, err = p.Verifier.Check(statement, s.message, s.client)
		return err
	})
	if err != nil {
		return err
	}
	verified, err := p.Verifier.Finish(checked, s.message, now)
	if err == nil && !verified.Valid() {
		return refusal.New(refusal.Internal, "want a verified signature, found none")
	}
	if e := refusal.Of(err); e != nil && (e.Reason == refusal.ProofDigest || e.Reason == refusal.ProofReplayed) {
		return p.callGuard(s.source, s.client.Name(), func() error { return err })
	}
	return err
}

// missingProof replaces the refusal of a missing signature if the client's key cannot sign at all.
// Other errors are returned unchanged.
func (p *SignaturePolicy) missingProof(err error, client identity.Client) error {
	if e := refusal.Of(err); e == nil || e.Reason != refusal.ProofMissing {
		return err
	}
	if unable := p.Verifier.CheckKey(client); unable != nil {
		return unable
	}
	return err
}

// message returns the request for package httpsig. Its body counts against the client's share.
func (r *Request) message(client string) httpsig.Message {
	m := httpsig.Message{
		Method: r.Method, Target: r.Target, Authority: r.Authority,
		Header: r.Header, HasBody: r.HasBody,
	}
	if body := r.Body; body != nil { // r itself must not escape to the heap
		m.Body = func() ([]byte, error) { return body.Hold(client) }
	}
	return m
}
