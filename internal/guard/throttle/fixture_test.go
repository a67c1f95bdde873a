package throttle

import (
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/certgate/certgate/internal/core/gate"
	"github.com/certgate/certgate/internal/core/refusal"
)

// TestMain checks that a Guard leaves no goroutine behind.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	mallory = netip.MustParseAddr("192.0.2.1")
	alice   = netip.MustParseAddr("192.0.2.2")
	bob     = netip.MustParseAddr("192.0.2.3")
	carol   = netip.MustParseAddr("192.0.2.4")
)

// fakeIdentifier accepts the credential "good", refuses all others and counts its calls.
type fakeIdentifier struct {
	calls atomic.Int64
	// gate, if not nil, receives each credential and blocks the verification until a test reads it.
	gate chan string
}

func (o *fakeIdentifier) Identify(claim gate.Claim, _ time.Time) gate.Identification {
	o.calls.Add(1)
	if o.gate != nil {
		o.gate <- claim.Values[0]
	}
	switch claim.Values[0] {
	case "good":
		return gate.Identification{Last: gate.Identity}
	case "broken":
		panic("broken")
	}
	return gate.Identification{Last: gate.Trust, Err: refusal.New(refusal.CertificateUntrusted, "bad")}
}

// outcome is the result of one identification.
type outcome struct {
	reason     refusal.Reason // empty: good
	delay      time.Duration
	retryAfter time.Duration // Retry-After
}

// identify identifies a credential inside synctest, whose clock advances only while all goroutines wait.
func identify(id gate.Identifier, source netip.Addr, credential string) outcome {
	begin := time.Now()
	found := id.Identify(gate.Claim{Values: []string{credential}, Source: source}, begin)
	c := outcome{delay: time.Since(begin)}
	if d := refusal.Of(found.Err); d != nil {
		c.reason, c.retryAfter = d.Reason, d.RetryAfter
	}
	return c
}

// rounded removes the additional delay of many simultaneous refusals.
func rounded(c outcome) outcome {
	c.delay = min(c.delay, minDelay)
	return c
}

var (
	good        = outcome{}
	bad         = outcome{reason: refusal.CertificateUntrusted}
	delayed     = outcome{reason: refusal.CertificateUntrusted, delay: 100 * time.Millisecond}
	rateLimited = outcome{reason: refusal.RateLimited, retryAfter: time.Second}
	overloaded  = outcome{reason: refusal.Overloaded, retryAfter: time.Second}
)

func check(t *testing.T, what string, found, want outcome) {
	t.Helper()
	if found != want {
		t.Errorf("%s: found %+v, want %+v", what, found, want)
	}
}

// spendBudget uses up a source's budget of 20 failures.
func spendBudget(t *testing.T, id gate.Identifier, source netip.Addr) {
	t.Helper()
	for n := range 20 {
		if found := identify(id, source, "bad"); found != bad {
			t.Fatalf("failure %d: found %+v, want %+v", n+1, found, bad)
		}
	}
}

// checkEmpty checks that no request is being verified, waits or is delayed.
func checkEmpty(t *testing.T, g *Guard, width int) {
	t.Helper()
	s := g.queue
	s.mu.Lock()
	defer s.mu.Unlock()
	waiting := 0
	for _, line := range s.waiting {
		waiting += len(line)
	}
	if s.free != width || waiting != 0 || len(s.bySource) != 0 || len(g.delayer.slots) != 0 {
		t.Errorf("%d turns free, %d requests of %d sources waiting, %d delayed: want %d turns free, and no request waiting or delayed",
			s.free, waiting, len(s.bySource), len(g.delayer.slots), width)
	}
}
