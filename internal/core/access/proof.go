package access

import (
	"fmt"
	"slices"
)

// Proof says whether requests have to be signed with the key of the client's
// certificate.
type Proof string

// What a rule can say of proof.
const (
	ProofUnsaid  Proof = ""        // as everywhere: what the gateway's setting says
	ProofOff     Proof = "off"     // signatures are not looked at
	ProofObserve Proof = "observe" // they are verified, and nothing is refused
	ProofRequire Proof = "require" // what is not proven is refused
)

// Proof is what the rule that grants the request says of proof. The zero Grant
// says nothing.
func (g Grant) Proof() Proof {
	if g.rule == nil {
		return ProofUnsaid
	}
	return g.rule.proof
}

// EveryRule reports whether f is true of what each rule says of proof. It is false
// where there is no rule to ask, and so for nil, so that nothing follows from that.
func (p *Policy) EveryRule(f func(Proof) bool) bool {
	if p == nil || len(p.rules) == 0 {
		return false
	}
	return !slices.ContainsFunc(p.rules, func(r ruled) bool { return !f(r.proof) })
}

// proof is what a rule says; what is none has a fault.
func (c *compiler) proof(i int, text string) Proof {
	p := Proof(text)
	switch p {
	case ProofUnsaid, ProofOff, ProofObserve, ProofRequire:
	default:
		c.fault("rules", i, "proof", -1, fmt.Errorf("want proof to be require, observe or off, found %.40q", text))
	}
	return p
}
