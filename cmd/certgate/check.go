package main

import (
	"fmt"

	"github.com/certgate/certgate/internal/config"
)

// loadConfig reads the configuration as serve does.
func loadConfig(s surroundings) (config.Config, error) {
	c, err := config.Load(s.variables())
	if err != nil {
		return c, usageError{fmt.Errorf("the environment is not a configuration:\n%w", err)}
	}
	return c, nil
}

type checkCommand struct{}

// Help is the long text of certgate check --help.
func (checkCommand) Help() string {
	return `Reads the whole configuration from the environment, as certgate serve would, and
starts nothing. Exit code 0 when it is right, 2 when it has faults: all of them
are printed.

Example:

  AUTH_PUBLIC_KEY_FILE=keys/ca.pub ACCESS_RULES_FILE=rules.yaml \
    UPSTREAM_URL=http://127.0.0.1:8081 certgate check`
}

// Run checks.
func (checkCommand) Run(s surroundings) error {
	c, err := loadConfig(s)
	if err != nil {
		return err
	}
	for _, w := range c.Warnings {
		if _, err := fmt.Fprintf(s.stdout, "warning: %s\n", w); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(s.stdout, "ok: %s, %s, %d denied, %s, upstream %s\n",
		count(len(c.Keyring.Anchors()), "key"), count(c.Rules.RuleCount, "rule"), c.Rules.DenyCount,
		count(len(c.CRLs), "revocation list"), c.Upstream)
	return err
}
