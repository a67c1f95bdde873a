package access_test

import (
	"strings"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/core/access"
	"github.com/certgate/certgate/internal/core/identity"
	"github.com/certgate/certgate/internal/core/refusal"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// limited returns a rule for every client with a rate.
func limited(name, rate, burst string) access.Rule {
	return access.Rule{Name: name, Clients: []string{"*"}, Allow: []string{"GET /" + name}, Rate: rate, Burst: burst}
}

// grant returns the grant of c for the path with the name of the rule.
func grant(tb testing.TB, p *access.Policy, c identity.Client, rule string) access.Grant {
	tb.Helper()
	g, err := p.Decide(c, "GET", target(tb, "/"+rule))
	if err != nil {
		tb.Fatal(err)
	}
	return g
}

// takes returns the number of tokens that can be taken now, at most 1000.
func takes(tb testing.TB, g access.Grant, now time.Time) int {
	tb.Helper()
	for n := range 1000 {
		if err := g.Take(now); err != nil {
			if refused := refusal.Of(err); refused == nil || refused.Reason != refusal.RateLimited || refused.RetryAfter <= 0 {
				tb.Fatalf("Take = %v, want %s with RetryAfter", err, refusal.RateLimited)
			}
			return n
		}
	}
	return 1000
}

func TestRates(t *testing.T) {
	tests := []struct {
		rate, burst string
		want        string // of the grant
		first       int    // tokens at once
		interval    time.Duration
	}{
		{"", "", "", 1000, 0},
		{"200/s", "", "200/s, burst 200", 200, 5 * time.Millisecond},
		{"200/s", "400", "200/s, burst 400", 400, 5 * time.Millisecond},
		{"200/s", "1", "200/s, burst 1", 1, 5 * time.Millisecond},
		{"1/s", "", "1/s, burst 1", 1, time.Second},
		{"3/s", "", "3/s, burst 3", 3, time.Second/3 + 1},
		{"600/m", "", "600/m, burst 10", 10, 100 * time.Millisecond},
		{"119/m", "", "119/m, burst 1", 1, time.Minute/119 + 1},
		{"1/m", "", "1/m, burst 1", 1, time.Minute},
		{"7200/h", "", "7200/h, burst 2", 2, 500 * time.Millisecond},
		{"1/h", "", "1/h, burst 1", 1, time.Hour},
		{"1000000/s", "", "1000000/s, burst 1000000", 1000, 0},
		{"1/h", "1000000", "1/h, burst 1000000", 1000, 0},
	}
	mail := client(t, "mail")
	for _, tt := range tests {
		t.Run(tt.rate+" "+tt.burst, func(t *testing.T) {
			g := grant(t, compile(t, []access.Rule{limited("a", tt.rate, tt.burst)}), mail, "a")
			if g.Rate() != tt.want {
				t.Errorf("Rate = %q, want %q", g.Rate(), tt.want)
			}
			if n := takes(t, g, noon); n != tt.first {
				t.Errorf("%d tokens at once, want %d", n, tt.first)
			}
			if tt.interval == 0 {
				return
			}
			if wait := refusal.Of(g.Take(noon)).RetryAfter; wait != tt.interval {
				t.Errorf("the next token comes in %s, want %s", wait, tt.interval)
			}
			if n := takes(t, g, noon.Add(tt.interval-1)); n != 0 {
				t.Errorf("%d tokens a nanosecond too early", n)
			}
			if n := takes(t, g, noon.Add(tt.interval)); n != 1 {
				t.Errorf("%d tokens after an interval, want 1", n)
			}
			if n := takes(t, g, noon.Add(1000*time.Hour)); n != tt.first {
				t.Errorf("%d tokens after a long time, want the burst, %d", n, tt.first)
			}
		})
	}
}

func TestCompileRates(t *testing.T) {
	const (
		wantRate  = "rules[0].rate: want a rate such as 200/s, 200/m or 200/h with a whole number from 1 to 1000000, found "
		wantBurst = "rules[0].burst: want a burst that is a whole number from 1 to 1000000, found "
	)
	tests := []struct {
		rate, burst string
		want        []string
	}{
		{"200", "", []string{wantRate + `"200"`}},
		{"/s", "", []string{wantRate + `"/s"`}},
		{"200/", "", []string{wantRate + `"200/"`}},
		{"200 per second", "", []string{wantRate}},
		{"0/s", "", []string{wantRate}},
		{"-1/s", "", []string{wantRate}},
		{"+1/s", "", []string{wantRate}},
		{"1e3/s", "", []string{wantRate}},
		{"0x10/s", "", []string{wantRate}},
		{"1_000/s", "", []string{wantRate}},
		{"0200/s", "", []string{wantRate}},
		{"1.5/s", "", []string{wantRate}},
		{"200/ s", "", []string{wantRate}},
		{"200 /s", "", []string{wantRate}},
		{" 200/s", "", []string{wantRate}},
		{"200/s ", "", []string{wantRate}},
		{"200/S", "", []string{wantRate}},
		{"200/d", "", []string{wantRate}},
		{"200/sec", "", []string{wantRate}},
		{"200/s/s", "", []string{wantRate}},
		{"1000001/s", "", []string{wantRate}},
		{"99999999999999999999/s", "", []string{wantRate}},
		{"٢/s", "", []string{wantRate}},
		{"200/s", "0", []string{wantBurst + `"0"`}},
		{"200/s", "-1", []string{wantBurst}},
		{"200/s", "1.5", []string{wantBurst}},
		{"200/s", "01", []string{wantBurst}},
		{"200/s", "1000001", []string{wantBurst}},
		{"", "400", []string{"rules[0].rate: want a rate beside burst, found none"}},
		{"0/s", "0", []string{wantRate, wantBurst}},
	}
	for _, tt := range tests {
		t.Run(tt.rate+" "+tt.burst, func(t *testing.T) {
			policy, err := access.Compile([]access.Rule{limited("a", tt.rate, tt.burst)}, nil)
			if err == nil || policy != nil {
				t.Fatalf("Compile = %v, %v; want an error and no policy", policy, err)
			}
			found := faults(t, err)
			if len(found) != len(tt.want) {
				t.Fatalf("%v, want %q", err, tt.want)
			}
			for i, want := range tt.want {
				if !strings.HasPrefix(found[i].Error(), want) {
					t.Errorf("%v, want %q", found[i], want)
				}
			}
		})
	}
}

func TestAfterKeepsBuckets(t *testing.T) {
	mail := client(t, "mail")
	old := []access.Rule{limited("a", "1/h", "3"), limited("b", "1/h", "3")}
	tests := []struct {
		name  string
		rules []access.Rule
		want  int // tokens of mail with rule a, of which it has taken two
	}{
		{"the same", old, 1},
		{"in another order, with another rule", []access.Rule{limited("c", "", ""), old[1], old[0]}, 1},
		{"more patterns", []access.Rule{{Name: "a", Clients: []string{"mail"}, Allow: []string{"GET /a", "GET /x"}, Rate: "1/h", Burst: "3"}}, 1},
		{"another burst", []access.Rule{limited("a", "1/h", "4")}, 4},
		{"another rate", []access.Rule{limited("a", "2/h", "3")}, 3},
		{"another unit", []access.Rule{limited("a", "1/m", "3")}, 3},
		{"no rate", []access.Rule{limited("a", "", "")}, 1000},
		{"another name", []access.Rule{{Name: "z", Clients: []string{"*"}, Allow: []string{"GET /a"}, Rate: "1/h", Burst: "3"}}, 3},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			earlier := compile(t, old)
			inFlight := grant(t, earlier, mail, "a")
			for range 2 {
				if err := inFlight.Take(noon); err != nil {
					t.Fatal(err)
				}
			}
			read := compile(t, tt.rules)
			policy := read.After(earlier)
			if n := takes(t, grant(t, policy, mail, "a"), noon); n != tt.want {
				t.Errorf("%d tokens, want %d", n, tt.want)
			}
			if n := takes(t, grant(t, policy.After(policy), mail, "a"), noon); n != 0 && tt.want != 1000 {
				t.Errorf("%d tokens after another reload, want none", n)
			}
			shared := 1
			if tt.want == 1 {
				shared = 0
			}
			if n := takes(t, inFlight, noon); n != shared {
				t.Errorf("%d tokens with a grant of the earlier policy, want %d", n, shared)
			}
			if n := takes(t, grant(t, read, mail, "a"), noon); tt.want == 1 && n != 3 {
				t.Errorf("%d tokens with the receiver of After, want its own 3", n)
			}
		})
	}
}

func TestAfterNothing(t *testing.T) {
	policy := compile(t, []access.Rule{limited("a", "1/h", "1")})
	if policy.After(nil) != policy || (*access.Policy)(nil).After(policy) != nil {
		t.Error("want the policy itself after nil, and nil for nil")
	}
	grant(t, policy.After(new(access.Policy)), client(t, "mail"), "a")
}

// BenchmarkTake measures Take, which runs once for every granted request.
func BenchmarkTake(b *testing.B) {
	mail := client(b, "mail")
	for _, bb := range []struct {
		name, rate string
		pause      time.Duration
	}{{"no rate", "", 0}, {"taken", "1/s", time.Second}, {"refused", "1/s", 0}} {
		b.Run(bb.name, func(b *testing.B) {
			g := grant(b, compile(b, []access.Rule{limited("a", bb.rate, "")}), mail, "a")
			b.ReportAllocs()
			for now := noon; b.Loop(); now = now.Add(bb.pause) {
				_ = g.Take(now)
			}
		})
	}
}

// TestTakeDoesNotAllocate checks that Take allocates nothing for a known client.
func TestTakeDoesNotAllocate(t *testing.T) {
	policy := compile(t, []access.Rule{limited("a", "1000000/s", ""), limited("free", "", "")})
	mail := client(t, "mail")
	for _, rule := range []string{"a", "free"} {
		path := target(t, "/"+rule)
		if n := testing.AllocsPerRun(100, func() {
			g, err := policy.Decide(mail, "GET", path)
			if err != nil || g.Take(noon) != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("rule %s: %v allocations, want 0", rule, n)
		}
	}
}

// TestRateUse checks the used part of a bucket while tokens are taken and come back.
func TestRateUse(t *testing.T) {
	p, err := access.Compile([]access.Rule{limited("events", "2/s", "4"), limited("free", "", "")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	mail := client(t, "mail")
	check := func(when, rule, name string, now time.Time, want float64, hasRate bool) {
		t.Helper()
		if used, found := p.RateUse(now)(rule, name); used != want || found != hasRate {
			t.Errorf("%s: want %v %t, found %v %t", when, want, hasRate, used, found)
		}
	}
	check("before the first request", "events", "mail", noon, 0, true)
	g := grant(t, p, mail, "events")
	_ = g.Take(noon)
	check("after one token", "events", "mail", noon, 0.25, true)
	takes(t, g, noon)
	check("without tokens", "events", "mail", noon, 1, true)
	check("another client", "events", "social", noon, 0, true)
	check("half of the tokens back", "events", "mail", noon.Add(time.Second), 0.5, true)
	check("all tokens back", "events", "mail", noon.Add(time.Hour), 0, true)
	check("a rule without a rate", "free", "mail", noon, 0, false)
	check("an unknown rule", "other", "mail", noon, 0, false)
	if _, found := (*access.Policy)(nil).RateUse(noon)("events", "mail"); found {
		t.Error("nil policy: want no rate, found one")
	}
}
