package access_test

import (
	"testing"
	"time"

	"github.com/certgate/certgate/internal/core/access"
)

// TestPredictionRefusesZeroValues checks that a missing part is a refusal.
func TestPredictionRefusesZeroValues(t *testing.T) {
	t.Parallel()
	policy, path := compile(t, []access.Rule{limited("a", "", "")}), target(t, "/a")
	if !policy.Predict("mail", "GET", path).Allowed() {
		t.Fatal("want the complete question allowed")
	}
	for name, found := range map[string]access.Prediction{
		"nil policy":  (*access.Policy)(nil).Predict("mail", "GET", path),
		"zero policy": (&access.Policy{}).Predict("mail", "GET", path),
		"no client":   policy.Predict("", "GET", path),
		"no target":   policy.Predict("mail", "GET", access.Target{}),
		"zero value":  {},
	} {
		if found.Allowed() || found.Take(noon) || found.Proof() != access.ProofUnsaid || found.KeepsRate(access.Grant{}) {
			t.Errorf("%s: want a refusal without proof and tokens", name)
		}
	}
}

// TestPredictionHasItsOwnTokens checks that Take uses the buckets of the predicting policy,
// one for each client, and none of another policy with the same rules.
func TestPredictionHasItsOwnTokens(t *testing.T) {
	t.Parallel()
	rules := []access.Rule{limited("a", "1/h", "2")}
	inForce, next := compile(t, rules), compile(t, rules)
	granted := grant(t, inForce, client(t, "mail"), "a")
	found := next.Predict("mail", "GET", target(t, "/a"))
	for i, want := range []bool{true, true, false} {
		if got := found.Take(noon); got != want {
			t.Errorf("token %d: %t, want %t", i+1, got, want)
		}
	}
	if !next.Predict("social", "GET", target(t, "/a")).Take(noon) {
		t.Error("want another client to have tokens of its own")
	}
	if n := takes(t, granted, noon); n != 2 {
		t.Errorf("%d tokens of the policy in force, want both", n)
	}
}

// TestKeepsRate checks that only an equal rule for the same client keeps its bucket.
func TestKeepsRate(t *testing.T) {
	t.Parallel()
	rule := func(name, rate, burst string) access.Rule {
		return access.Rule{Name: name, Clients: []string{"*"}, Allow: []string{"GET /a"}, Rate: rate, Burst: burst}
	}
	tests := []struct {
		name         string
		inForce, now access.Rule
		client       string
		want         bool
	}{
		{"equal", rule("a", "2/s", "4"), rule("a", "2/s", "4"), "mail", true},
		{"without rates", rule("a", "", ""), rule("a", "", ""), "mail", true},
		{"another client", rule("a", "2/s", "4"), rule("a", "2/s", "4"), "social", false},
		{"another name", rule("a", "2/s", "4"), rule("b", "2/s", "4"), "mail", false},
		{"another rate", rule("a", "2/s", "4"), rule("a", "3/s", "4"), "mail", false},
		{"another burst", rule("a", "2/s", "4"), rule("a", "2/s", "5"), "mail", false},
		{"a new rate", rule("a", "", ""), rule("a", "2/s", "4"), "mail", false},
		{"no rate any more", rule("a", "2/s", "4"), rule("a", "", ""), "mail", false},
	}
	for _, tt := range tests {
		granted := grant(t, compile(t, []access.Rule{tt.inForce}), client(t, "mail"), "a")
		found := compile(t, []access.Rule{tt.now}).Predict(tt.client, "GET", target(t, "/a"))
		if got := found.KeepsRate(granted); got != tt.want {
			t.Errorf("%s: KeepsRate = %t, want %t", tt.name, got, tt.want)
		}
		if found.KeepsRate(access.Grant{}) {
			t.Errorf("%s: want no bucket of the zero Grant", tt.name)
		}
	}
}

// BenchmarkPredict measures a prediction. Every request needs one while next rules are set. A
// prediction must not allocate memory, not even for a refusal.
func BenchmarkPredict(b *testing.B) {
	policy := compile(b, append(manyRules(10_000), access.Rule{Name: "limited", Clients: []string{"mail"}, Allow: []string{"GET /limited"}, Rate: "1000000/s"}))
	for _, bb := range []struct{ name, client, path string }{
		{"allowed", "mail", "/service-9999/events/4711"},
		{"refused", "web-client", "/service-9999/events/4711"},
		{"limited", "mail", "/limited"},
	} {
		t := target(b, bb.path)
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			now := noon
			for b.Loop() {
				now = now.Add(time.Microsecond)
				found := policy.Predict(bb.client, "GET", t)
				if found.Take(now) != (bb.name != "refused") {
					b.Fatal("want another prediction")
				}
			}
		})
	}
}
