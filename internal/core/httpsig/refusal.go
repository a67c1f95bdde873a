package httpsig

import (
	"strings"

	"github.com/certgate/certgate/internal/core/refusal"
)

// hints tells the client how to correct a request that was refused for each reason.
var hints = map[refusal.Reason]string{
	refusal.ProofMissing:    "Sign the request with the certificate's key (RFC 9421) over the components in Accept-Signature; " + parameters,
	refusal.ProofMalformed:  "Write Signature-Input, Signature and Content-Digest as RFC 9421 and RFC 9530 define them, without duplicates; " + parameters,
	refusal.ProofIncomplete: "Cover every component in Accept-Signature; " + parameters,
	refusal.ProofExpired:    "Sign the request immediately before sending it, with created set to the current time and expires at most 300 seconds later, and synchronize the client's clock",
	refusal.ProofInvalid:    "Sign the request exactly as it is sent, including every byte of its host, path and query, with the key of the attached certificate, and set keyid to the hex SHA-256 of that key",
	refusal.ProofDigest:     "Send Content-Digest with the sha-256 or sha-512 of exactly the body that is sent",
	refusal.ProofReplayed:   "Sign each request, including each retry, with a nonce that was never used before",
	refusal.ProofImpossible: "Generate a key that only this client holds (Ed25519, ECDSA on P-256 or P-384, or RSA of at least 2048 bits) and have a certificate issued for it",
}

const parameters = `the parameters are created, expires at most 300 seconds later, a nonce that is new each time, keyid with the hex SHA-256 of the key's SubjectPublicKeyInfo, and tag="certgate"`

// addHint adds a hint and an Accept-Signature value to a refusal. It returns other errors
// unchanged.
func (v *Verifier) addHint(err error, m Message) error {
	refused := refusal.Of(err)
	if refused == nil {
		return err
	}
	hint, ok := hints[refused.Reason]
	if !ok {
		return err
	}
	hinted := *refused
	if hinted.Hint == "" {
		hinted = *refused.WithHint(hint)
	}
	if v != nil && refused.Reason != refusal.ProofImpossible {
		hinted.AcceptSignature = v.acceptSignature(m)
	}
	return &hinted
}

// acceptSignature returns the Accept-Signature value that requests a signature over the
// message (RFC 9421, section 5.1).
func (v *Verifier) acceptSignature(m Message) string {
	names := append(requiredComponents(m.Target), strings.ToLower(v.CredentialHeader))
	if m.HasBody {
		names = append(names, contentDigest)
	}
	return `sig1=("` + strings.Join(names, `" "`) + `");created;expires;tag="` + Tag + `"`
}
