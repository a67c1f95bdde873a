// Package httpsig verifies that a request was signed with the private key of the
// certificate in its header.
//
// A certificate in a header is a bearer token: any program that sees the header can
// send it again. A signature over the request, made with the certificate's private
// key, proves that the sender holds that key and that the covered parts of the
// request are unchanged. A single-use nonce prevents replay.
//
// The package implements a fixed profile of HTTP Message Signatures (RFC 9421) with
// Content-Digest (RFC 9530). A [Signer] creates signatures and a [Verifier] verifies
// them.
//
// Verification has three steps, cheapest first: [Verifier.Read], [Verifier.Check] and
// [Verifier.Finish]. Each step takes the result of the previous one and refuses its zero
// value, so no step can be skipped. The nonce is recorded in the last step, so a request with
// an invalid signature stores nothing.
package httpsig

import (
	"net/http"
	"time"

	"github.com/certgate/certgate/internal/core/identity"
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/core/trust"
)

// Tag is the tag parameter that marks a signature for certgate. Signatures with
// other tags are ignored.
const Tag = "certgate"

// MaxLifetime is the maximum time from created to expires.
const MaxLifetime = 5 * time.Minute

// Message is a request as its client sent it.
type Message struct {
	// Method and Target are the bytes of the request line. Target is in origin form.
	Method, Target string
	// Authority is the host from the request, with the port if the client sent one.
	// It is normalized with NormalizeHost.
	Authority string
	// Header has canonical field names. The package neither changes nor retains it.
	Header http.Header
	// HasBody reports whether the request has content, including content of unknown
	// length. Set it to true if the caller cannot tell.
	HasBody bool
	// Body returns the whole content. The Verifier calls it at most once, after the
	// signature is verified, and returns its error unchanged. If Body is nil, the
	// content is not available, and a request that has content or covers
	// Content-Digest is refused.
	Body func() ([]byte, error)
}

// Nonces accepts each nonce of a key once. Implementations are safe for concurrent use.
type Nonces interface {
	// Use returns nil for the first call with a given key and value, and records
	// the pair until n.Until. Otherwise it returns a [*refusal.Error] with one of these
	// reasons: ProofReplayed for a recorded nonce, Overloaded if the store is full or
	// unavailable, ProofExpired for a nonce that the store may have discarded already,
	// Internal for an invalid nonce.
	Use(n Nonce) error
}

// Nonce is the nonce of a verified signature.
type Nonce struct {
	Key    trust.KeyID // ID of the client's public key
	Client string      // name of the client, for its share of the store's capacity
	Value  string      // 1 to 128 printable ASCII characters
	// Until is the time after which the store may discard the nonce, on the same clock
	// as Now. It is ten seconds after the last time at which the signature is accepted.
	// The margin covers the latency of the store and the clock difference between two
	// gateways.
	Now, Until time.Time
}

// Verifier reads and verifies signatures. It is safe for concurrent use if its fields
// do not change after the first call. A nil Verifier and the zero value refuse every
// request.
type Verifier struct {
	// CredentialHeader is the name of the field that carries the certificate. Case is
	// ignored. If empty, every request is refused.
	CredentialHeader string
	// Authorities are the public hosts of the service. If empty, the host of each
	// request is used, so a signature is not bound to one service.
	Authorities []string
	// LegacyRSA accepts rsa-v1_5-sha256 in addition to rsa-pss-sha512.
	LegacyRSA bool
	// ClockSkew is the tolerance before created and after expires. Negative values
	// mean zero, and values above five minutes mean five minutes.
	ClockSkew time.Duration
	// Nonces records used nonces. If nil, every request is refused.
	Nonces Nonces
}

// Verified is the result of a successful verification: the client signed this request
// with its key, the signature is current, and its nonce was unused. The zero value is
// invalid.
type Verified struct {
	client identity.Client
}

// Valid reports whether p was returned by [Verifier.Finish] without an error.
func (p Verified) Valid() bool { return p.client.Valid() }

// Read parses the signature with certgate's tag, checks that it covers the required
// components, and compares its validity period with now. It does not verify the
// signature. The error is a [*refusal.Error] with reason ProofMissing, ProofMalformed,
// ProofIncomplete or ProofExpired. The reason is ProofDigest if the content is not
// available or Content-Digest has no supported algorithm. Read, Check and Finish return
// ProofInvalid if the Verifier has no CredentialHeader or no Nonces.
func (v *Verifier) Read(m Message, now time.Time) (Statement, error) {
	s, err := v.read(m, now)
	if err != nil {
		return Statement{}, v.addHint(err, m)
	}
	return s, nil
}

func (v *Verifier) read(m Message, now time.Time) (Statement, error) {
	if err := v.checkConfig(); err != nil {
		return Statement{}, err
	}
	p, ok := readCanonical(m.Header)
	if !ok {
		var err error
		if p, err = parseSignature(m.Header); err != nil {
			return Statement{}, err
		}
	}
	if err := v.checkCoverage(p.covered, m); err != nil {
		return Statement{}, err
	}
	if err := checkHeader(p.covered, m.Header); err != nil {
		return Statement{}, err
	}
	s := p.statement
	if err := v.checkTime(s, now); err != nil {
		return Statement{}, err
	}
	var err error
	if s.digests, err = v.readDigests(p.covered, m); err != nil {
		return Statement{}, err
	}
	s.method, s.target, s.authority = m.Method, m.Target, m.Authority
	s.now, s.read = now, time.Now()
	s.base, err = signatureBase(m, v.Authority(m.Authority), p.covered, p.params)
	return s, err
}

// Checked is a Statement with a verified signature. Only [Verifier.Check] creates a
// valid one. The zero value is refused by [Verifier.Finish].
type Checked struct {
	statement Statement
	client    identity.Client
}

// Check verifies the signature in s with the public key of the client's certificate.
// It does not read the body and does not record the nonce. m must be the message that
// was passed to Read. The error is a [*refusal.Error] with reason ProofImpossible or
// ProofInvalid.
func (v *Verifier) Check(s Statement, m Message, c identity.Client) (Checked, error) {
	if err := v.check(s, m, c); err != nil {
		return Checked{}, v.addHint(err, m)
	}
	return Checked{statement: s, client: c}, nil
}

func (v *Verifier) check(s Statement, m Message, c identity.Client) error {
	if err := v.checkConfig(); err != nil {
		return err
	}
	if err := s.checkMessage(m); err != nil {
		return err
	}
	if !c.Valid() {
		return refusal.New(refusal.ProofInvalid, "want a verified client, found none")
	}
	supported, err := v.supported(c)
	if err != nil {
		return err
	}
	own := c.Certificate()
	if err := checkKeyID(s.keyID, own.OwnKeyID()); err != nil {
		return err
	}
	return s.verify(own.PublicKey(), supported)
}

// CheckKey returns nil if this Verifier accepts signatures by the client's key. Otherwise
// the error is a [*refusal.Error] with reason ProofImpossible, or ProofInvalid for the
// zero Client.
func (v *Verifier) CheckKey(c identity.Client) error {
	if !c.Valid() {
		return refusal.New(refusal.ProofInvalid, "want a verified client, found none")
	}
	_, err := v.supported(c)
	return v.addHint(err, Message{})
}

// supported returns the algorithms of a valid client's key, at least one.
func (v *Verifier) supported(c identity.Client) ([]algorithm, error) {
	own := c.Certificate()
	if own.SharedKey() {
		return nil, refusal.New(refusal.ProofImpossible, "want a certificate with the client's own key, found the master key")
	}
	key := own.PublicKey()
	supported := algorithms(key, v.LegacyRSA)
	if len(supported) == 0 {
		return nil, refusal.New(refusal.ProofImpossible, "want a key with a signature algorithm, found %s", describe(key))
	}
	return supported, nil
}

// Finish compares the body with its digest and then records the nonce. m must be the
// message that was passed to Read. The validity period is checked again after the body
// is read, because a slow body can outlast the signature. The error is a
// [*refusal.Error] with reason ProofInvalid, ProofDigest or ProofExpired, or the error
// of Nonces.Use or Message.Body.
func (v *Verifier) Finish(c Checked, m Message, now time.Time) (Verified, error) {
	if err := v.finish(c, m, now); err != nil {
		return Verified{}, v.addHint(err, m)
	}
	return Verified{client: c.client}, nil
}

func (v *Verifier) finish(c Checked, m Message, now time.Time) error {
	if err := v.checkConfig(); err != nil {
		return err
	}
	if !c.client.Valid() {
		return refusal.New(refusal.ProofInvalid, "want a signature that was checked, found the zero value")
	}
	s := c.statement
	if err := s.checkMessage(m); err != nil {
		return err
	}
	if err := s.digests.checkBody(m); err != nil {
		return err
	}
	// The store may have discarded the nonce of an expired signature.
	now = s.later(now)
	if err := v.checkTime(s, now); err != nil {
		return err
	}
	return v.Nonces.Use(Nonce{
		Key: c.client.Certificate().OwnKeyID(), Client: c.client.Name(), Value: s.nonce,
		Now: now, Until: s.expires.Add(v.skew() + nonceMargin),
	})
}

// nonceMargin is the time that a nonce is kept after its signature expires.
const nonceMargin = 10 * time.Second

// checkConfig returns an error if a required field of the Verifier is not set.
func (v *Verifier) checkConfig() error {
	if v == nil || v.CredentialHeader == "" || v.Nonces == nil {
		return refusal.New(refusal.ProofInvalid, "want a verifier with a credential header and a nonce store, found an incomplete one")
	}
	return nil
}

// maxSkew is the upper limit of ClockSkew.
const maxSkew = 5 * time.Minute

func (v *Verifier) skew() time.Duration { return min(max(v.ClockSkew, 0), maxSkew) }

func (v *Verifier) checkTime(s Statement, now time.Time) error {
	skew := v.skew()
	if now.Before(s.created.Add(-skew)) || now.After(s.expires.Add(skew)) {
		return refusal.New(refusal.ProofExpired, "want a time from created %d to expires %d, with a clock skew of at most %s, found %d",
			s.created.Unix(), s.expires.Unix(), skew, now.Unix())
	}
	return nil
}
