package extauth

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	auth "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/peer"

	"github.com/certgate/certgate/internal/core/gate"
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/proxy/forward"
	"github.com/certgate/certgate/internal/testkit/rawhttp"
)

// heap returns the number of reachable bytes on the heap.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // the first moves pools to their victims, the second clears these
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestIncompleteChecksMemory checks the memory of 300 incomplete checks from one peer. The
// server receives as many checks as MaxHeldBytes permits, and buffers one window of each
// other check.
func TestIncompleteChecksMemory(t *testing.T) {
	b := newFixture(t, nil)
	bounds := largeBounds()
	bounds.MaxMessageBytes, bounds.MaxHeldBytes = 1<<20, 8<<20
	addr := b.listenEnvoy(t, bounds)
	const checks, connections, received = 300, 3, 8
	message := unfinished(bounds.MaxMessageBytes)
	clients := make([]*rawClient, connections)
	for i := range clients {
		clients[i] = rawDial(t, addr, true)
	}
	before := heap()
	for i := range checks {
		method := checkMethod
		if i%2 == 1 {
			method = healthMethod
		}
		clients[i%connections].startStream(t, method, message)
	}
	complete := 0
	for _, c := range clients {
		c.await(t, "every check at its window or complete", func() bool {
			for _, s := range c.streams {
				if len(s.left) > 0 && s.sent < streamWindow {
					return false
				}
			}
			return true
		})
	}
	for _, c := range clients {
		c.mu.Lock()
		for _, s := range c.streams {
			if len(s.left) == 0 {
				complete++
			}
		}
		c.mu.Unlock()
	}
	if complete > received {
		t.Errorf("want at most %d complete checks, found %d", received, complete)
	}
	const limit = received<<20 + checks*streamWindow + 16<<20 // for everything else
	if held := heap() - before; held > limit {
		t.Errorf("want at most %d bytes held, found %d", limit, held)
	} else {
		t.Logf("%d bytes held", held)
	}
}

// TestMessageTimeout checks that an incomplete check is denied after MessageTimeout, that
// the same applies to a check that waits for a slot, and that the slot is free afterwards.
func TestMessageTimeout(t *testing.T) {
	t.Parallel()
	b := newFixture(t, nil)
	bounds := largeBounds()
	bounds.MaxHeldBytes, bounds.MessageTimeout = 1, 100*time.Millisecond // one slot
	if testing.Short() {
		bounds.MessageTimeout /= 4
	}
	c := rawDial(t, b.listenEnvoy(t, bounds), true)
	for _, unread := range [][]byte{nil, {0}, unfinished(2), unfinished(bounds.MaxMessageBytes)} {
		b.log.Reset()
		res := c.receive(t, c.startStream(t, checkMethod, unread))
		wantDenied(t, b, res, refusal.RequestTimeout)
	}
	health := c.startStream(t, healthMethod, []byte{0})
	c.await(t, "the end of a health check", func() bool { return health.closed })
	eventually(t, "an OK response", func() bool { // on a busy machine the timeout is short
		return c.receive(t, c.startStream(t, checkMethod, framed(t, newCheck(t)))).GetOkResponse() != nil
	})
}

// stream is a stream that implements only Context.
type stream struct {
	grpc.ServerStream

	ctx context.Context
}

func (s stream) Context() context.Context { return s.ctx }

// TestNoFreeSlot checks that a check is denied if no slot to receive it becomes free in
// time.
func TestNoFreeSlot(t *testing.T) {
	t.Parallel()
	bounds := largeBounds()
	bounds.MaxHeldBytes, bounds.MessageTimeout = 1, 100*time.Millisecond
	in := newReceiveLimiter(bounds)
	in.receiving <- struct{}{}
	refused := refusal.Of(in.receive(stream{ctx: t.Context()}, new(auth.CheckRequest)))
	if refused == nil || refused.Reason != refusal.Overloaded || refused.RetryAfter != time.Second {
		t.Errorf("%v: want overloaded", refused)
	}
}

// TestMaxMessage checks that a check that is too long or cannot be decoded gets a gRPC
// error and is recorded.
func TestMaxMessage(t *testing.T) {
	b := newFixture(t, nil)
	bounds := largeBounds()
	bounds.MaxMessageBytes = 64 << 10
	c := rawDial(t, b.listenEnvoy(t, bounds), true)
	for _, tt := range []struct {
		name    string
		message []byte
		status  string
		want    refusal.Reason
	}{
		{"one byte", unfinished(64<<10 + 1), "8", refusal.BodyTooLarge},
		{"4 GiB", append([]byte{0, 0xff, 0xff, 0xff, 0xff}, make([]byte, 100)...), "8", refusal.BodyTooLarge},
		{"no protocol buffer", []byte{0, 0, 0, 0, 2, 0xff, 0xff}, "13", refusal.RequestMalformed},
		{"compressed", append([]byte{1}, framed(t, newCheck(t))[1:]...), "13", refusal.RequestMalformed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b.log.Reset()
			s := c.startStream(t, checkMethod, tt.message)
			c.await(t, "a response", func() bool { return s.closed })
			if s.data.Len() > 0 || s.status != tt.status {
				t.Errorf("response %q, status %q: want status %s", s.data.String(), s.status, tt.status)
			}
			eventually(t, "a record", func() bool { return len(b.records(t)) > 0 })
			if line := b.record(t); line["reason"] != string(tt.want) {
				t.Errorf("record %v: want %s", line, tt.want)
			}
		})
	}
}

// TestMaxStreams checks that the limit of checks on one connection is announced and
// enforced.
func TestMaxStreams(t *testing.T) {
	b := newFixture(t, nil)
	bounds := largeBounds()
	bounds.MaxStreams = 2
	c := rawDial(t, b.listenEnvoy(t, bounds), true)
	c.await(t, "SETTINGS", func() bool { return c.maxStreams == 2 })
	c.startStream(t, checkMethod, nil)
	c.startStream(t, checkMethod, nil)
	third := c.startStream(t, checkMethod, nil)
	c.await(t, "REFUSED_STREAM", func() bool { return third.refused })
}

// TestMaxChecks checks that a check beyond the limit for all connections is denied, and
// that another one gets a decision after an earlier one has ended.
func TestMaxChecks(t *testing.T) {
	b := newFixture(t, nil)
	bounds := largeBounds()
	bounds.MaxChecks = 2
	addr, s := b.startEnvoy(t, bounds)
	first, second := rawDial(t, addr, true), rawDial(t, addr, true)
	good := framed(t, newCheck(t))
	first.startStream(t, checkMethod, nil)
	second.startStream(t, healthMethod, nil)
	eventually(t, "two open checks", func() bool { return s.limiter.open.Load() == 2 })
	wantDenied(t, b, second.receive(t, second.startStream(t, checkMethod, good)), refusal.Overloaded)
	first.conn.Close()
	eventually(t, "one open check", func() bool { return s.limiter.open.Load() == 1 })
	if res := second.receive(t, second.startStream(t, checkMethod, good)); res.GetOkResponse() == nil {
		t.Errorf("%v: want an OK response", res)
	}
	second.conn.Close()
	eventually(t, "no open check", func() bool { return s.limiter.open.Load() == 0 })
}

// TestIdleConnection checks that a connection without checks is closed.
func TestIdleConnection(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("-short: this test waits for a timeout")
	}
	b := newFixture(t, nil)
	bounds := largeBounds()
	bounds.IdleTimeout = 50 * time.Millisecond
	c := rawDial(t, b.listenEnvoy(t, bounds), true)
	c.await(t, "GOAWAY", func() bool { return c.goneAway })
	c.awaitEnd()
}

// TestSilentConnection checks that a connection with an open check is closed if the peer
// does not acknowledge pings, and that it stays open while the peer acknowledges them.
func TestSilentConnection(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("-short: this test waits for a timeout")
	}
	b := newFixture(t, nil)
	bounds := largeBounds()
	bounds.IdleTimeout, bounds.WriteTimeout = time.Second, 2*time.Second // the minimum interval of gRPC
	addr := b.listenEnvoy(t, bounds)
	acknowledging, silent := rawDial(t, addr, true), rawDial(t, addr, false)
	open := acknowledging.startStream(t, checkMethod, nil)
	silent.startStream(t, checkMethod, nil)
	silent.awaitEnd()
	acknowledging.mu.Lock()
	defer acknowledging.mu.Unlock()
	if acknowledging.ended || open.closed {
		t.Error("want the connection with acknowledged pings open, found it closed")
	}
}

// TestHandshakeTimeout checks that a connection that sends nothing is closed.
func TestHandshakeTimeout(t *testing.T) {
	t.Parallel()
	b := newFixture(t, nil)
	bounds := largeBounds()
	bounds.HandshakeTimeout = 50 * time.Millisecond
	c := rawhttp.Dial(t, b.listenEnvoy(t, bounds))
	if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("want the connection closed, found it open")
	}
}

// TestContentBudget checks that content that exceeds the budget is dropped, and that only
// a signature over dropped content is refused.
func TestContentBudget(t *testing.T) {
	in := newReceiveLimiter(Bounds{MaxMessageBytes: 1, MaxHeldBytes: 10})
	for _, tt := range []struct {
		name    string
		content string
		taken   int64 // by other checks
		held    int64
		want    refusal.Reason
	}{
		{"none", "", 10, 0, ""},
		{"the whole budget", "0123456789", 0, 10, ""},
		{"more than the budget", "0123456789a", 0, 0, refusal.Overloaded},
		{"more than is free", "01234", 6, 0, refusal.Overloaded},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in.budget.used.Store(tt.taken)
			message := encodeRaw(newCheck(t))
			h := httpOf(message)
			h.Method, h.RawBody = http.MethodPost, []byte(tt.content)
			h.HeaderMap.Headers = nil
			r, refused := describeAttributes(message.Attributes, http.Header{})
			if refused != nil {
				t.Fatal(refused)
			}
			if held := in.hold(&r, h); held != tt.held || in.budget.used.Load() != tt.taken+tt.held {
				t.Errorf("want %d bytes taken, found %d of %d", tt.held, held, in.budget.used.Load())
			}
			if tt.content == "" {
				return
			}
			body, err := r.body.Hold("mail")
			if d := refusal.Of(err); tt.want != "" && (d == nil || d.Reason != tt.want) || tt.want == "" && string(body) != tt.content {
				t.Errorf("content %q, %v: want %q or %s", body, err, tt.content, tt.want)
			}
			if tt.want != "" && len(h.GetRawBody()) > 0 {
				t.Error("want the content dropped, found it held")
			}
			if !r.hasBody {
				t.Error("want it known that there is content")
			}
		})
	}
}

// TestBudgetIsReleased checks that the budget is released after the response.
func TestBudgetIsReleased(t *testing.T) {
	b := newFixture(t, nil)
	bounds := largeBounds()
	bounds.MaxHeldBytes = 100 << 10
	bounds.MaxMessageBytes = 100 << 10
	s := &checker{Options: b.options, headers: forward.NewFilter(nil), vary: forward.NewVary(nil), limiter: newReceiveLimiter(bounds)}
	ctx := peer.NewContext(t.Context(), &peer.Peer{Addr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}})
	for _, g := range []*gate.Gate{b.gate, {Identifier: panickingIdentifier{}}} {
		b.gate = g
		message := newCheck(t)
		httpOf(message).Method, httpOf(message).Headers[":method"] = "POST", "POST"
		httpOf(message).Body = strings.Repeat("a", 60<<10)
		if _, err := s.Check(ctx, message); err != nil {
			t.Fatal(err)
		}
		if taken := s.limiter.budget.used.Load(); taken != 0 {
			t.Errorf("want no bytes taken after the response, found %d", taken)
		}
	}
}
