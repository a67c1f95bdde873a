package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/certgate/certgate/internal/config"
	"github.com/certgate/certgate/internal/core/access"
	"github.com/certgate/certgate/internal/core/identity"
	"github.com/certgate/certgate/internal/core/trust"
	"github.com/certgate/certgate/internal/tool/simulation"
)

// loadConfig reads the configuration as certgate serve does, except that the variables
// of the placeholders may be unset. Every error is a [usageError].
func loadConfig(env environment, unused ...placeholder) (config.Config, error) {
	c, err := config.Load(withPlaceholders(env.variables(), unused...))
	if err != nil {
		return c, usageError{fmt.Errorf("the configuration is invalid:\n%w", err)}
	}
	return c, nil
}

type checkCommand struct {
	JSON  bool   `help:"Print JSON, also for faults." name:"json"`
	Probe bool   `help:"Also connect to each upstream address and report what is wrong."`
	Tests string `help:"Also decide the cases in a file and report those that the rules decide differently." placeholder:"FILE"`
}

// Help is the long text of certgate check --help.
func (checkCommand) Help() string {
	return `Reads the whole configuration from the environment, as certgate serve does, and does
not start the gateway. The exit code is 0 if the configuration is valid, and 2 if it has
faults. All faults are printed on standard error or, with --json, in the JSON. The
digests are those that certgate serve logs with "configuration in force" and "reloaded".
Next rules (ACCESS_RULES_NEXT, ACCESS_RULES_NEXT_FILE) are compared with the rules in force;
an error in their file is a fault here, and does not prevent certgate serve from starting.

With --probe, each upstream address gets one GET request without an identity, for
UPSTREAM_HEALTH_PATH or "/". The exit code is 1 if an address does not respond, or if TLS
or the health check fails.

With --tests, the rules decide about the requests in a YAML file. The exit code is 1 if a
decision is not the expected one, and 2 if the file has faults. Cases are about clients,
methods and paths, not about certificates, signatures and rates:

  cases:
    - name: mail adds an event
      client: mail
      method: POST
      path: /events
      expect: allow
      rule: apps-add-events     # optional: the rule that must allow it
    - name: only apps add events
      client: web-client
      method: POST
      path: /events
      expect: refuse
      reason: access_denied     # optional

Example:

  AUTH_PUBLIC_KEY_FILE=keys/ca.pub ACCESS_RULES_FILE=rules.yaml \
    UPSTREAM_URL=http://127.0.0.1:8081 certgate check --tests cases.yaml`
}

// checkReport is the result of the check. Its JSON always has every key. If there are
// faults, the numbers are 0.
type checkReport struct {
	OK       bool         `json:"ok"`
	Faults   []checkFault `json:"faults"`
	Warnings []string     `json:"warnings"`
	Keys     int          `json:"keys"`
	Rules    int          `json:"rules"`
	Require  int          `json:"rules_that_require_proof"`
	Observe  int          `json:"rules_that_observe_proof"`
	Denied   int          `json:"denied"`
	CRLs     int          `json:"revocation_lists"`
	Signing  int          `json:"assertion_keys"`
	Next     *checkNext   `json:"next"` // null without next rules
	Identity string       `json:"identity"`
	Scoped   int          `json:"keys_with_listed_clients"` // keys that may not issue every name
	Upstream string       `json:"upstream"`
	Digests  checkDigests `json:"digests"`
	Probes   []checkProbe `json:"probes"`
	Tests    checkTests   `json:"tests"`
}

// checkDigests are the digests that certgate serve logs and exports as metrics.
type checkDigests struct {
	Keys    string `json:"keys"`
	Rules   string `json:"rules"`
	Denials string `json:"denials"`
	CRLs    string `json:"crls"`
	Signing string `json:"assertion_keys,omitempty"`
}

func newCheckDigests(c config.Config) checkDigests {
	found := map[string]string{}
	for _, p := range c.Inventory() {
		found[p.Name] = p.Digest
	}
	return checkDigests{found["keys"], found["rules"], found["denials"], found["crls"], found["assertion_keys"]}
}

type checkFault struct {
	Variable string `json:"variable"`
	Problem  string `json:"problem"`
}

func newCheckReport(c config.Config, faults []config.Fault) checkReport {
	r := checkReport{
		OK: len(faults) == 0, Faults: []checkFault{}, Warnings: append([]string{}, c.Warnings...), Probes: []checkProbe{},
		Tests: checkTests{Failures: []simulation.Failure{}},
	}
	for _, f := range faults {
		r.Faults = append(r.Faults, checkFault(f))
	}
	if r.OK {
		r.Keys, r.Rules, r.Denied, r.CRLs = len(c.Keyring.Anchors()), c.Rules.RuleCount, c.Rules.DenyCount, len(c.CRLs)
		r.Require, r.Observe = countProofRules(c)
		r.Identity, r.Scoped = string(c.Identity), countScopedKeys(c)
		r.Signing, r.Next = len(c.AssertionKeys), newCheckNext(c)
		r.Upstream, r.Digests = c.UpstreamURL(), newCheckDigests(c)
	}
	return r
}

// countProofRules counts the rules that require or observe signatures, by their own
// value of proof or by AUTH_PROOF.
func countProofRules(c config.Config) (require, observe int) {
	c.Rules.Policy.EveryRule(func(own access.Proof) bool {
		switch cmp.Or(own, c.Proof) {
		case access.ProofRequire:
			require++
		case access.ProofObserve:
			observe++
		}
		return true
	})
	return require, observe
}

// countScopedKeys counts the keys that may issue listed client names only.
func countScopedKeys(c config.Config) int {
	scoped := map[trust.KeyID]bool{}
	for _, a := range c.Keyring.Anchors() {
		if c.Rules.Names.IsScoped(a.ID()) {
			scoped[a.ID()] = true
		}
	}
	return len(scoped)
}

// identitySummary returns the source of client names and the number of restricted keys,
// as text. It returns "" for the default.
func (r checkReport) identitySummary() string {
	if r.Identity == string(identity.OU) && r.Scoped == 0 {
		return ""
	}
	return fmt.Sprintf("clients: named by %s; %s may issue listed names only\n", r.Identity, count(r.Scoped, "key"))
}

// proofSummary returns the number of rules that require or observe signatures, as text.
// It returns "" if there are none.
func (r checkReport) proofSummary() string {
	if r.Require+r.Observe == 0 {
		return ""
	}
	return fmt.Sprintf(" (%d require proof, %d observe it)", r.Require, r.Observe)
}

// signingSummary returns the number of assertion keys and their digest, as text. It returns
// "" if there are none.
func (r checkReport) signingSummary() (number, digest string) {
	if r.Signing == 0 {
		return "", ""
	}
	return ", " + count(r.Signing, "assertion key"), ", assertion_keys " + r.Digests.Signing
}

// Run checks the configuration and prints the report.
func (k checkCommand) Run(ctx context.Context, env environment) error {
	c, err := loadConfig(env)
	if err == nil && len(c.NextFaults) > 0 {
		err = usageError{fmt.Errorf("the next rules are invalid:\n%w", &config.Error{Faults: c.NextFaults})}
	}
	if err != nil {
		if k.JSON {
			return printFaults(env, err)
		}
		return err
	}
	r := newCheckReport(c, nil)
	if k.Tests != "" {
		if err := r.test(k.Tests, c); err != nil {
			return k.testFault(env, err)
		}
	}
	if k.Probe {
		r.probe(ctx, c)
	}
	if k.JSON {
		err = printJSON(env.stdout, r)
	} else {
		_, err = io.WriteString(env.stdout, r.text())
	}
	if err == nil && !r.OK {
		return errSilent
	}
	return err
}

// text returns the report of a valid configuration.
func (r checkReport) text() string {
	var b strings.Builder
	for _, w := range r.Warnings {
		fmt.Fprintf(&b, "warning: %s\n", w)
	}
	signing, signingDigest := r.signingSummary()
	fmt.Fprintf(&b, "ok: %s, %s%s, %d denied, %s%s, upstream %s\n%sdigests: keys %s, rules %s, denials %s, crls %s%s\n",
		count(r.Keys, "key"), count(r.Rules, "rule"), r.proofSummary(), r.Denied, count(r.CRLs, "revocation list"), signing, r.Upstream, r.identitySummary(),
		r.Digests.Keys, r.Digests.Rules, r.Digests.Denials, r.Digests.CRLs, signingDigest)
	b.WriteString(r.nextSummary())
	for _, p := range r.Probes {
		fmt.Fprintf(&b, "probe: %s: %s\n", p.Upstream, p.text())
	}
	b.WriteString(r.Tests.text())
	return b.String()
}

// printFaults prints the error of loadConfig as JSON.
func printFaults(env environment, loadErr error) error {
	e, ok := errors.AsType[*config.Error](loadErr)
	if !ok {
		return loadErr
	}
	if err := printJSON(env.stdout, newCheckReport(config.Config{}, e.Faults)); err != nil {
		return err
	}
	return usageError{errSilent}
}
