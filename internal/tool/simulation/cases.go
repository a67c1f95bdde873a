package simulation

import (
	"fmt"

	"github.com/certgate/certgate/internal/config/rules"
)

// Failure is a case whose decision is not the expected one.
type Failure struct {
	Line  int    `json:"line"`
	Name  string `json:"name"`
	Want  string `json:"want"`
	Found string `json:"found"`
}

// Run decides about the request of each case and returns the failures. An expected proof or
// rate is not part of a case: a request that a rule allows is allowed.
func (r Rules) Run(cases []rules.Case) []Failure {
	failures := []Failure{}
	for _, c := range cases {
		v := r.Decide(Request{Client: c.Client, Method: c.Method, Target: c.Path})
		if v.meets(c) {
			continue
		}
		failures = append(failures, Failure{Line: c.Line, Name: c.Name, Want: c.String(), Found: v.String()})
	}
	return failures
}

// meets reports whether the verdict is the one that the case expects.
func (v Verdict) meets(c rules.Case) bool {
	if v.Refusal != nil {
		return !c.Allow && (c.Reason == "" || c.Reason == v.Refusal.Reason)
	}
	return c.Allow && (c.Rule == "" || c.Rule == v.Rule())
}

// String returns the verdict as text.
func (v Verdict) String() string {
	if v.Refusal != nil {
		return fmt.Sprintf("refused with reason %s: %s", v.Refusal.Reason, v.Refusal.Detail)
	}
	return "allowed by rule " + v.Rule()
}
