package access_test

import (
	"fmt"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/certgate/certgate/internal/core/access"
	"github.com/certgate/certgate/internal/core/identity"
	"github.com/certgate/certgate/internal/core/refusal"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// limited is a rule of everyone's with a rate.
func limited(name, rate, burst string) access.Rule {
	return access.Rule{Name: name, Clients: []string{"*"}, Allow: []string{"GET /" + name}, Rate: rate, Burst: burst}
}

// grant is what the policy grants c at the path that has the rule's name.
func grant(tb testing.TB, p *access.Policy, c identity.Client, rule string) access.Grant {
	tb.Helper()
	g, err := p.Decide(c, "GET", target(tb, "/"+rule))
	if err != nil {
		tb.Fatal(err)
	}
	return g
}

// takes is how many tokens there are now, at most 1000.
func takes(tb testing.TB, g access.Grant, now time.Time) int {
	tb.Helper()
	for n := range 1000 {
		if err := g.Take(now); err != nil {
			if refused := refusal.Of(err); refused == nil || refused.Reason != refusal.RateLimited || refused.RetryAfter <= 0 {
				tb.Fatalf("Take = %v, want %s with a time to try again", err, refusal.RateLimited)
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

// Every client of a rule has its own bucket, everyone's rule too, and every
// rule its own for a client.
func TestBucketsAreApart(t *testing.T) {
	policy := compile(t, []access.Rule{limited("a", "1/h", "3"), limited("b", "1/h", "5"), limited("free", "", "")})
	mail, social := client(t, "mail"), client(t, "social")
	for _, tt := range []struct {
		client identity.Client
		rule   string
		want   int
	}{
		{mail, "a", 3}, {mail, "a", 0}, {client(t, "mail"), "a", 0}, {social, "a", 3}, {mail, "b", 5}, {social, "b", 5}, {mail, "free", 1000}, {mail, "a", 0},
	} {
		if n := takes(t, grant(t, policy, tt.client, tt.rule), noon); n != tt.want {
			t.Errorf("%s has %d tokens with rule %s, want %d", tt.client, n, tt.rule, tt.want)
		}
	}
}

// Of several rules that grant a request the first in the file counts it.
func TestTheGrantsRuleCounts(t *testing.T) {
	first, second := limited("first", "1/h", "1"), limited("second", "1/h", "2")
	second.Allow = append(second.Allow, first.Allow...)
	policy := compile(t, []access.Rule{first, second})
	mail := client(t, "mail")
	if n := takes(t, grant(t, policy, mail, "first"), noon); n != 1 {
		t.Errorf("%d tokens, want the one of the first rule", n)
	}
	if n := takes(t, grant(t, policy, mail, "second"), noon); n != 2 {
		t.Errorf("%d tokens left with the second rule, want both", n)
	}
}

// Asking is not taking.
func TestDecideTakesNothing(t *testing.T) {
	policy := compile(t, []access.Rule{limited("a", "1/h", "1")})
	mail := client(t, "mail")
	for range 10 {
		if g := grant(t, policy, mail, "a"); g.Buckets() != 0 {
			t.Fatalf("%d buckets after a decision, want none", g.Buckets())
		}
	}
	if n := takes(t, grant(t, policy, mail, "a"), noon); n != 1 {
		t.Errorf("%d tokens, want 1", n)
	}
}

func TestTakeOfNothing(t *testing.T) {
	if refused := refusal.Of((access.Grant{}).Take(noon)); refused == nil || refused.Reason != refusal.AccessDenied {
		t.Errorf("Take = %v, want the zero grant refused", refused)
	}
}

// A clock that goes back and forth never gives more than one that stands still.
func TestClockGoesBack(t *testing.T) {
	for _, back := range []time.Duration{time.Nanosecond, 10 * time.Millisecond, time.Hour, math.MaxInt64} {
		g := grant(t, compile(t, []access.Rule{limited("a", "100/s", "10")}), client(t, "mail"), "a")
		passed := takes(t, g, noon)
		for range 100 {
			passed += takes(t, g, noon.Add(-back)) + takes(t, g, noon)
		}
		if passed != 10 {
			t.Errorf("%s back: %d tokens, want 10", back, passed)
		}
		if n := takes(t, g, noon.Add(20*time.Millisecond)); n != 2 {
			t.Errorf("%s back: %d tokens 20ms later, want 2", back, n)
		}
	}
}

// At a clock that stands still exactly the burst passes, whoever asks first.
func TestTakeConcurrently(t *testing.T) {
	const burst, workers = 500, 8
	policy := compile(t, []access.Rule{limited("a", "1/s", "500")})
	clients := []identity.Client{client(t, "mail"), client(t, "social")}
	passed := make([]atomic.Int64, len(clients))
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for i, c := range clients {
				for range burst {
					g, err := policy.Decide(c, "GET", target(t, "/a"))
					if err == nil && g.Take(noon) == nil {
						passed[i].Add(1)
					}
				}
			}
		})
	}
	all.Wait()
	for i := range passed {
		if n := passed[i].Load(); n != burst {
			t.Errorf("%s: %d passed, want the burst of %d", clients[i], n, burst)
		}
	}
}

// Buckets that are full again are dropped when there are many; others stay, and
// with them what they count.
func TestFullBucketsAreDropped(t *testing.T) {
	const many = 1024 // buckets that are looked through
	policy := compile(t, []access.Rule{limited("a", "1/h", "2")})
	spent := grant(t, policy, client(t, "spent"), "a")
	if n := takes(t, spent, noon); n != 2 {
		t.Fatalf("%d tokens, want 2", n)
	}
	crowd := make([]access.Grant, many)
	for i := range crowd {
		crowd[i] = grant(t, policy, client(t, fmt.Sprintf("app-%d", i)), "a")
	}
	take := func(now time.Time, grants []access.Grant) {
		t.Helper()
		for _, g := range grants {
			if err := g.Take(now); err != nil {
				t.Fatal(err)
			}
		}
	}
	take(noon, crowd[1:])
	if n := spent.Buckets(); n != many {
		t.Fatalf("%d buckets, want %d", n, many)
	}
	// Those of the crowd are full after an hour, the spent one after two.
	later := noon.Add(90 * time.Minute)
	take(later, crowd[:1])
	if n := spent.Buckets(); n != 2 {
		t.Errorf("%d buckets after a sweep, want the one that is not full and the new one", n)
	}
	if n := takes(t, spent, later); n != 1 {
		t.Errorf("%d tokens after a sweep, want the one that came since", n)
	}
	take(later, crowd[1:])
	if n := spent.Buckets(); n != many+1 {
		t.Errorf("%d buckets, want %d: none of them is full", n, many+1)
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
				t.Errorf("%d tokens for who decided before, want %d", n, shared)
			}
			if n := takes(t, grant(t, read, mail, "a"), noon); tt.want == 1 && n != 3 {
				t.Errorf("%d tokens with the policy that After was called on, want its own 3", n)
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

// model is a bucket as the books have it: a level that rises with time, in
// units of 1/interval tokens so that it is exact.
type model struct {
	interval, level, top time.Duration
	last                 time.Time
}

func (m *model) take(now time.Time) bool {
	m.level, m.last = min(m.top, m.level+now.Sub(m.last)), now
	if m.level < m.interval {
		return false
	}
	m.level -= m.interval
	return true
}

// TestTakeIsATokenBucket: whatever the rate, the burst and the times, the same
// requests pass as with the model, and the time to try again is the right one.
func TestTakeIsATokenBucket(t *testing.T) {
	mail := client(t, "mail")
	rapid.Check(t, func(t *rapid.T) {
		rates := map[string]time.Duration{"1/s": time.Second, "3/s": time.Second/3 + 1, "200/s": 5 * time.Millisecond, "7/m": time.Minute/7 + 1, "9/h": 400 * time.Second}
		rate := rapid.SampledFrom([]string{"1/s", "3/s", "200/s", "7/m", "9/h"}).Draw(t, "rate")
		burst := rapid.IntRange(1, 6).Draw(t, "burst")
		policy, err := access.Compile([]access.Rule{limited("a", rate, string(rune('0'+burst)))}, nil)
		if err != nil {
			t.Fatal(err)
		}
		path, _ := access.ParseTarget("/a")
		g, _ := policy.Decide(mail, "GET", path)
		top := time.Duration(burst) * rates[rate]
		m, now := model{rates[rate], top, top, noon}, noon
		for range rapid.IntRange(1, 50).Draw(t, "requests") {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(2*rates[rate])).Draw(t, "pause")))
			err, want := g.Take(now), m.take(now)
			if (err == nil) != want {
				t.Fatalf("Take = %v, want it to pass: %t", err, want)
			}
			if err == nil {
				continue
			}
			if wait := refusal.Of(err).RetryAfter; wait != m.interval-m.level {
				t.Fatalf("the next token comes in %s, want %s", wait, m.interval-m.level)
			}
			if rapid.Bool().Draw(t, "impatient") {
				continue
			}
			now = now.Add(refusal.Of(err).RetryAfter)
			if !m.take(now) || g.Take(now) != nil {
				t.Fatal("refused at the time it was told to come again")
			}
		}
	})
}

// Take runs once for every granted request, on top of Decide.
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
