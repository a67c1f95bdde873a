package access

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/certgate/certgate/internal/core/identity"
)

// Rule allows its clients the requests that its patterns match.
type Rule struct {
	// Name identifies the rule in logs: 1 to 64 printable characters, unique.
	Name string
	// Clients are exact client names, or [Everyone].
	Clients []string
	// Allow are patterns "METHOD /path" in the syntax and with the meaning of
	// [net/http.ServeMux], without host: literals, {name}, and at the end
	// {name...}, {$}, or a slash for everything below. The method is required;
	// GET allows HEAD too, as it does there. Segments are compared after
	// percent-decoding.
	Allow []string
	// Rate limits the requests of each client by this rule: "200/s", or with /m or /h, a
	// whole number from 1 to 1,000,000. Empty means no limit.
	Rate string
	// Burst is the number of requests that may come at once, from 1 to 1,000,000. Empty means
	// the tokens of one second, and at least 1. Burst without a rate is an error.
	Burst string
	// Proof is one of the values of [Proof]. Empty means the default of the gateway.
	Proof string
}

// Denied is a client on the deny list, which overrides every rule.
type Denied struct {
	// Client is an exact client name, or [Everyone].
	Client string
	// Reason is for the log.
	Reason string
}

// RuleError is one error in the input of [Compile].
type RuleError struct {
	// List is "rules" or "deny", and Index the entry in it, from 0.
	List  string
	Index int
	// Field is "name", "clients", "allow", "rate", "burst", "proof" or "client",
	// or "" for the entry as a whole. Item is the index of the element in the field, or -1 for
	// the field as a whole.
	Field string
	Item  int
	// Problem describes what was wanted and found. It quotes at most 80 characters of the input.
	Problem string
}

// Error returns the position, such as rules[0].allow[1], and the problem.
func (e *RuleError) Error() string {
	place := e.List + "[" + strconv.Itoa(e.Index) + "]"
	if e.Field != "" {
		place += "." + e.Field
	}
	if e.Item >= 0 {
		place += "[" + strconv.Itoa(e.Item) + "]"
	}
	return place + ": " + e.Problem
}

// Compile validates rules and deny list and compiles them into a Policy. The error joins all
// errors, each a [*RuleError]. The Policy is nil then.
//
// A rule without an effect is an error: a rule without clients or patterns, with a client name that
// no certificate can have, with a pattern that no [Target] can match, or a rule that grants only
// requests that earlier rules grant, regardless of rates and proof. A rule whose clients
// are all denied is valid, so that denying a client never causes an error. Without rules the Policy grants nothing.
func Compile(rules []Rule, denied []Denied) (*Policy, error) {
	c := compiler{
		policy: &Policy{
			named:  map[string]struct{}{},
			denied: map[string]string{},
		},
		seen: map[string]struct{}{},
	}
	for i, r := range rules {
		c.addRule(i, r)
	}
	for i, d := range denied {
		c.addDenied(i, d)
	}
	if len(c.faults) > 0 {
		return nil, errors.Join(c.faults...)
	}
	return c.policy, nil
}

type compiler struct {
	policy *Policy
	seen   map[string]struct{} // names of rules
	faults []error
}

func (c *compiler) fault(list string, index int, field string, item int, err error) {
	c.faults = append(c.faults, &RuleError{list, index, field, item, err.Error()})
}

// addRule adds the valid parts of a rule, so that errors of later rules are found in the
// same run.
func (c *compiler) addRule(i int, r Rule) {
	before := len(c.faults)
	c.checkName(i, r.Name)
	clients := c.clients(i, r.Clients)
	patterns := c.patterns(i, r.Allow)
	limiter, proof := c.limiter(i, r), c.proof(i, r.Proof)
	if len(c.faults) == before {
		if err := c.checkGrantsSomethingNew(clients, patterns); err != nil {
			c.fault("rules", i, "", -1, err)
		}
	}
	c.policy.rules = append(c.policy.rules, compiledRule{r.Name, limiter, proof})
	c.insert(i, clients, patterns)
}

func (c *compiler) checkName(i int, name string) {
	const most = 64
	if n := utf8.RuneCountInString(name); n == 0 || n > most {
		c.fault("rules", i, "name", -1, fmt.Errorf("want a name of 1 to %d characters, found %d", most, n))
		return
	}
	if j := strings.IndexFunc(name, isUnprintable); j >= 0 {
		c.fault("rules", i, "name", -1, fmt.Errorf("want a name of printable characters, found %.40q", name))
	}
	if _, ok := c.seen[name]; ok {
		c.fault("rules", i, "name", -1, fmt.Errorf("want a name that no other rule has, found %.40q again", name))
	}
	c.seen[name] = struct{}{}
}

func isUnprintable(r rune) bool { return !unicode.IsPrint(r) || r == utf8.RuneError }

// clients returns the valid client names.
func (c *compiler) clients(i int, names []string) []string {
	if len(names) == 0 {
		c.fault("rules", i, "clients", -1, errors.New(`want at least one client, or "*", found none`))
	}
	var sound []string
	for j, name := range names {
		if err := checkClient(name); err != nil {
			c.fault("rules", i, "clients", j, err)
			continue
		}
		sound = append(sound, name)
	}
	return sound
}

func checkClient(name string) error {
	if name == Everyone {
		return nil
	}
	if err := identity.CheckAny(name); err != nil {
		return fmt.Errorf("client %.40q: %w", name, err)
	}
	return nil
}

// patterns returns the valid patterns.
func (c *compiler) patterns(i int, texts []string) []pattern {
	if len(texts) == 0 {
		c.fault("rules", i, "allow", -1, errors.New(`want at least one pattern such as "GET /events", found none`))
	}
	var sound []pattern
	for j, text := range texts {
		p, err := parsePattern(text)
		if err != nil {
			c.fault("rules", i, "allow", j, fmt.Errorf("pattern %.40q: %w", text, err))
			continue
		}
		sound = append(sound, p)
	}
	return sound
}

// checkGrantsSomethingNew returns an error if earlier rules grant every request that the rule grants.
func (c *compiler) checkGrantsSomethingNew(clients []string, patterns []pattern) error {
	earlier := noRule
	for _, client := range clients {
		for _, p := range patterns {
			tries := c.policy.triesOf(p.method)
			if tries == nil {
				return nil
			}
			rule := tries.clients[client].cover(p.segments, p.end, noRule)
			rule = tries.everyone.cover(p.segments, p.end, rule)
			if rule == noRule {
				return nil
			}
			earlier = min(earlier, rule)
		}
	}
	return fmt.Errorf("want a rule that grants something new, found only what earlier rules grant, the first of them %.40q",
		c.policy.rules[earlier].name)
}

func (c *compiler) insert(i int, clients []string, patterns []pattern) {
	for _, client := range clients {
		c.policy.named[client] = struct{}{}
		for _, p := range patterns {
			c.trie(client, p.method).insert(p, i)
			if p.method == "GET" {
				c.trie(client, "HEAD").insert(p, i)
			}
		}
	}
}

// trie returns the patterns of a client, or of Everyone, for a method.
func (c *compiler) trie(client, method string) *node {
	of := c.policy.triesOf(method)
	if of == nil {
		c.policy.methods = append(c.policy.methods, methodTries{method, newNode(), map[string]*node{}})
		of = c.policy.triesOf(method)
	}
	if client == Everyone {
		return of.everyone
	}
	if of.clients[client] == nil {
		of.clients[client] = newNode()
	}
	return of.clients[client]
}

func (c *compiler) addDenied(i int, d Denied) {
	if err := checkClient(d.Client); err != nil {
		c.fault("deny", i, "client", -1, err)
		return
	}
	if _, ok := c.policy.denied[d.Client]; !ok {
		c.policy.denied[d.Client] = d.Reason
	}
}
