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
)

// heap returns the bytes that are reachable.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // the first moves pools to their victims, the second clears these
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestUnfinishedQuestionsMemory checks what 300 unfinished questions of a peer hold:
// as many are received as fit into MaxHeldBytes, and of each other question one window.
func TestUnfinishedQuestionsMemory(t *testing.T) {
	b := newBench(t, nil)
	bounds := generous()
	bounds.MaxMessageBytes, bounds.MaxHeldBytes = 1<<20, 8<<20
	addr := b.listenEnvoy(t, bounds)
	const questions, connections, received = 300, 3, 8
	question := unfinished(bounds.MaxMessageBytes)
	clients := make([]*rawClient, connections)
	for i := range clients {
		clients[i] = rawDial(t, addr, true)
	}
	before := heap()
	for i := range questions {
		method := checkMethod
		if i%2 == 1 {
			method = healthMethod
		}
		clients[i%connections].ask(t, method, question)
	}
	whole := 0
	for _, c := range clients {
		c.await(t, "every question at its window or whole", func() bool {
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
				whole++
			}
		}
		c.mu.Unlock()
	}
	if whole > received {
		t.Errorf("want at most %d questions received whole, found %d", received, whole)
	}
	const most = received<<20 + questions*streamWindow + 16<<20 // for everything else
	if held := heap() - before; held > most {
		t.Errorf("want at most %d bytes held, found %d", most, held)
	} else {
		t.Logf("%d bytes held", held)
	}
}

// TestUnfinishedQuestionEnds checks that an unfinished question is denied after
// MessageTimeout, that a question that waits for its place is, too, and that the
// place is free afterwards.
func TestUnfinishedQuestionEnds(t *testing.T) {
	b := newBench(t, nil)
	bounds := generous()
	bounds.MaxHeldBytes, bounds.MessageTimeout = 1, 100*time.Millisecond // one place
	c := rawDial(t, b.listenEnvoy(t, bounds), true)
	for _, unread := range [][]byte{nil, {0}, unfinished(2), unfinished(bounds.MaxMessageBytes)} {
		b.log.Reset()
		res := c.answer(t, c.ask(t, checkMethod, unread))
		wantDenied(t, b, res, refusal.RequestTimeout)
	}
	health := c.ask(t, healthMethod, []byte{0})
	c.await(t, "the end of a health check", func() bool { return health.closed })
	eventually(t, "leave", func() bool { // on a busy machine the timeout is short
		return c.answer(t, c.ask(t, checkMethod, framed(t, about(t)))).GetOkResponse() != nil
	})
}

// stream is a stream of which only the context is asked.
type stream struct {
	grpc.ServerStream

	ctx context.Context
}

func (s stream) Context() context.Context { return s.ctx }

// TestPlaceTaken checks that a question is denied when no place to read it becomes
// free in time.
func TestPlaceTaken(t *testing.T) {
	bounds := generous()
	bounds.MaxHeldBytes, bounds.MessageTimeout = 1, 100*time.Millisecond
	in := newReceiveLimiter(bounds)
	in.receiving <- struct{}{}
	refused := refusal.Of(in.receive(stream{ctx: t.Context()}, new(auth.CheckRequest)))
	if refused == nil || refused.Reason != refusal.Overloaded || refused.RetryAfter != time.Second {
		t.Errorf("%v: want overloaded", refused)
	}
}

// TestMaxMessage checks that a question that is too long or cannot be decoded is
// answered with an error of gRPC and recorded.
func TestMaxMessage(t *testing.T) {
	b := newBench(t, nil)
	bounds := generous()
	bounds.MaxMessageBytes = 64 << 10
	c := rawDial(t, b.listenEnvoy(t, bounds), true)
	for _, tt := range []struct {
		name     string
		question []byte
		status   string
		want     refusal.Reason
	}{
		{"one byte", unfinished(64<<10 + 1), "8", refusal.BodyTooLarge},
		{"4 GiB", append([]byte{0, 0xff, 0xff, 0xff, 0xff}, make([]byte, 100)...), "8", refusal.BodyTooLarge},
		{"no protocol buffer", []byte{0, 0, 0, 0, 2, 0xff, 0xff}, "13", refusal.RequestMalformed},
		{"compressed", append([]byte{1}, framed(t, about(t))[1:]...), "13", refusal.RequestMalformed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b.log.Reset()
			s := c.ask(t, checkMethod, tt.question)
			c.await(t, "an answer", func() bool { return s.closed })
			if s.data.Len() > 0 || s.status != tt.status {
				t.Errorf("answer %q, status %q: want status %s", s.data.String(), s.status, tt.status)
			}
			eventually(t, "a record", func() bool { return len(b.records(t)) > 0 })
			if line := b.record(t); line["reason"] != string(tt.want) {
				t.Errorf("record %v: want %s", line, tt.want)
			}
		})
	}
}

// TestMaxStreams checks that the number of questions on one connection is announced
// and enforced.
func TestMaxStreams(t *testing.T) {
	b := newBench(t, nil)
	bounds := generous()
	bounds.MaxStreams = 2
	c := rawDial(t, b.listenEnvoy(t, bounds), true)
	c.await(t, "SETTINGS", func() bool { return c.maxStreams == 2 })
	c.ask(t, checkMethod, nil)
	c.ask(t, checkMethod, nil)
	third := c.ask(t, checkMethod, nil)
	c.await(t, "REFUSED_STREAM", func() bool { return third.refused })
}

// TestMaxChecks checks that one question too many on all connections is denied,
// and that another is answered when one has ended.
func TestMaxChecks(t *testing.T) {
	b := newBench(t, nil)
	bounds := generous()
	bounds.MaxChecks = 2
	addr, s := b.startEnvoy(t, bounds)
	first, second := rawDial(t, addr, true), rawDial(t, addr, true)
	good := framed(t, about(t))
	first.ask(t, checkMethod, nil)
	second.ask(t, healthMethod, nil)
	eventually(t, "two questions open", func() bool { return s.limiter.open.Load() == 2 })
	wantDenied(t, b, second.answer(t, second.ask(t, checkMethod, good)), refusal.Overloaded)
	first.conn.Close()
	eventually(t, "one question open", func() bool { return s.limiter.open.Load() == 1 })
	if res := second.answer(t, second.ask(t, checkMethod, good)); res.GetOkResponse() == nil {
		t.Errorf("%v: want leave", res)
	}
	second.conn.Close()
	eventually(t, "no question open", func() bool { return s.limiter.open.Load() == 0 })
}

// TestIdleConnection checks that a connection without a question is closed.
func TestIdleConnection(t *testing.T) {
	b := newBench(t, nil)
	bounds := generous()
	bounds.IdleTimeout = 50 * time.Millisecond
	c := rawDial(t, b.listenEnvoy(t, bounds), true)
	c.await(t, "GOAWAY", func() bool { return c.goneAway })
	c.awaitEnd()
}

// TestSilentConnection checks that a connection is closed whose peer leaves a question
// open and answers no ping, and that it stays open while the peer answers.
func TestSilentConnection(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	bounds := generous()
	bounds.IdleTimeout, bounds.WriteTimeout = time.Second, 5*time.Second // gRPC pings no earlier
	addr := b.listenEnvoy(t, bounds)
	answering, silent := rawDial(t, addr, true), rawDial(t, addr, false)
	open := answering.ask(t, checkMethod, nil)
	silent.ask(t, checkMethod, nil)
	silent.awaitEnd()
	answering.mu.Lock()
	defer answering.mu.Unlock()
	if answering.ended || open.closed {
		t.Error("want the connection open whose peer answers pings, found it closed")
	}
}

// TestHandshakeTimeout checks that a connection that sends nothing is closed.
func TestHandshakeTimeout(t *testing.T) {
	b := newBench(t, nil)
	bounds := generous()
	bounds.HandshakeTimeout = 50 * time.Millisecond
	c := dial(t, b.listenEnvoy(t, bounds))
	if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("want the connection closed, found it open")
	}
}

// TestContentRoom checks that content without room is dropped, and that only a
// signature over it fails then.
func TestContentRoom(t *testing.T) {
	in := newReceiveLimiter(Bounds{MaxMessageBytes: 1, MaxHeldBytes: 10})
	for _, tt := range []struct {
		name    string
		content string
		taken   int64 // by others
		held    int64
		want    refusal.Reason
	}{
		{"none", "", 10, 0, ""},
		{"all of the room", "0123456789", 0, 10, ""},
		{"more than the room", "0123456789a", 0, 0, refusal.Overloaded},
		{"more than is free", "01234", 6, 0, refusal.Overloaded},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in.budget.used.Store(tt.taken)
			question := raw(about(t))
			h := httpOf(question)
			h.Method, h.RawBody = http.MethodPost, []byte(tt.content)
			h.HeaderMap.Headers = nil
			r, refused := describeAttributes(question.Attributes, http.Header{})
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

// TestRoomIsFreed checks that the content of an answered question is not counted any
// more.
func TestRoomIsFreed(t *testing.T) {
	b := newBench(t, nil)
	bounds := generous()
	bounds.MaxHeldBytes = 100 << 10
	bounds.MaxMessageBytes = 100 << 10
	s := &checker{Options: b.options, headers: forward.NewFilter(nil), vary: forward.NewVary(nil), limiter: newReceiveLimiter(bounds)}
	ctx := peer.NewContext(t.Context(), &peer.Peer{Addr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}})
	for _, g := range []*gate.Gate{b.gate, {Identifier: panics{}}} {
		b.gate = g
		question := about(t)
		httpOf(question).Method, httpOf(question).Headers[":method"] = "POST", "POST"
		httpOf(question).Body = strings.Repeat("a", 60<<10)
		if _, err := s.Check(ctx, question); err != nil {
			t.Fatal(err)
		}
		if taken := s.limiter.budget.used.Load(); taken != 0 {
			t.Errorf("want no bytes taken after the answer, found %d", taken)
		}
	}
}
