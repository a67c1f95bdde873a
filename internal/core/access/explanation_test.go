package access_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/certgate/certgate/internal/core/access"
	"github.com/certgate/certgate/internal/core/identity"
	"github.com/certgate/certgate/internal/core/refusal"
)

// TestExplainDecidesAsDecide compares Explain, Predict and Decide for the same client: the
// same rule, rate and proof, or the same refusal.
func TestExplainDecidesAsDecide(t *testing.T) {
	t.Parallel()
	clients := map[string]identity.Client{}
	for _, name := range []string{"mail", "social", "web-client", "report"} {
		clients[name] = client(t, name)
	}
	policy := compile(t, append(schedule(),
		access.Rule{Name: "limited", Clients: []string{"mail"}, Allow: []string{"PUT /events/{id}"}, Rate: "2/s", Proof: "require"},
	), access.Denied{Client: "social", Reason: "key leaked"})
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.SampledFrom([]string{"mail", "social", "web-client", "report"}).Draw(t, "client")
		method := rapid.SampledFrom([]string{"GET", "HEAD", "POST", "PUT", "post"}).Draw(t, "method")
		path, err := access.ParseTarget(rapid.SampledFrom([]string{"/events", "/events/1", "/", "/events/"}).Draw(t, "target"))
		if err != nil {
			t.Fatal(err)
		}
		grant, want := policy.Decide(clients[name], method, path)
		found, got := policy.Explain(name, method, path)
		if (want == nil) != (got == nil) || want != nil && want.Error() != got.Error() {
			t.Fatalf("Explain: %v, Decide: %v", got, want)
		}
		if found != policy.Predict(name, method, path) {
			t.Fatal("Explain and Predict return different predictions")
		}
		if found.Allowed() != grant.Valid() || found.Rule() != grant.Rule() || found.Rate() != grant.Rate() || found.Proof() != grant.Proof() {
			t.Fatalf("Explain: %+v, Decide: %+v", found, grant)
		}
		if policy.Denies(name) != (policy.Admit(clients[name]) != nil) {
			t.Fatalf("Denies(%q) = %t, Admit: %v", name, policy.Denies(name), policy.Admit(clients[name]))
		}
	})
}

// TestExplainRefusesInvalidInput checks the reasons for zero values and for names that no
// certificate can have, "*" among them: the policy has a rule for every client.
func TestExplainRefusesInvalidInput(t *testing.T) {
	t.Parallel()
	policy := compile(t, []access.Rule{{Name: "all", Clients: []string{"*"}, Allow: []string{"GET /"}}})
	root := target(t, "/")
	tests := []struct {
		name   string
		policy *access.Policy
		client string
		target access.Target
		want   refusal.Reason // "" is allowed
	}{
		{"valid", policy, "mail", root, ""},
		{"nil policy", nil, "mail", root, refusal.AccessDenied},
		{"zero target", policy, "mail", access.Target{}, refusal.AccessDenied},
		{"no name", policy, "", root, refusal.IdentityInvalid},
		{"every client", policy, "*", root, refusal.IdentityInvalid},
		{"line break", policy, "mail\n", root, refusal.IdentityInvalid},
	}
	for _, test := range tests {
		found, err := test.policy.Explain(test.client, "GET", test.target)
		var reason refusal.Reason
		if e := refusal.Of(err); e != nil {
			reason = e.Reason
		}
		if reason != test.want || found.Allowed() != (test.want == "") {
			t.Errorf("%s: Explain = %t, %v, want the reason %q", test.name, found.Allowed(), err, test.want)
		}
	}
	if (*access.Policy)(nil).Denies("mail") {
		t.Error("a nil policy denies a client")
	}
}
