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

// streamWindow is how much of a question gRPC takes before the handler reads it, in
// bytes. It is the smallest window that gRPC allows.
const streamWindow = 64 << 10

// inbox bounds the memory of the questions of all connections together. It is safe
// for concurrent use; [newInbox] makes one.
//
// A question has three stages. Until it is read, gRPC holds at most streamWindow of
// it. While it is read, it occupies one of the places of reading, because gRPC then
// accepts the rest of the message. Once it has been read, its size is known, and the
// content of the request, the only part that can be long, is taken from room.
type inbox struct {
	most    int64
	open    atomic.Int64
	reading chan struct{}
	timeout time.Duration
	room    room
}

func newInbox(b Bounds) *inbox {
	return &inbox{
		most: int64(b.MaxQuestions), reading: make(chan struct{}, max(b.MaxHeldBytes/b.MaxMessageBytes, 1)),
		timeout: b.MessageTimeout, room: room{most: int64(b.MaxHeldBytes)},
	}
}

// enter counts a question as open, or refuses it. Leave has to be called when it was
// not refused.
func (i *inbox) enter() *refusal.Error {
	if i.open.Add(1) > i.most {
		i.open.Add(-1)
		return overloaded("want at most %d questions at a time, found one more", i.most)
	}
	return nil
}

func (i *inbox) leave() { i.open.Add(-1) }

// receive reads the message of a question into m. The error is a [*refusal.Error], or
// that of a stream that the peer has ended. After an error m must not be used: the
// message may still arrive until the stream has ended.
func (i *inbox) receive(stream grpc.ServerStream, m any) error {
	ctx, cancel := context.WithTimeout(stream.Context(), i.timeout)
	defer cancel()
	select {
	case i.reading <- struct{}{}:
	case <-ctx.Done():
		if err := stream.Context().Err(); err != nil {
			return err
		}
		return overloaded("want a place to read the question within %s, found none", i.timeout)
	}
	defer func() { <-i.reading }()
	received := make(chan error, 1)
	go func() { received <- stream.RecvMsg(m) }() // ends with the stream at the latest
	select {
	case err := <-received:
		return unreadable(err)
	case <-ctx.Done():
		if stream.Context().Err() != nil { // and RecvMsg returns
			return unreadable(<-received)
		}
		return refusal.New(refusal.RequestTimeout, "want the whole question within %s, found a part of it", i.timeout)
	}
}

// unreadable returns why a message could not be read, nil for a nil error. gRPC has
// answered with an error then, except when the question had no message at all.
func unreadable(err error) error {
	switch status.Code(err) {
	case codes.OK:
		return nil
	case codes.Canceled, codes.DeadlineExceeded, codes.Unavailable:
		return err
	case codes.ResourceExhausted:
		return refusal.New(refusal.BodyTooLarge, "the question is too long: %v", err)
	default:
		return refusal.New(refusal.RequestMalformed, "the question cannot be read: %v", err)
	}
}

func overloaded(format string, args ...any) *refusal.Error {
	d := refusal.New(refusal.Overloaded, format, args...)
	d.RetryAfter = time.Second
	return d
}

// room is a number of bytes that several questions share. It is safe for concurrent
// use.
type room struct {
	most  int64
	taken atomic.Int64
}

// take takes n bytes if they are free.
func (r *room) take(n int64) bool {
	if r.taken.Add(n) > r.most {
		r.free(n)
		return false
	}
	return true
}

func (r *room) free(n int64) { r.taken.Add(-n) }
