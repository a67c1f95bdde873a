package gate

import (
	"cmp"
	"net/netip"
	"time"

	"github.com/certgate/certgate/internal/core/access"
	"github.com/certgate/certgate/internal/core/headers"
	"github.com/certgate/certgate/internal/core/httpsig"
	"github.com/certgate/certgate/internal/core/identity"
	"github.com/certgate/certgate/internal/core/refusal"
)

// How a client shows that it has its certificate's key.
const (
	Bearer = "bearer" // not at all: it has the certificate
	Signed = "signed" // by the request's signature
	MTLS   = "mtls"   // in a TLS handshake with a trusted proxy
)

// Possession says which requests must be signed, and judges signatures. The zero
// value asks for signatures where a rule does, and finds none good.
type Possession struct {
	// Default is what holds for rules that say nothing of proof; unsaid is off.
	Default access.Proof
	// Everywhere says that neither Default nor a rule lets pass what is not proven.
	// Then a signature that cannot be good is refused before its certificate costs
	// anything.
	Everywhere bool
	// Verifier judges signatures; nil finds none good.
	Verifier *httpsig.Verifier
	// Guard calls check for a verified client, or an empty name where none is yet, and
	// may make a source wait whose checks have failed too often, or refuse in its
	// place; nil: check is called at once.
	Guard func(source netip.Addr, client string, check func() error) error
	// Observer is called in Guard's place for a request that is only observed. It may
	// spare the check of a client whose checks have failed too often, and makes nobody
	// wait; nil: check is called.
	Observer func(source netip.Addr, client string, check func() error) error
}

// asked is what a grant's rule says, or the default in its place.
func (p *Possession) asked(g access.Grant) access.Proof {
	return cmp.Or(g.Proof(), p.Default, access.ProofOff) // ProofUnsaid is the zero value
}

// LooksAtSignatures reports whether signatures are the gateway's business with this
// request, good or not.
func (d *Decision) LooksAtSignatures() bool {
	return d.Proof != access.ProofOff && d.Proof != access.ProofUnsaid
}

func (p *Possession) guarded(source netip.Addr, client string, check func() error) error {
	if p.Guard == nil {
		return check()
	}
	return p.Guard(source, client, check)
}

// glance refuses a signature that no certificate could make good, where every
// request must have one. A request without any is told first what is wrong with
// its certificate, and has nothing read yet: the statement is nil.
func (g *Gate) glance(r *Request) (*httpsig.Statement, error) {
	if !g.Possession.Everywhere || r.Auth == MTLS || len(r.Header[headers.SignatureInput]) == 0 {
		return nil, nil //nolint:nilnil // said above
	}
	return g.Possession.read(r.message(""), r.Source, r.Time)
}

// read tells the guard of a failure only: nobody has been verified, and who signs
// must not stand in line with whoever else comes from the same address.
func (p *Possession) read(m httpsig.Message, source netip.Addr, now time.Time) (*httpsig.Statement, error) {
	statement, err := p.Verifier.Read(m, now)
	if err != nil {
		return nil, p.guarded(source, "", func() error { return err })
	}
	return &statement, nil
}

// prove asks for the proof that the rule wants. Who is observed is let through with
// what would have been refused on record; a body that could not be read is for whoever
// forwards it to say.
func (g *Gate) prove(r *Request, early *httpsig.Statement, d *Decision) error {
	d.Proof = g.Possession.asked(d.Grant)
	if d.Proof == access.ProofOff || r.Auth == MTLS {
		return nil
	}
	p := g.Possession
	if d.Proof == access.ProofObserve {
		p.Guard = p.Observer
	}
	err := p.proven(question{r.message(d.Client.Name()), early, d.Client, r.Source}, r.Time)
	switch {
	case err == nil:
		d.Auth, d.Authority = Signed, p.Verifier.Authority(r.Authority)
	case d.Proof == access.ProofObserve:
		d.WouldRefuse, err = asRefusal(err), nil
	}
	return err
}

// question is one request whose client wants to prove that it has the key.
type question struct {
	message httpsig.Message
	early   *httpsig.Statement // nil: it was not read yet
	client  identity.Client
	source  netip.Addr
}

// proven takes the steps of package proof. The guard stands before those that cost
// something, and hears of a failure of the others; it does not wait for a body.
func (p *Possession) proven(q question, now time.Time) error {
	var checked httpsig.Checked
	err := p.guarded(q.source, q.client.Name(), func() (err error) {
		statement := q.early
		if statement == nil {
			read, err := p.Verifier.Read(q.message, now)
			if err != nil {
				return p.unsigned(err, q.client)
			}
			statement = &read
		}
		checked, err = p.Verifier.Check(*statement, q.message, q.client)
		return err
	})
	if err != nil {
		return err
	}
	proven, err := p.Verifier.Spend(checked, q.message, now)
	if err == nil && !proven.Valid() {
		return refusal.New(refusal.Internal, "want a proof, found none")
	}
	if e := refusal.Of(err); e != nil && (e.Reason == refusal.ProofDigest || e.Reason == refusal.ProofReplayed) {
		return p.guarded(q.source, q.client.Name(), func() error { return err })
	}
	return err
}

// unsigned is the refusal of who has not signed: whose key can sign nothing is told
// that, and not to sign. Any other error stays.
func (p *Possession) unsigned(err error, client identity.Client) error {
	if e := refusal.Of(err); e == nil || e.Reason != refusal.ProofMissing {
		return err
	}
	if unable := p.Verifier.Able(client); unable != nil {
		return unable
	}
	return err
}

// message is the request as package proof has it, with its body on account of the
// client.
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
