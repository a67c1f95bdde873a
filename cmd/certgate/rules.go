package main

import (
	"slices"
	"strings"

	"github.com/certgate/certgate/internal/config"
	"github.com/certgate/certgate/internal/filewatch/regularfile"
	"github.com/certgate/certgate/internal/tool/simulation"
)

// rulesOf returns the rules of a configuration. The keys are not known if they are
// placeholders.
func rulesOf(c config.Config, keys bool) simulation.Rules {
	r := simulation.Rules{Document: c.Rules, Proof: c.Proof}
	if keys {
		r.Keyring = c.Keyring
	}
	return r
}

// readRules reads rules from a file in place of those of the configuration. The other
// variables may be unset. If the keys are set, the rules must fit them, as in the gateway.
// Every error is a [usageError].
func readRules(env environment, name string) (simulation.Rules, error) {
	key, err := unusedKey()
	if err != nil {
		return simulation.Rules{}, err
	}
	keys := isSet(env.variables(), "AUTH_PUBLIC_KEY")
	c, err := loadConfig(withoutRules(env), key, unusedRules(), unusedUpstream())
	if err != nil {
		return simulation.Rules{}, err
	}
	c.Rules, err = config.ParseRules(readFile(name), c.Identity)
	if err == nil && keys {
		err = c.Rules.CheckAnchors(c.Keyring)
	}
	if err != nil {
		return simulation.Rules{}, usageError{err}
	}
	return rulesOf(c, keys), nil
}

// readFile reads a file of rules or cases.
func readFile(name string) regularfile.File {
	content, err := regularfile.Read(name, regularfile.MaxBytes)
	return regularfile.File{Name: name, Text: content.Text, Err: err}
}

// withoutRules returns the environment without rules and next rules.
func withoutRules(env environment) environment {
	env.environ = slices.DeleteFunc(slices.Clone(env.environ), func(variable string) bool {
		return strings.HasPrefix(variable, "ACCESS_RULES")
	})
	return env
}
