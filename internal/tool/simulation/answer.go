package simulation

import (
	"github.com/certgate/certgate/internal/core/access"
	"github.com/certgate/certgate/internal/core/refusal"
)

// Answer is the decision of rules about a recorded request.
type Answer struct {
	// Decision is "allowed", "refused", or "unknown" if the line does not contain enough.
	Decision string `json:"decision"`
	// Rule allows the request.
	Rule string `json:"rule"`
	// Detail is the reason of the refusal with its detail, or the cause for which the decision
	// is not known.
	Detail string `json:"detail"`
}

// DecideEntry decides about a recorded request. If the recorded refusal does not depend on
// rules, such as one for an expired certificate, the answer assumes an accepted certificate.
func (r Rules) DecideEntry(e *Entry) Answer {
	found, target := r.decide(e)
	switch found.kind {
	case allowed:
		return Answer{Decision: "allowed", Rule: found.by}
	case refused:
		return Answer{Decision: "refused", Detail: r.detail(e, target, found)}
	default:
		return Answer{Decision: "unknown", Detail: found.by}
	}
}

// detail returns the detail of a refusal.
func (r Rules) detail(e *Entry, t access.Target, found outcome) string {
	if found.by != byNoRule && found.by != byDenyList {
		return found.by
	}
	_, err := r.Policy.Explain(e.Client, e.Method, t)
	if refused := refusal.Of(err); refused != nil {
		return refused.Error()
	}
	return found.by
}

// DecidedByRules reports whether the recorded decision depends on the rules.
func (e *Entry) DecidedByRules() bool { return recorded(e).kind != undecided }
