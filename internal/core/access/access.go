// Package access decides what a client may do.
//
// Access is the union of the rules: a request is granted when one rule names
// its client and allows its method and path, and the deny list does not name
// the client. Nothing is granted otherwise.
//
// [Compile] makes a [Policy] of rules and a deny list, [ParseTarget] reads the
// request target, [Policy.Decide] answers with a [Grant] or a refusal. A Grant
// comes from Decide and from nowhere else, so code that asks for a Grant cannot
// be reached by a request that nobody decided about.
//
// A rule may have a rate. Deciding does not look at it, so asking costs nothing;
// [Grant.Take] does, once for each request that is about to be sent.
//
// A rule may say whether its requests have to be signed. Deciding does not look at
// that either: [Grant.Proof] tells whoever verifies signatures.
//
// Rules say nothing about hosts, headers, queries and bodies.
package access

import (
	"github.com/certgate/certgate/internal/core/identity"
	"github.com/certgate/certgate/internal/core/refusal"
)

// Everyone stands in a rule for every verified client, and in the deny list
// too. It is not a client's name: [identity.CheckName] refuses it.
const Everyone = "*"

// Grant is permission for one client to send one request. It is immutable; the
// zero value grants nothing and is not Valid.
type Grant struct {
	client identity.Client
	method string
	target Target
	rule   *ruled // nil: the zero value
}

// Valid is true for every Grant that [Policy.Decide] returned without an error.
func (g Grant) Valid() bool { return g.rule != nil }

// Client is who may send the request.
func (g Grant) Client() identity.Client { return g.client }

// Method is the method that was decided about.
func (g Grant) Method() string { return g.method }

// Target is the target that was decided about.
func (g Grant) Target() Target { return g.target }

// Rule is the name of the first rule, in the order of the rules, that grants
// the request; empty for the zero value.
func (g Grant) Rule() string {
	if g.rule == nil {
		return ""
	}
	return g.rule.name
}

// Policy is a compiled set of rules and deny list. It is immutable, except for
// the token buckets of rules with a rate, and safe for concurrent use. Nil and
// the zero value grant nothing.
type Policy struct {
	rules  []ruled             // by number
	tries  map[string]tries    // by method
	named  map[string]struct{} // every client that a rule names
	denied map[string]string   // the reason, by client
}

// ruled is what a grant needs to know of its rule. It is immutable.
type ruled struct {
	name    string
	limiter *limiter // nil without a rate
	proof   Proof
}

// tries are what may be done with a method: by everyone, and by each client.
type tries struct {
	everyone *node
	clients  map[string]*node
}

// Decide grants or refuses one request. Every refusal is a [*refusal.Error] of
// reason AccessDenied whose detail says what was missing. A nil policy, a zero
// client and a zero target are refused.
//
// The cost depends on the target and on the patterns that share its beginning,
// not on the number of rules.
func (p *Policy) Decide(c identity.Client, method string, t Target) (Grant, error) {
	if p == nil || !c.Valid() || !t.valid() {
		return Grant{}, refusal.New(refusal.AccessDenied, "want a policy, a client and a target, found a zero value")
	}
	if err := p.Admit(c); err != nil {
		return Grant{}, err
	}
	tries := p.tries[method]
	rule := tries.clients[c.Name()].match(t.decoded, noRule)
	rule = tries.everyone.match(t.decoded, rule)
	if rule == noRule {
		return Grant{}, p.refusal(c.Name(), method, t)
	}
	return Grant{client: c, method: method, target: t, rule: &p.rules[rule]}, nil
}

// Admit refuses a client on the deny list, with reason AccessDenied, and asks no
// rule: it is for what the gateway answers itself. A nil policy and a zero client
// are refused.
func (p *Policy) Admit(c identity.Client) error {
	if p == nil || !c.Valid() {
		return refusal.New(refusal.AccessDenied, "want a policy and a client, found a zero value")
	}
	if reason, denied := p.onDenyList(c.Name()); denied {
		return refusal.New(refusal.AccessDenied, "client %q is on the deny list: %.200q", c.Name(), reason)
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

// refusal says why no rule grants the request.
func (p *Policy) refusal(client, method string, t Target) error {
	_, named := p.named[client]
	if _, everyone := p.named[Everyone]; !named && !everyone {
		return refusal.New(refusal.AccessDenied, "no rule names client %q", client)
	}
	return refusal.New(refusal.AccessDenied, "no rule allows client %q to %.20q %.200q", client, method, t.Path())
}
