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

// Rule allows its clients what its patterns say.
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
	// Rate bounds the requests of each client by this rule: "200/s", or with /m
	// or /h; a whole number from 1 to 1,000,000. Empty is no bound.
	Rate string
	// Burst is how many requests may come at once, from 1 to 1,000,000. Empty is
	// what the rate gives in one second, and 1 at least. Without a rate it is a
	// fault.
	Burst string
	// Proof is one of the values of [Proof]; empty is what the gateway's setting
	// says.
	Proof string
}

// Denied is a client that no rule can help: it wins over every rule.
type Denied struct {
	// Client is an exact client name, or [Everyone].
	Client string
	// Reason is for the log.
	Reason string
}

// RuleError is one fault in the input of [Compile].
type RuleError struct {
	// List is "rules" or "deny", and Index the entry in it, from 0.
	List  string
	Index int
	// Field is "name", "clients", "allow", "rate", "burst", "proof" or "client",
	// and "" when the fault is the entry as a whole. Item is the element of the field,
	// from 0, and -1 when the fault is the field itself.
	Field string
	Item  int
	// Problem says what is wanted and what was found. It quotes at most 80
	// characters of the input.
	Problem string
}

// Error gives the place as in rules[0].allow[1], and the problem.
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

// Compile checks rules and deny list and makes a Policy of them. The error
// joins every fault, each a [*RuleError], and no Policy comes with it.
//
// A rule that can never matter is a fault: one without clients or patterns,
// with a client name that no certificate can have or a pattern that no
// [Target] can match, or one that grants only what earlier rules grant already,
// whatever it says of rates and proof.
// A rule for denied clients is none, so that denying a client always works.
// No rules at all make a Policy that grants nothing.
func Compile(rules []Rule, denied []Denied) (*Policy, error) {
	c := compiler{
		policy: &Policy{
			tries:  map[string]tries{},
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

// addRule enters what is sound in a rule even when the rest is not, so that
// faults of later rules are found in the same run.
func (c *compiler) addRule(i int, r Rule) {
	before := len(c.faults)
	c.checkName(i, r.Name)
	clients := c.clients(i, r.Clients)
	patterns := c.patterns(i, r.Allow)
	limiter, proof := c.limiter(i, r), c.proof(i, r.Proof)
	if len(c.faults) == before {
		if err := c.checkNews(clients, patterns); err != nil {
			c.fault("rules", i, "", -1, err)
		}
	}
	c.policy.rules = append(c.policy.rules, ruled{r.Name, limiter, proof})
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

// clients is the client names that are sound.
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
	if err := identity.CheckName(name); err != nil {
		return fmt.Errorf("client %.40q: %w", name, err)
	}
	return nil
}

// patterns is the patterns that are sound.
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

// checkNews asks whether the rule grants anything that earlier rules do not.
func (c *compiler) checkNews(clients []string, patterns []pattern) error {
	earlier := noRule
	for _, client := range clients {
		for _, p := range patterns {
			tries := c.policy.tries[p.method]
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

// trie is what a client, or Everyone, may do with a method.
func (c *compiler) trie(client, method string) *node {
	of, ok := c.policy.tries[method]
	if !ok {
		of = tries{newNode(), map[string]*node{}}
		c.policy.tries[method] = of
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
