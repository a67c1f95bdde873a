package access_test

import (
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/core/access"
	"github.com/certgate/certgate/internal/core/identity"
	"github.com/certgate/certgate/internal/core/refusal"
)

// TestBuckets checks that each client has its own bucket for each rule.
func TestBuckets(t *testing.T) {
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

// TestTakeUsesTheFirstRule checks that a request takes a token of the rule in the grant only.
func TestTakeUsesTheFirstRule(t *testing.T) {
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

// TestDecideTakesNothing checks that Decide takes no token and creates no bucket.
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

// TestTakeOfZeroGrant checks that the zero Grant is refused.
func TestTakeOfZeroGrant(t *testing.T) {
	if refused := refusal.Of(new(access.Grant).Take(noon)); refused == nil || refused.Reason != refusal.AccessDenied {
		t.Errorf("Take = %v, want the zero grant refused", refused)
	}
}

// TestClockGoesBack checks that a clock that goes back and forth yields no additional token.
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

// TestTakeConcurrently checks that concurrent requests at one time get exactly the burst.
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

// TestFullBucketsAreDropped checks that full buckets are dropped when there are many, and
// that the other buckets keep their tokens.
func TestFullBucketsAreDropped(t *testing.T) {
	const many = 1024 // the number of buckets at which full ones are dropped
	policy := compile(t, []access.Rule{limited("a", "1/h", "2")})
	empty := grant(t, policy, client(t, "mail"), "a")
	if n := takes(t, empty, noon); n != 2 {
		t.Fatalf("%d tokens, want 2", n)
	}
	others := make([]access.Grant, many)
	for i := range others {
		others[i] = grant(t, policy, client(t, fmt.Sprintf("app-%d", i)), "a")
	}
	take := func(now time.Time, grants []access.Grant) {
		t.Helper()
		for _, g := range grants {
			if err := g.Take(now); err != nil {
				t.Fatal(err)
			}
		}
	}
	take(noon, others[1:])
	if n := empty.Buckets(); n != many {
		t.Fatalf("%d buckets, want %d", n, many)
	}
	// The buckets of the others are full after one hour, the empty one after two.
	later := noon.Add(90 * time.Minute)
	take(later, others[:1])
	if n := empty.Buckets(); n != 2 {
		t.Errorf("%d buckets after a sweep, want the one that is not full and the new one", n)
	}
	if n := takes(t, empty, later); n != 1 {
		t.Errorf("%d tokens after a sweep, want the one of the last hour", n)
	}
	take(later, others[1:])
	if n := empty.Buckets(); n != many+1 {
		t.Errorf("%d buckets, want %d: none of them is full", n, many+1)
	}
}
