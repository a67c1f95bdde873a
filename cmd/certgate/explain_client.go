package main

import (
	"cmp"

	"github.com/certgate/certgate/internal/core/access"
	"github.com/certgate/certgate/internal/core/gate"
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/tool/simulation"
)

// explainClient explains a request of a client that is known by its name only.
func (c explainCommand) explainClient(env environment) error {
	rules, err := loadRules(env)
	if err != nil {
		return err
	}
	v := rules.Decide(simulation.Request{Client: c.Client, Method: c.Method, Target: c.Target})
	if v.Refusal == nil && v.Proof == access.ProofRequire && !c.Signed {
		v.Last = gate.Proof
		v.Refusal = refusal.New(refusal.ProofMissing, "want a signature, found none: rule %q requires one", v.Rule())
	}
	return c.print(env, c.explainVerdict(v))
}

// loadRules returns the rules of the configuration. The keys and the variables in unused
// may be unset.
func loadRules(env environment, unused ...placeholder) (simulation.Rules, error) {
	key, err := unusedKey()
	if err != nil {
		return simulation.Rules{}, err
	}
	conf, err := loadConfig(env, append(unused, key, unusedUpstream())...)
	return rulesOf(conf, isSet(env.variables(), "AUTH_PUBLIC_KEY")), err
}

// explainVerdict returns the explanation of a decision without a certificate.
func (c explainCommand) explainVerdict(v simulation.Verdict) explanation {
	e := explanation{Decision: "allowed", Client: c.Client, Rule: v.Rule()}
	e.refuse(v.Refusal)
	e.Steps = stepResults(v.Refusal, v.Last, func(step gate.Step) (result, detail string) {
		if step == gate.Credential || step == gate.Trust {
			return "not checked", "--client names the client"
		}
		return "passed", c.describeVerdict(step, v)
	})
	return e
}

// describeVerdict returns the result of a step that passed.
func (c explainCommand) describeVerdict(step gate.Step, v simulation.Verdict) string {
	switch step {
	case gate.Target:
		return v.Target.String()
	case gate.Identity:
		return "client " + c.Client
	case gate.Access:
		return "rule " + v.Rule()
	case gate.Proof:
		return c.describeProof(v.Proof)
	case gate.Rate:
		return cmp.Or(v.Rate(), "no rate")
	default:
		return ""
	}
}

func (c explainCommand) describeProof(required access.Proof) string {
	switch {
	case required == access.ProofOff:
		return "not required"
	case c.Signed:
		return gate.Signed
	default: // observed, because explainClient refuses a request that must be signed
		return describeProof(gate.Decision{Proof: required, WouldRefuse: &refusal.Error{Reason: refusal.ProofMissing}})
	}
}
