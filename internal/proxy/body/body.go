// Package body reads the bodies of client requests within limits, either as a stream or
// held in memory as a whole.
//
// A body is held when its digest has to be verified before any byte of it may be forwarded.
// The forwarder then sends the bytes that were verified. Package forward reads every body
// through a [Body], so a body is counted, bounded and ended in the same way in both cases.
package body

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/certgate/certgate/internal/core/refusal"
)

var errTooLarge = errors.New("request body too large")

// Options are the limits of request bodies. All fields are required.
type Options struct {
	// MaxBytes bounds one body.
	MaxBytes int64
	// Budget bounds the memory of all held bodies.
	Budget *Budget
	// CheckCapacity returns why a request of the client cannot be forwarded now, or nil.
	// A body is not held for such a request.
	CheckCapacity func(client string) *refusal.Error
}

// Body is the body of one client request. When the client sends more bytes than are
// allowed, reading ends with an error other than io.EOF, so an upstream never receives a
// truncated request that looks complete.
//
// Package http1/client reads a Body, and net/http's transport an [Attempt], in a goroutine
// that can outlive the handler. The handler's goroutine calls the other methods. It may call
// them during a Read; those that wait for the end of the Read say so.
type Body struct {
	options *Options
	w       http.ResponseWriter
	r       *http.Request

	source   io.Reader
	length   int64          // in bytes; -1: unknown
	held     *held          // nil unless it is held
	refused  *refusal.Error // by Hold; the body cannot be held
	buffered bool           // all of it is in memory
	lost     bool           // a part of it was read and discarded

	closed  atomic.Bool
	done    atomic.Bool  // reading has ended
	reading sync.Mutex   // locked during a Read
	read    atomic.Int64 // bytes from source
	err     error        // why reading has ended, io.EOF after the last byte; valid after done is set
}

// New returns the body of r. Nothing is read yet. The handler that was called with w and r
// must call [Body.Release] before it returns.
func New(w http.ResponseWriter, r *http.Request, o *Options) *Body {
	return &Body{options: o, w: w, r: r, source: r.Body, length: r.ContentLength}
}

// Length returns the length in bytes, or -1 if it is unknown. The length of a held body is
// known.
func (b *Body) Length() int64 { return b.length }

// Held returns the content if all of it is in memory or the request has none. The caller
// must not change it.
func (b *Body) Held() (content []byte, ok bool) {
	if b.buffered {
		return b.held.content, true
	}
	return nil, b.length == 0
}

// BytesRead returns how many bytes were read in order to forward them.
func (b *Body) BytesRead() int64 { return b.read.Load() }

// Refuse returns why the request is refused before its body is read, or nil: the declared
// length is over the limit, there is no capacity for a request of the client, or a part of
// the body was lost when it could not be held.
func (b *Body) Refuse(client string) *refusal.Error {
	if b.lost {
		return b.refused
	}
	if limit := b.options.MaxBytes; b.length > limit {
		// Otherwise net/http would read the body before it sends the refusal.
		b.closeConnection()
		return refusal.New(refusal.BodyTooLarge, "want at most %d bytes, the request declares %d", limit, b.length)
	}
	return b.options.CheckCapacity(client)
}

// closeConnection makes net/http close the client's connection after the response instead
// of reading the rest of the body first.
func (b *Body) closeConnection() { b.w.Header().Set("Connection", "close") }

// receive reads from the client or from memory with read. The caller holds reading, or is the
// only reader.
func (b *Body) receive(p []byte, read func([]byte) (int, error)) (int, error) {
	if err := b.ended(); err != nil {
		return 0, err
	}
	// One byte over the limit distinguishes a body that is too long from one that fits exactly.
	if most := b.options.MaxBytes - b.read.Load() + 1; int64(len(p)) > most {
		p = p[:most]
	}
	n, err := read(p)
	if b.read.Add(int64(n)) > b.options.MaxBytes {
		n, err = 0, errTooLarge
	}
	if err != nil {
		b.err = err
		b.done.Store(true)
	}
	return n, err
}

// Read reads the body, when the request is sent at most once. It must not be called
// concurrently.
func (b *Body) Read(p []byte) (int, error) { return b.readUnless(&b.closed, p, b.source.Read) }

// ReadArrived reads as Read does, without waiting: it returns 0 without an error if nothing has
// arrived, or if this cannot be known.
func (b *Body) ReadArrived(p []byte) (int, error) {
	source, ok := b.source.(interface{ ReadArrived(p []byte) (int, error) })
	if !ok {
		return 0, nil
	}
	return b.readUnless(&b.closed, p, source.ReadArrived)
}

// readUnless reads unless closed or the body is closed.
func (b *Body) readUnless(closed *atomic.Bool, p []byte, read func([]byte) (int, error)) (int, error) {
	b.reading.Lock()
	defer b.reading.Unlock()
	if closed.Load() || b.closed.Load() {
		return 0, http.ErrBodyReadAfterClose
	}
	return b.receive(p, read)
}

// Unread reports whether no byte was read, so that another attempt can send the whole
// body. It waits for a Read in progress.
func (b *Body) Unread() bool {
	b.waitForRead()
	return b.read.Load() == 0 && b.ended() == nil
}

// Complete reports whether the whole body has been read from the client.
func (b *Body) Complete() bool {
	return b.buffered || b.read.Load() == b.length || errors.Is(b.ended(), io.EOF)
}

// ended returns why reading ended, or nil while it has not.
func (b *Body) ended() error {
	if !b.done.Load() {
		return nil
	}
	return b.err
}

func (b *Body) waitForRead() {
	b.reading.Lock()
	defer b.reading.Unlock()
}

// Attempt is an io.ReadCloser for one attempt to send the body. After Close it reads
// nothing more, even if the transport tries to, so the next attempt gets the whole body.
type Attempt struct {
	body   *Body
	closed atomic.Bool
}

// NewAttempt returns a reader of the body.
func (b *Body) NewAttempt() *Attempt { return &Attempt{body: b} }

// Read must not be called concurrently.
func (a *Attempt) Read(p []byte) (int, error) {
	return a.body.readUnless(&a.closed, p, a.body.source.Read)
}

// Close ends the attempt.
func (a *Attempt) Close() error {
	a.closed.Store(true)
	return nil
}
