package main

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/certgate/certgate/internal/config"
	"github.com/certgate/certgate/internal/core/access"
)

// loadConfig reads the configuration as serve does, except that what the command
// has no use for need not be set.
func loadConfig(s surroundings, unused ...placeholder) (config.Config, error) {
	c, err := config.Load(filled(s.variables(), unused...))
	if err != nil {
		return c, usageError{fmt.Errorf("the environment is not a configuration:\n%w", err)}
	}
	return c, nil
}

type checkCommand struct {
	JSON bool `help:"Print JSON, faults too." name:"json"`
}

// Help is the long text of certgate check --help.
func (checkCommand) Help() string {
	return `Reads the whole configuration from the environment, as certgate serve would, and
starts nothing. Exit code 0 when it is right, 2 when it has faults: all of them
are printed, on standard error or, with --json, in the JSON. The digests are those
that serve logs with "configuration in force" and "reloaded".

Example:

  AUTH_PUBLIC_KEY_FILE=keys/ca.pub ACCESS_RULES_FILE=rules.yaml \
    UPSTREAM_URL=http://127.0.0.1:8081 certgate check`
}

// checkReport is the outcome. Its JSON always has every key; beside faults, what
// is right is not counted.
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
	Upstream string       `json:"upstream"`
	Digests  checkDigests `json:"digests"`
}

// checkDigests are those that serve logs and shows as metrics, to compare with.
type checkDigests struct {
	Keys    string `json:"keys"`
	Rules   string `json:"rules"`
	Denials string `json:"denials"`
	CRLs    string `json:"crls"`
}

func newCheckDigests(c config.Config) checkDigests {
	found := map[string]string{}
	for _, p := range c.Inventory() {
		found[p.Name] = p.Digest
	}
	return checkDigests{found["keys"], found["rules"], found["denials"], found["crls"]}
}

type checkFault struct {
	Variable string `json:"variable"`
	Problem  string `json:"problem"`
}

func newCheckReport(c config.Config, faults []config.Fault) checkReport {
	r := checkReport{OK: len(faults) == 0, Faults: []checkFault{}, Warnings: append([]string{}, c.Warnings...)}
	for _, f := range faults {
		r.Faults = append(r.Faults, checkFault(f))
	}
	if r.OK {
		r.Keys, r.Rules, r.Denied, r.CRLs = len(c.Keyring.Anchors()), c.Rules.RuleCount, c.Rules.DenyCount, len(c.CRLs)
		r.Require, r.Observe = proofs(c)
		r.Upstream, r.Digests = c.UpstreamURL(), newCheckDigests(c)
	}
	return r
}

// proofs counts the rules that look at signatures, by themselves or by the setting.
func proofs(c config.Config) (require, observe int) {
	c.Rules.Policy.EveryRule(func(said access.Proof) bool {
		switch cmp.Or(said, c.Proof) {
		case access.ProofRequire:
			require++
		case access.ProofObserve:
			observe++
		}
		return true
	})
	return require, observe
}

// ofRules says it for people: nothing where no rule looks.
func (r checkReport) ofRules() string {
	if r.Require+r.Observe == 0 {
		return ""
	}
	return fmt.Sprintf(" (of which %d require proof and %d observe it)", r.Require, r.Observe)
}

// Run checks.
func (k checkCommand) Run(s surroundings) error {
	c, err := loadConfig(s)
	if k.JSON {
		return checkJSON(s, c, err)
	}
	if err != nil {
		return err
	}
	r := newCheckReport(c, nil)
	for _, w := range r.Warnings {
		if _, err := fmt.Fprintf(s.stdout, "warning: %s\n", w); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(s.stdout, "ok: %s, %s%s, %d denied, %s, upstream %s\ndigests: keys %s, rules %s, denials %s, crls %s\n",
		count(r.Keys, "key"), count(r.Rules, "rule"), r.ofRules(), r.Denied, count(r.CRLs, "revocation list"), r.Upstream,
		r.Digests.Keys, r.Digests.Rules, r.Digests.Denials, r.Digests.CRLs)
	return err
}

// checkJSON prints what loadConfig has found.
func checkJSON(s surroundings, c config.Config, loadErr error) error {
	var faults []config.Fault
	if loadErr != nil {
		e, ok := errors.AsType[*config.Error](loadErr)
		if !ok {
			return loadErr
		}
		faults = e.Faults
	}
	if err := printJSON(s.stdout, newCheckReport(c, faults)); err != nil {
		return err
	}
	if loadErr != nil {
		return usageError{errNo}
	}
	return nil
}
