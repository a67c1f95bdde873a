package simulation

import (
	"strings"

	"github.com/certgate/certgate/internal/core/access"
	"github.com/certgate/certgate/internal/core/gate"
	"github.com/certgate/certgate/internal/core/refusal"
)

// outcome is a decision of access rules about one request.
type outcome struct {
	kind kind
	// by is the rule that allows the request, the reason for which it is refused, or the
	// cause for which the outcome is not known.
	by string
	// rated reports whether the rule that allows the request has a rate.
	rated bool
}

type kind int

const (
	unknown   kind = iota // the line does not contain enough
	undecided             // the rules were not evaluated
	allowed
	refused
)

// Causes of unknown outcomes.
const (
	causeCut       = "the log has only a part of the path or method"
	causeNoClient  = "the log does not have the client's name"
	causeSource    = "the client's name is in another part of the certificate"
	causeRevoked   = "the certificate was revoked, possibly by its key, which is not in the log"
	causeSignature = "the rules require a signature, and the gateway did not verify signatures of this request"
)

// Causes of refusals by access rules, in addition to the reason.
const (
	byDenyList = string(refusal.AccessDenied) + ": client on the deny list"
	byNoRule   = string(refusal.AccessDenied) + ": no rule"
	bySerial   = string(refusal.CertificateRevoked) + ": serial on the deny list"
)

// recorded returns the decision of the gateway's rules. A request that a rule allowed counts
// as allowed, even if a rate or another limit refused it later.
func recorded(e *Entry) outcome {
	reason := refusal.Reason(e.Reason)
	switch {
	case e.Rule != "" && isProof(reason):
		return outcome{kind: refused, by: e.Reason}
	case e.Rule != "":
		return outcome{kind: allowed, by: e.Rule}
	case reason == refusal.AccessDenied, reason == refusal.CertificateRevoked, isIdentity(reason):
		return outcome{kind: refused, by: e.Reason}
	default:
		return outcome{kind: undecided}
	}
}

// isProof reports whether the reason depends on the proof setting of a rule.
func isProof(r refusal.Reason) bool { return strings.HasPrefix(string(r), "proof_") }

// isIdentity reports whether the reason depends on the anchors in the rules file.
func isIdentity(r refusal.Reason) bool { return strings.HasPrefix(string(r), "identity_") }

// decide returns the decision of the rules about a recorded request, and the target.
func (r Rules) decide(e *Entry) (outcome, access.Target) {
	t, err := access.ParseTarget(e.Path)
	switch {
	case err != nil, strings.ContainsAny(e.Method, `\…`):
		return outcome{kind: unknown, by: causeCut}, t
	case r.Revocations.DeniesSerial(e.Serial):
		return outcome{kind: refused, by: bySerial}, t
	case e.Reason == string(refusal.CertificateRevoked):
		return outcome{kind: unknown, by: causeRevoked}, t
	case e.Client == "":
		return outcome{kind: unknown, by: causeNoClient}, t
	}
	return r.decideClient(e, t), t
}

// decideClient decides about the client, its access and its proof.
func (r Rules) decideClient(e *Entry, t access.Target) outcome {
	switch permitted, sameSource := r.Names.PermitsLogged(e.KeyID, e.Client); {
	case !sameSource:
		return outcome{kind: unknown, by: causeSource}
	case !permitted:
		return outcome{kind: refused, by: string(refusal.IdentityOutOfScope)}
	}
	found := r.Policy.Predict(e.Client, e.Method, t)
	switch {
	case found.Allowed() && r.requiredProof(found) == access.ProofRequire:
		return decideProof(e, found)
	case found.Allowed():
		return allowedBy(found)
	case r.Policy.Denies(e.Client):
		return outcome{kind: refused, by: byDenyList}
	default:
		return outcome{kind: refused, by: byNoRule}
	}
}

func allowedBy(p access.Prediction) outcome {
	return outcome{kind: allowed, by: p.Rule(), rated: p.Rate() != ""}
}

// decideProof decides about a request whose rule requires a signature. The gateway records
// the result of the verification only if the rule in force required or observed it.
func decideProof(e *Entry, found access.Prediction) outcome {
	switch {
	case e.Auth == gate.Signed, e.Auth == gate.MTLS:
		return allowedBy(found)
	case isProof(refusal.Reason(e.Reason)):
		return outcome{kind: refused, by: e.Reason}
	case e.WouldRefuse != "":
		return outcome{kind: refused, by: e.WouldRefuse}
	default:
		return outcome{kind: unknown, by: causeSignature}
	}
}
