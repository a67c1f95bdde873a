// Package proof decides whether a request was signed with the key of the
// certificate that it carries.
//
// A certificate in a header is a bearer token: whoever sees it can send it. A
// signature over the request, made with the certificate's own key, shows that
// the sender holds that key, that nobody changed what the signature covers, and,
// by a nonce that is good for once, that this is not a copy.
//
// The format is that of HTTP Message Signatures (RFC 9421) over Content-Digest
// (RFC 9530), in a profile that leaves nothing to choose. A [Signer] makes signatures, a [Verifier]
// judges them.
//
// [Verifier.Read], [Verifier.Check] and [Verifier.Spend] are the steps, cheapest
// first; each needs what the one before made, so none can be left out. Nothing is
// remembered before the signature is found right.
package proof

import (
	"crypto"
	"crypto/x509"
	"errors"
	"net/http"
	"time"

	"github.com/certgate/certgate/internal/denial"
	"github.com/certgate/certgate/internal/identity"
	"github.com/certgate/certgate/internal/trust"
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
	// Header has canonical names. Nothing of it is changed.
	Header http.Header
	// HasBody reports whether the request has content, be it of unknown length.
	HasBody bool
	// Body is the whole content, asked for once and only after the signature is
	// found right; an error is returned as it is. Nil: the content is not to be
	// seen here, and a request that has any cannot be proven.
	Body func() ([]byte, error)
}

// Nonces accepts each nonce of a key once. It is safe for concurrent use.
type Nonces interface {
	// Spend returns nil the first time that it is asked for the key and value of
	// the nonce, before Until. Else it returns a [*denial.Error] of reason
	// ProofReplayed, or Overloaded when it cannot tell or has no room.
	Spend(n Nonce) error
}

// Nonce is one nonce of a signature that was found right.
type Nonce struct {
	Key    trust.KeyID // of the client's own key
	Client string      // the client's name, whose share of the room it takes
	Value  string      // 1 to 128 printable ASCII characters
	// Until is the last moment at which the signature is accepted, on the clock
	// that Now is of.
	Now, Until time.Time
}

// Verifier reads and verifies signatures. Its fields are not changed once it is
// used; then it is safe for concurrent use. The zero value proves nothing.
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

// Statement is what a signature says of itself. Only [Verifier.Read] makes one;
// nobody has verified it.
type Statement struct {
	valid bool
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
// verified. The error is a [*denial.Error] of reason ProofMissing, ProofMalformed,
// ProofIncomplete or ProofExpired.
func (v *Verifier) Read(m Message, now time.Time) (Statement, error) {
	return Statement{}, denial.New(denial.ProofMissing, "not written yet")
}

// Checked is a statement whose signature is right. Only [Verifier.Check] makes one.
type Checked struct {
	client identity.Client
}

// Check verifies the signature of the statement with the key of the client's
// certificate; nothing is remembered and no body is read. The error is a
// [*denial.Error] of reason ProofImpossible or ProofInvalid.
func (v *Verifier) Check(s Statement, m Message, c identity.Client) (Checked, error) {
	return Checked{}, denial.New(denial.ProofInvalid, "not written yet")
}

// Spend ends what Read and Check began: it compares the digest of the body and
// then, last of all, spends the nonce. The error is a [*denial.Error] of reason
// ProofDigest or ProofReplayed, one of [Nonces], or the body's.
func (v *Verifier) Spend(c Checked, m Message, now time.Time) (Proven, error) {
	return Proven{}, denial.New(denial.ProofInvalid, "not written yet")
}

// Signer signs requests for one client. It is safe for concurrent use; [NewSigner]
// makes one.
type Signer struct{}

// NewSigner makes a signer of a certificate and its key: RSA, ECDSA on P-256 or
// P-384, or Ed25519. CredentialHeader is the name of the field that will carry the
// certificate.
func NewSigner(cert *x509.Certificate, key crypto.Signer, credentialHeader string) (*Signer, error) {
	return nil, errors.New("not written yet")
}

// Terms are what a signature says beside the request. The zero value is good.
type Terms struct {
	// Created is when it begins; zero: now.
	Created time.Time
	// Lifetime is from created to expires, whole seconds; 0: one minute.
	Lifetime time.Duration
	// Nonce is 1 to 128 printable ASCII characters; empty: 128 random bits.
	Nonce string
	// Cover are field names that are covered beside what must be, each of which
	// the message has.
	Cover []string
	// LegacyRSA signs with rsa-v1_5-sha256 in place of rsa-pss-sha512.
	LegacyRSA bool
}

// Sign returns the fields that prove the message, with canonical names:
// Signature-Input, Signature, and for a message with a body Content-Digest. The
// message's header has the credential; its Body is asked for once when HasBody.
func (s *Signer) Sign(m Message, t Terms) (http.Header, error) {
	return nil, errors.New("not written yet")
}
