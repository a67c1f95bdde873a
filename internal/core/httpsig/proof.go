// Package httpsig decides whether a request was signed with the key of the
// certificate that it carries.
//
// A certificate in a header is a bearer token: whoever sees it can send it. A
// signature over the request, made with the certificate's own key, shows that
// the sender holds that key, that nobody changed what the signature covers, and,
// by a nonce that is good for once, that this is not a copy.
//
// The format is that of HTTP Message Signatures (RFC 9421) over Content-Digest
// (RFC 9530), in a profile that leaves nothing to choose. A [Signer] makes
// signatures, a [Verifier] judges them.
//
// [Verifier.Read], [Verifier.Check] and [Verifier.Spend] are the steps, cheapest
// first; each needs what the one before made, so none can be left out. Nothing is
// remembered before the signature is found right.
package httpsig

import (
	"net/http"
	"time"

	"github.com/certgate/certgate/internal/core/identity"
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/core/trust"
)

// Tag is the tag parameter of the signatures that are meant for certgate. Others
// are for others, and not looked at.
const Tag = "certgate"

// MaxLifetime is the longest time from created to expires.
const MaxLifetime = 5 * time.Minute

// Message is a request as its client sees it.
type Message struct {
	// Method and Target are as received; the target in origin form.
	Method, Target string
	// Authority is the host that the client asked for, with its port if it named
	// one, in any spelling of it.
	Authority string
	// Header has canonical names. Nothing of it is changed, nor kept.
	Header http.Header
	// HasBody reports whether the request has content, be it of unknown length. It
	// is true as well where that cannot be known.
	HasBody bool
	// Body is the whole content, asked for once and only after the signature is
	// found right; an error is returned as it is. Nil: the content is not to be
	// seen here, and a request that has any cannot be proven.
	Body func() ([]byte, error)
}

// Nonces accepts each nonce of a key once. It is safe for concurrent use.
type Nonces interface {
	// Spend returns nil the first time that it is asked for the key and value of
	// the nonce, up to Until. Else it returns a [*refusal.Error] of reason
	// ProofReplayed, Overloaded when it cannot tell or has no room, ProofExpired
	// for a nonce that may be forgotten by now, or Internal for what is none.
	Spend(n Nonce) error
}

// Nonce is one nonce of a signature that was found right.
type Nonce struct {
	Key    trust.KeyID // of the client's own key
	Client string      // the client's name, whose share of the room it takes
	Value  string      // 1 to 128 printable ASCII characters
	// Until is when it may be forgotten, on the clock that Now is of: ten seconds
	// after the last moment at which the signature is accepted, because a question
	// takes time and the clocks of two gateways are never the same.
	Now, Until time.Time
}

// Verifier reads and verifies signatures. Its fields are not changed once it is
// used; then it is safe for concurrent use. Nil and the zero value prove nothing.
type Verifier struct {
	// CredentialHeader is the name of the field with the certificate, in any case.
	CredentialHeader string
	// Authorities are the hosts that clients know this service by; empty: whatever
	// a request asks for, and then a signature does not say for which service.
	Authorities []string
	// LegacyRSA takes rsa-v1_5-sha256 beside rsa-pss-sha512.
	LegacyRSA bool
	// ClockSkew is the leeway on both ends of a signature's period, of which at
	// most five minutes count.
	ClockSkew time.Duration
	// Nonces remembers what was used; nil: nothing can be proven.
	Nonces Nonces
}

// Proven says that a client's request was signed with its key, now and once. The
// zero value proves nothing.
type Proven struct {
	client identity.Client
}

// Valid is true for every Proven that [Verifier.Spend] returned without an error.
func (p Proven) Valid() bool { return p.client.Valid() }

// Read finds the signature that is meant for certgate, checks its form and that it
// covers what it must, and compares its period with the clock. Nothing of it is
// verified. The error is a [*refusal.Error] of reason ProofMissing, ProofMalformed,
// ProofIncomplete, ProofExpired, or ProofDigest where the content is not to be
// seen or its digest is of no known kind; of a Verifier that is not whole it is
// ProofInvalid, from Read and from the other steps.
func (v *Verifier) Read(m Message, now time.Time) (Statement, error) {
	s, err := v.read(m, now)
	if err != nil {
		return Statement{}, v.advise(err, m)
	}
	return s, nil
}

func (v *Verifier) read(m Message, now time.Time) (Statement, error) {
	if err := v.ready(); err != nil {
		return Statement{}, err
	}
	found, err := find(m.Header)
	if err != nil {
		return Statement{}, err
	}
	s, err := newStatement(found)
	if err != nil {
		return Statement{}, err
	}
	covered, err := components(found.list.Items)
	if err != nil {
		return Statement{}, err
	}
	if err := v.checkCoverage(covered, m); err != nil {
		return Statement{}, err
	}
	if err := checkHeader(covered, m.Header); err != nil {
		return Statement{}, err
	}
	if err := v.checkTime(s, now); err != nil {
		return Statement{}, err
	}
	if s.digests, err = v.readDigests(covered, m); err != nil {
		return Statement{}, err
	}
	s.method, s.target, s.authority = m.Method, m.Target, m.Authority
	s.now, s.read = now, time.Now()
	s.base, err = signatureBase(m, v.Authority(m.Authority), covered, found.params)
	return s, err
}

// Checked is a statement whose signature is right. Only [Verifier.Check] makes one.
type Checked struct {
	statement Statement
	client    identity.Client
}

// Check verifies the signature of the statement with the key of the client's
// certificate; nothing is remembered and no body is read. The message is the one
// that was read. The error is a [*refusal.Error] of reason ProofImpossible or
// ProofInvalid.
func (v *Verifier) Check(s Statement, m Message, c identity.Client) (Checked, error) {
	if err := v.check(s, m, c); err != nil {
		return Checked{}, v.advise(err, m)
	}
	return Checked{statement: s, client: c}, nil
}

func (v *Verifier) check(s Statement, m Message, c identity.Client) error {
	if err := v.ready(); err != nil {
		return err
	}
	if err := s.checkMessage(m); err != nil {
		return err
	}
	if !c.Valid() {
		return refusal.New(refusal.ProofInvalid, "want a verified client, found none")
	}
	able, err := v.able(c)
	if err != nil {
		return err
	}
	own := c.Certificate()
	if err := checkKeyID(s.keyID, own.OwnKeyID()); err != nil {
		return err
	}
	return s.verify(own.Certificate().PublicKey, able)
}

// Able returns nil when the client's key can make signatures that are right. Else the
// error is a [*refusal.Error] of reason ProofImpossible, or ProofInvalid for the zero
// Client.
func (v *Verifier) Able(c identity.Client) error {
	if !c.Valid() {
		return refusal.New(refusal.ProofInvalid, "want a verified client, found none")
	}
	_, err := v.able(c)
	return v.advise(err, Message{})
}

// able are the algorithms of a valid client's key, one at least.
func (v *Verifier) able(c identity.Client) ([]algorithm, error) {
	own := c.Certificate()
	if own.SharedKey() {
		return nil, refusal.New(refusal.ProofImpossible, "the certificate's key is the master key, which the client has no business to hold")
	}
	key := own.Certificate().PublicKey
	able := algorithms(key, v.LegacyRSA)
	if len(able) == 0 {
		return nil, refusal.New(refusal.ProofImpossible, "want a key with a signature algorithm, found %s", describe(key))
	}
	return able, nil
}

// Spend ends what Read and Check began: it compares the digest of the body and
// then, last of all, spends the nonce. The message is the one that was read; the
// time since Read counts, also what reading the body takes. The error is a
// [*refusal.Error] of reason ProofDigest, ProofReplayed or, when it took too long,
// ProofExpired, one of [Nonces], or the body's.
func (v *Verifier) Spend(c Checked, m Message, now time.Time) (Proven, error) {
	if err := v.spend(c, m, now); err != nil {
		return Proven{}, v.advise(err, m)
	}
	return Proven{client: c.client}, nil
}

func (v *Verifier) spend(c Checked, m Message, now time.Time) error {
	if err := v.ready(); err != nil {
		return err
	}
	if !c.client.Valid() {
		return refusal.New(refusal.ProofInvalid, "want a signature that was checked, found none")
	}
	s := c.statement
	if err := s.checkMessage(m); err != nil {
		return err
	}
	if err := s.digests.checkBody(m); err != nil {
		return err
	}
	// The nonce of a signature that is over may be forgotten already.
	now = s.later(now)
	if err := v.checkTime(s, now); err != nil {
		return err
	}
	return v.Nonces.Spend(Nonce{
		Key: c.client.Certificate().OwnKeyID(), Client: c.client.Name(), Value: s.nonce,
		Now: now, Until: s.expires.Add(v.skew() + nonceMargin),
	})
}

// nonceMargin is how much longer than a signature its nonce is remembered.
const nonceMargin = 10 * time.Second

// ready reports a Verifier that could prove nothing.
func (v *Verifier) ready() error {
	if v == nil || v.CredentialHeader == "" || v.Nonces == nil {
		return refusal.New(refusal.ProofInvalid, "nobody to verify signatures, or no memory for their nonces")
	}
	return nil
}

// maxSkew is how much of ClockSkew counts.
const maxSkew = 5 * time.Minute

func (v *Verifier) skew() time.Duration { return min(max(v.ClockSkew, 0), maxSkew) }

func (v *Verifier) checkTime(s Statement, now time.Time) error {
	skew := v.skew()
	if now.Before(s.created.Add(-skew)) || now.After(s.expires.Add(skew)) {
		return refusal.New(refusal.ProofExpired, "want a time from created %d to expires %d, with %s of leeway, found %d",
			s.created.Unix(), s.expires.Unix(), skew, now.Unix())
	}
	return nil
}
