package access_test

import (
	"fmt"
	"testing"

	"github.com/certgate/certgate/internal/core/access"
)

// manyRules returns n rules for distinct paths, each with a literal, a wildcard and a subtree
// pattern.
func manyRules(n int) []access.Rule {
	rules := make([]access.Rule, 0, n)
	for i := range n {
		rules = append(rules, access.Rule{
			Name:    fmt.Sprintf("rule-%d", i),
			Clients: []string{"mail", "social"},
			Allow: []string{
				fmt.Sprintf("POST /service-%d/events", i),
				fmt.Sprintf("GET /service-%d/events/{id}", i),
				fmt.Sprintf("GET /service-%d/files/", i),
			},
		})
	}
	return rules
}

// BenchmarkDecide measures decisions with different numbers of rules, which must not
// influence the result.
func BenchmarkDecide(b *testing.B) {
	mail := client(b, "mail")
	for _, n := range []int{1, 100, 10_000} {
		policy := compile(b, manyRules(n))
		for _, path := range []string{"events/4711", "files/a/b/c/d", "files/a%20b"} {
			t := target(b, fmt.Sprintf("/service-%d/%s", n-1, path))
			b.Run(fmt.Sprintf("rules=%d/%s", n, path), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, err := policy.Decide(mail, "GET", t); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkParseTarget measures the check of a target, which runs before the client is
// verified, and so for every request of a flood.
func BenchmarkParseTarget(b *testing.B) {
	for _, raw := range []string{"/events", "/service-1/events/4711?after=2013-08-01", "/caf%C3%A9/a%20b"} {
		b.Run(raw, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := access.ParseTarget(raw); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// TestDecideDoesNotAllocate checks that a decision allocates nothing.
func TestDecideDoesNotAllocate(t *testing.T) {
	mail := client(t, "mail")
	policy := compile(t, manyRules(100))
	for _, raw := range []string{"/service-99/events/4711", "/service-99/files/a%20b/c?q"} {
		parsed := target(t, raw)
		if n := testing.AllocsPerRun(100, func() {
			if _, err := policy.Decide(mail, "GET", parsed); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations, want 0", raw, n)
		}
	}
}
