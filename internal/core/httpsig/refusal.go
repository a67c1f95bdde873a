package httpsig

import (
	"strings"

	"github.com/certgate/certgate/internal/core/refusal"
)

// hints tell a client how to repair each refusal.
var hints = map[refusal.Reason]string{
	refusal.ProofMissing:    "Sign the request with the certificate's key (RFC 9421) over what Accept-Signature names; " + parameters,
	refusal.ProofMalformed:  "Write Signature-Input, Signature and Content-Digest as RFC 9421 and RFC 9530 have them, nothing twice; " + parameters,
	refusal.ProofIncomplete: "Cover everything that Accept-Signature names, of what the request has; " + parameters,
	refusal.ProofExpired:    "Sign the request when it is sent, with created now and expires at most 300 seconds later, and set the client's clock",
	refusal.ProofInvalid:    "Sign the request as it is sent, its host, path and query in every byte, with the key of the attached certificate, and name that key's hex SHA-256 as keyid",
	refusal.ProofDigest:     "Send Content-Digest with the sha-256 or sha-512 of the very body that is sent",
	refusal.ProofReplayed:   "Sign each request anew, a second try as well, with a nonce that was never used before",
	refusal.ProofImpossible: "Make a key that only this client holds, Ed25519, ECDSA on P-256 or P-384, or RSA of at least 2048 bits, and have a certificate issued over it",
}

const parameters = `the parameters are created, expires at most 300 seconds later, a nonce that is new each time, keyid with the hex SHA-256 of the key's SubjectPublicKeyInfo, and tag="certgate"`

// advise adds to a refusal what the client can do about it. Other errors stay as
// they are.
func (v *Verifier) advise(err error, m Message) error {
	refused := refusal.Of(err)
	if refused == nil {
		return err
	}
	hint, ok := hints[refused.Reason]
	if !ok {
		return err
	}
	advised := *refused
	if advised.Hint == "" {
		advised = *refused.WithHint(hint)
	}
	if v != nil && refused.Reason != refusal.ProofImpossible {
		advised.AcceptSignature = v.acceptSignature(m)
	}
	return &advised
}

// acceptSignature asks for a signature (RFC 9421, section 5.1).
func (v *Verifier) acceptSignature(m Message) string {
	names := append(needed(m.Target), strings.ToLower(v.CredentialHeader))
	if m.HasBody {
		names = append(names, contentDigest)
	}
	return `sig1=("` + strings.Join(names, `" "`) + `");created;expires;tag="` + Tag + `"`
}
