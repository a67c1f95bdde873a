package extauth

import (
	"context"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/certgate/certgate/internal/core/refusal"
)

// streamWindow is the number of bytes of a check that gRPC buffers before the handler
// receives the message. It is the smallest window that gRPC allows.
const streamWindow = 64 << 10

// receiveLimiter limits the total memory of the checks on all connections. It is safe
// for concurrent use. Use [newReceiveLimiter] to create one.
//
// A check has three stages. Before it is received, gRPC buffers at most streamWindow of
// it. While it is received, it occupies one slot of receiving, because gRPC then accepts
// the rest of the message. After that its size is known, and the content of the request,
// the only part of unbounded length, is charged to the budget.
type receiveLimiter struct {
	limit     int64
	open      atomic.Int64
	receiving chan struct{}
	timeout   time.Duration
	budget    byteBudget
}

func newReceiveLimiter(b Bounds) *receiveLimiter {
	return &receiveLimiter{
		limit: int64(b.MaxChecks), receiving: make(chan struct{}, max(b.MaxHeldBytes/b.MaxMessageBytes, 1)),
		timeout: b.MessageTimeout, budget: byteBudget{limit: int64(b.MaxHeldBytes)},
	}
}

// enter counts a check as open, or refuses it. The caller must call leave if enter
// returns nil.
func (l *receiveLimiter) enter() *refusal.Error {
	if l.open.Add(1) > l.limit {
		l.open.Add(-1)
		return overloaded("want at most %d concurrent checks, found one more", l.limit)
	}
	return nil
}

func (l *receiveLimiter) leave() { l.open.Add(-1) }

// receive receives the message of a check into m. The error is a [*refusal.Error], or
// the error of a stream that the peer has ended. After an error the caller must not use
// m, because gRPC may write to it until the stream has ended.
func (l *receiveLimiter) receive(stream grpc.ServerStream, m any) error {
	ctx, cancel := context.WithTimeout(stream.Context(), l.timeout)
	defer cancel()
	select {
	case l.receiving <- struct{}{}:
	case <-ctx.Done():
		if err := stream.Context().Err(); err != nil {
			return err
		}
		return overloaded("want to receive the check within %s, found all slots in use", l.timeout)
	}
	defer func() { <-l.receiving }()
	received := make(chan error, 1)
	go func() { received <- stream.RecvMsg(m) }() // returns when the stream ends
	select {
	case err := <-received:
		return receiveError(err)
	case <-ctx.Done():
		if stream.Context().Err() != nil { // RecvMsg returns as well
			return receiveError(<-received)
		}
		return refusal.New(refusal.RequestTimeout, "want the whole check within %s, found a part of it", l.timeout)
	}
}

// receiveError converts an error of RecvMsg to a refusal. It returns nil for nil, and
// the error itself if the peer ended the stream. For a refusal gRPC has already sent an
// error to the peer, unless the check had no message.
func receiveError(err error) error {
	switch status.Code(err) {
	case codes.OK:
		return nil
	case codes.Canceled, codes.DeadlineExceeded, codes.Unavailable:
		return err
	case codes.ResourceExhausted:
		return refusal.New(refusal.BodyTooLarge, "want a shorter check: %v", err)
	default:
		return refusal.New(refusal.RequestMalformed, "want a valid check: %v", err)
	}
}

func overloaded(format string, args ...any) *refusal.Error {
	d := refusal.New(refusal.Overloaded, format, args...)
	d.RetryAfter = time.Second
	return d
}

// byteBudget is a number of bytes that is shared by all checks. It is safe for
// concurrent use.
type byteBudget struct {
	limit int64
	used  atomic.Int64
}

// acquire reserves n bytes and reports whether they were available.
func (b *byteBudget) acquire(n int64) bool {
	if b.used.Add(n) > b.limit {
		b.release(n)
		return false
	}
	return true
}

func (b *byteBudget) release(n int64) { b.used.Add(-n) }
