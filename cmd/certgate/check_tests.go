package main

import (
	"fmt"
	"strings"

	"github.com/certgate/certgate/internal/config"
	"github.com/certgate/certgate/internal/tool/simulation"
)

// checkTests is the result of the cases in a file. Its JSON always has every key.
type checkTests struct {
	File     string               `json:"file"`
	Passed   int                  `json:"passed"`
	Failures []simulation.Failure `json:"failures"`
}

// test decides the cases in a file. The report is not OK if one of them fails. An error in
// the file is a [usageError].
func (r *checkReport) test(name string, c config.Config) error {
	cases, err := config.ParseCases(readFile(name))
	if err != nil {
		return usageError{err}
	}
	failures := rulesOf(c, true).Run(cases)
	r.Tests = checkTests{File: name, Passed: len(cases) - len(failures), Failures: failures}
	r.OK = r.OK && len(failures) == 0
	return nil
}

// testFault prints the faults of the file with cases as JSON, if the flag --json is set, and
// returns the error of the command.
func (k checkCommand) testFault(env environment, err error) error {
	if !k.JSON {
		return err
	}
	var faults []config.Fault
	for line := range strings.SplitSeq(err.Error(), "\n") {
		faults = append(faults, config.Fault{Variable: "--tests", Problem: line})
	}
	if err := printJSON(env.stdout, newCheckReport(config.Config{}, faults)); err != nil {
		return err
	}
	return usageError{errSilent}
}

// text returns one line for each failure, and the numbers. It returns "" if no cases were
// decided.
func (t checkTests) text() string {
	if t.File == "" {
		return ""
	}
	var b strings.Builder
	for _, f := range t.Failures {
		fmt.Fprintf(&b, "%s:%d: %s: want %s, found %s\n", t.File, f.Line, printable(f.Name), printable(f.Want), printable(f.Found))
	}
	fmt.Fprintf(&b, "tests: %d passed, %d failed\n", t.Passed, len(t.Failures))
	return b.String()
}
