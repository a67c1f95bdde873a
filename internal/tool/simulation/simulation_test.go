package simulation_test

import (
	"slices"
	"testing"

	"github.com/certgate/certgate/internal/config/rules"
	"github.com/certgate/certgate/internal/core/access"
	"github.com/certgate/certgate/internal/core/gate"
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/core/trust"
	"github.com/certgate/certgate/internal/testkit/ca"
	"github.com/certgate/certgate/internal/tool/simulation"
)

// scheduleRules are rules of the example service.
func scheduleRules(t *testing.T) simulation.Rules {
	t.Helper()
	r := parse(t, `
rules:
  - {name: apps, clients: [mail, social], allow: ["POST /events"]}
  - {name: signed, clients: [mail], allow: ["PUT /events"], proof: require}
  - {name: everybody, clients: ["*"], allow: ["GET /status"]}
deny: [{client: social}]
`)
	ring, err := trust.ParseKeyring(ca.New(t).PublicKeyPEM(), 0)
	if err != nil {
		t.Fatal(err)
	}
	r.Keyring = ring
	return r
}

// TestDecide checks the step and the reason of each refusal, and the rule and proof otherwise.
func TestDecide(t *testing.T) {
	t.Parallel()
	type verdict struct {
		last   gate.Step
		rule   string
		proof  access.Proof
		reason refusal.Reason
	}
	tests := []struct {
		name    string
		request simulation.Request
		want    verdict
	}{
		{"allowed", simulation.Request{Client: "mail", Method: "POST", Target: "/events?x=1"}, verdict{gate.Access, "apps", access.ProofOff, ""}},
		{"signature required", simulation.Request{Client: "mail", Method: "PUT", Target: "/events"}, verdict{gate.Access, "signed", access.ProofRequire, ""}},
		{"ambiguous path", simulation.Request{Client: "mail", Method: "POST", Target: "//events"}, verdict{gate.Target, "", "", refusal.PathAmbiguous}},
		{"invalid name", simulation.Request{Client: "*", Method: "GET", Target: "/status"}, verdict{gate.Identity, "", "", refusal.IdentityInvalid}},
		{"name of another source", simulation.Request{Client: "https://a.example/~b", Method: "GET", Target: "/status"}, verdict{gate.Identity, "", "", refusal.IdentityOutOfScope}},
		{"deny list", simulation.Request{Client: "social", Method: "GET", Target: "/status"}, verdict{gate.Access, "", access.ProofOff, refusal.AccessDenied}},
		{"no rule", simulation.Request{Client: "mail", Method: "DELETE", Target: "/events"}, verdict{gate.Access, "", access.ProofOff, refusal.AccessDenied}},
	}
	r := scheduleRules(t)
	for _, test := range tests {
		v := r.Decide(test.request)
		found := verdict{v.Last, v.Rule(), v.Proof, ""}
		if v.Refusal != nil {
			found.reason = v.Refusal.Reason
		}
		if found != test.want || v.Allowed() != (test.want.reason == "") {
			t.Errorf("%s: found %+v, want %+v", test.name, found, test.want)
		}
	}
	r.Keyring = nil
	if v := r.Decide(simulation.Request{Client: "https://a.example/~b", Method: "GET", Target: "/status"}); !v.Allowed() {
		t.Errorf("without the keys in force: found %v, want every name to be possible", v.Refusal)
	}
	if v := (simulation.Rules{}).Decide(simulation.Request{Client: "mail", Method: "GET", Target: "/"}); v.Allowed() || v.Refusal == nil || v.Refusal.Reason != refusal.AccessDenied {
		t.Errorf("zero rules: found %+v, want a refusal", v)
	}
}

// TestRun checks that a case fails for another decision, rule or reason.
func TestRun(t *testing.T) {
	t.Parallel()
	mail := rules.Case{Name: "a", Client: "mail", Method: "POST", Path: "/events"}
	with := func(c rules.Case, change func(*rules.Case)) rules.Case {
		change(&c)
		return c
	}
	social := with(mail, func(c *rules.Case) { c.Client = "social" })
	const denied = `refused with reason access_denied: client "social" is on the deny list: ""`
	tests := []struct {
		name  string
		c     rules.Case
		found string // "" if the case passes
	}{
		{"allowed", with(mail, func(c *rules.Case) { c.Allow = true }), ""},
		{"allowed by this rule", with(mail, func(c *rules.Case) { c.Allow, c.Rule = true, "apps" }), ""},
		{"allowed by another rule", with(mail, func(c *rules.Case) { c.Allow, c.Rule = true, "signed" }), "allowed by rule apps"},
		{"allowed unexpectedly", mail, "allowed by rule apps"},
		{"refused", social, ""},
		{"refused for this reason", with(social, func(c *rules.Case) { c.Reason = refusal.AccessDenied }), ""},
		{"refused for another reason", with(social, func(c *rules.Case) { c.Reason = refusal.PathAmbiguous }), denied},
		{"refused unexpectedly", with(social, func(c *rules.Case) { c.Allow = true }), denied},
	}
	r := scheduleRules(t)
	for _, test := range tests {
		want := []simulation.Failure{}
		if test.found != "" {
			want = append(want, simulation.Failure{Name: "a", Want: test.c.String(), Found: test.found})
		}
		if found := r.Run([]rules.Case{test.c}); !slices.Equal(found, want) {
			t.Errorf("%s: found %+v, want %+v", test.name, found, want)
		}
	}
}
