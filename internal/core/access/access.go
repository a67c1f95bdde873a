// Package access decides what a client may do.
//
// Access is the union of the rules: a request is granted when one rule names
// its client and allows its method and path, and the deny list does not name
// the client. Nothing is granted otherwise.
//
// [Compile] compiles rules and a deny list into a [Policy]. [ParseTarget] parses the
// request target. [Policy.Decide] returns a [Grant] or a refusal. Only Decide creates a valid
// Grant, so code that takes a Grant cannot run for a request without a decision.
//
// A rule may have a rate. Decide does not take a token; [Grant.Take] does, once for each
// request that is about to be forwarded.
//
// A rule may require signatures. Decide does not verify them; [Grant.Proof] returns the
// requirement.
//
// [Policy.Predict] answers for a policy that is not in force. Its [Prediction] is not a Grant.
//
// Rules do not match hosts, headers, queries and bodies.
package access

import (
	"github.com/certgate/certgate/internal/core/identity"
	"github.com/certgate/certgate/internal/core/refusal"
)

// Everyone matches every verified client in a rule and in the deny list. It is not a valid
// client name: [identity.CheckAny] refuses it.
const Everyone = "*"

// Grant is permission for one client to send one request. It is immutable; the
// zero value grants nothing and is not Valid. Its methods have pointer receivers only to avoid
// copies.
type Grant struct {
	client identity.Client
	method string
	target Target
	rule   *compiledRule // nil for the zero value
}

// Valid reports whether [Policy.Decide] returned the Grant without an error.
func (g *Grant) Valid() bool { return g.rule != nil }

// Client returns the client that may send the request.
func (g *Grant) Client() identity.Client { return g.client }

// Method returns the method of the decision.
func (g *Grant) Method() string { return g.method }

// Target returns the target of the decision.
func (g *Grant) Target() Target { return g.target }

// Rule returns the name of the first rule, in the order of the rules, that grants the
// request. It is empty for the zero value.
func (g *Grant) Rule() string {
	if g.rule == nil {
		return ""
	}
	return g.rule.name
}

// Policy is a compiled set of rules and deny list. It is immutable, except for
// the token buckets of rules with a rate, and safe for concurrent use. Nil and the zero value
// grant nothing.
type Policy struct {
	rules   []compiledRule // by number
	methods []methodTries
	named   map[string]struct{} // clients that a rule names
	denied  map[string]string   // the reason, by client
}

// compiledRule is the part of a rule that a grant needs. It is immutable.
type compiledRule struct {
	name    string
	limiter *limiter // nil if the rule has no rate
	proof   Proof
}

// methodTries holds the patterns of one method: those for every client, and those of each client.
type methodTries struct {
	method   string
	everyone *node
	clients  map[string]*node
}

// RuleNames returns the names of the rules in their order.
func (p *Policy) RuleNames() (names []string) {
	if p == nil {
		return nil
	}
	for _, r := range p.rules {
		names = append(names, r.name)
	}
	return names
}

// Decide grants or refuses one request. Every refusal is a [*refusal.Error] with reason
// AccessDenied whose detail describes what is missing. A nil policy, a zero client and a zero
// target are refused.
//
// The cost depends on the target and on the patterns with the same prefix, not on the number
// of rules.
func (p *Policy) Decide(c identity.Client, method string, t Target) (Grant, error) {
	if p == nil || !c.Valid() || !t.valid() {
		return Grant{}, refusal.New(refusal.AccessDenied, "want a policy, a client and a target, found a zero value")
	}
	if err := p.checkDenyList(c.Name()); err != nil {
		return Grant{}, err
	}
	rule := p.find(c.Name(), method, t)
	if rule == nil {
		return Grant{}, p.refusal(c.Name(), method, t)
	}
	return Grant{client: c, method: method, target: t, rule: rule}, nil
}

// find returns the first rule that allows the request, or nil. It ignores the deny list.
func (p *Policy) find(client, method string, t Target) *compiledRule {
	tries := p.triesOf(method)
	if tries == nil {
		return nil
	}
	rule := tries.clients[client].match(t.decoded, noRule)
	rule = tries.everyone.match(t.decoded, rule)
	if rule == noRule {
		return nil
	}
	return &p.rules[rule]
}

// triesOf returns the patterns of a method, or nil. A search is faster than a map, because
// there are few methods.
func (p *Policy) triesOf(method string) *methodTries {
	for i := range p.methods {
		if p.methods[i].method == method {
			return &p.methods[i]
		}
	}
	return nil
}

// Admit refuses a client on the deny list with reason AccessDenied. It checks no rule. The
// gateway uses it for requests that it serves itself. A nil policy and a zero client are refused.
func (p *Policy) Admit(c identity.Client) error {
	if p == nil || !c.Valid() {
		return refusal.New(refusal.AccessDenied, "want a policy and a client, found a zero value")
	}
	return p.checkDenyList(c.Name())
}

func (p *Policy) checkDenyList(client string) error {
	if reason, denied := p.onDenyList(client); denied {
		return refusal.New(refusal.AccessDenied, "client %q is on the deny list: %.200q", client, reason)
	}
	return nil
}

func (p *Policy) onDenyList(client string) (reason string, denied bool) {
	if reason, denied = p.denied[client]; denied {
		return reason, true
	}
	reason, denied = p.denied[Everyone]
	return reason, denied
}

// refusal returns the refusal of a request that no rule grants.
func (p *Policy) refusal(client, method string, t Target) error {
	_, named := p.named[client]
	if _, everyone := p.named[Everyone]; !named && !everyone {
		return refusal.New(refusal.AccessDenied, "no rule names client %q", client)
	}
	return refusal.New(refusal.AccessDenied, "no rule allows client %q to %.20q %.200q", client, method, t.Path())
}
