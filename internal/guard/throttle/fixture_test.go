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

// A Guard has no goroutines of its own.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	mallory = netip.MustParseAddr("192.0.2.1")
	alice   = netip.MustParseAddr("192.0.2.2")
	bob     = netip.MustParseAddr("192.0.2.3")
	carol   = netip.MustParseAddr("192.0.2.4")
)

// office is an inner identifier: it takes the credential "good", refuses others
// and knows how often it was asked.
type office struct {
	asked atomic.Int64
	// desk, when given, is where each credential is laid, and from where it is
	// taken to be verified.
	desk chan string
}

func (o *office) Identify(claim gate.Claim, _ time.Time) gate.Identification {
	o.asked.Add(1)
	if o.desk != nil {
		o.desk <- claim.Values[0]
	}
	switch claim.Values[0] {
	case "good":
		return gate.Identification{Last: gate.Identity}
	case "broken":
		panic("broken")
	}
	return gate.Identification{Last: gate.Trust, Err: refusal.New(refusal.CertificateUntrusted, "bad")}
}

// came is what came of a claim.
type came struct {
	reason refusal.Reason // empty: good
	after  time.Duration
	again  time.Duration // Retry-After
}

// ask claims, inside synctest, whose clock moves only while everybody waits.
func ask(id gate.Identifier, source netip.Addr, credential string) came {
	begin := time.Now()
	found := id.Identify(gate.Claim{Values: []string{credential}, Source: source}, begin)
	c := came{after: time.Since(begin)}
	if d := refusal.Of(found.Err); d != nil {
		c.reason, c.again = d.Reason, d.RetryAfter
	}
	return c
}

// rounded is for many at once, which are held back longer.
func rounded(c came) came {
	c.after = min(c.after, holdBack)
	return c
}

var (
	good        = came{}
	bad         = came{reason: refusal.CertificateUntrusted}
	held        = came{reason: refusal.CertificateUntrusted, after: 100 * time.Millisecond}
	rateLimited = came{reason: refusal.RateLimited, again: time.Second}
	overloaded  = came{reason: refusal.Overloaded, again: time.Second}
)

func check(t *testing.T, what string, found, want came) {
	t.Helper()
	if found != want {
		t.Errorf("%s: found %+v, want %+v", what, found, want)
	}
}

// spend uses up a source's budget of 20.
func spend(t *testing.T, id gate.Identifier, source netip.Addr) {
	t.Helper()
	for n := range 20 {
		if found := ask(id, source, "bad"); found != bad {
			t.Fatalf("failure %d: found %+v, want %+v", n+1, found, bad)
		}
	}
}

// checkIdle wants that nobody is inside, waits or is held back.
func checkIdle(t *testing.T, g *Guard, width int) {
	t.Helper()
	s := g.turnstile
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.free != width || len(s.lines[innocent])+len(s.lines[suspect]) != 0 || len(s.bySource) != 0 || len(g.hold.places) != 0 {
		t.Errorf("%d turns free, %d and %d waiting of %d sources, %d held: want %d turns and nobody",
			s.free, len(s.lines[innocent]), len(s.lines[suspect]), len(s.bySource), len(g.hold.places), width)
	}
}
