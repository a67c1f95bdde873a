package forward

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
)

var errTooLarge = errors.New("request body too large")

// requestBody is the client's body on its way to the upstream. Of a body that is longer
// than allowed, reading ends in an error instead of an end, so the upstream sees a
// broken request and never a whole one.
//
// The transport reads it as an [attempt], in a goroutine that can outlive the handler.
// Everything else may be called meanwhile and, except settledFault and rewind, never
// waits for a Read.
type requestBody struct {
	r        io.Reader
	declared int64 // -1: unknown
	limit    int64
	isHeld   bool // it is in memory, and nothing of it is on the client's connection

	n      atomic.Int64
	closed atomic.Bool

	reading sync.Mutex // held by Read
	mu      sync.Mutex
	err     error // why reading ended, io.EOF for the regular end
}

func newRequestBody(r *http.Request, limit int64) *requestBody {
	_, held := r.Body.(*heldBody)
	return &requestBody{r: r.Body, declared: r.ContentLength, limit: limit, isHeld: held}
}

// receive reads from the client. The caller holds reading.
func (b *requestBody) receive(p []byte) (int, error) {
	if err := b.ended(); err != nil {
		return 0, err
	}
	// One byte more than is allowed tells a body that fits from one that does not.
	if room := b.limit - b.n.Load() + 1; int64(len(p)) > room {
		p = p[:room]
	}
	n, err := b.r.Read(p)
	if b.n.Add(int64(n)) > b.limit {
		n, err = 0, errTooLarge
	}
	if err != nil {
		b.mu.Lock()
		b.err = err
		b.mu.Unlock()
	}
	return n, err
}

// load reads a body of declared length into buf, which may grow. Nobody else may
// read it.
func (b *requestBody) load(buf []byte) ([]byte, error) {
	if int64(cap(buf)) < b.declared {
		buf = make([]byte, b.declared)
	}
	buf = buf[:b.declared]
	for rest := buf; len(rest) > 0; {
		n, err := b.receive(rest)
		if rest = rest[n:]; err != nil && len(rest) > 0 {
			return buf, err
		}
	}
	return buf, nil
}

// rewind reports whether nothing of the body is gone, so that another attempt can send
// all of it.
func (b *requestBody) rewind() bool {
	b.reading.Lock()
	defer b.reading.Unlock()
	return b.n.Load() == 0 && b.ended() == nil
}

// Close makes later reads of every attempt fail. The client's body belongs to net/http.
func (b *requestBody) Close() error {
	b.closed.Store(true)
	return nil
}

// attempt is the body as one attempt to send it reads it. Once it is closed it takes
// nothing of the body any more, even where its transport still tries to read: the next
// attempt gets all of it.
type attempt struct {
	b      *requestBody
	closed atomic.Bool
}

// Read is for one goroutine.
func (a *attempt) Read(p []byte) (int, error) {
	a.b.reading.Lock()
	defer a.b.reading.Unlock()
	if a.closed.Load() || a.b.closed.Load() {
		return 0, http.ErrBodyReadAfterClose
	}
	return a.b.receive(p)
}

// Close ends the attempt.
func (a *attempt) Close() error {
	a.closed.Store(true)
	return nil
}

// ended is why reading ended, nil while it has not.
func (b *requestBody) ended() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}

// fault is why reading ended too early, nil when it has not.
func (b *requestBody) fault() error {
	if err := b.ended(); !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

// settledFault is fault after a Read that is under way has returned. It is for
// a client's context that is done: then no Read waits any more.
func (b *requestBody) settledFault() error {
	b.settle()
	return b.fault()
}

// settle waits until a Read that is under way has returned.
func (b *requestBody) settle() {
	b.reading.Lock()
	defer b.reading.Unlock()
}

// whole reports whether all of the body has been read from the client.
func (b *requestBody) whole() bool {
	return b.isHeld || b.n.Load() == b.declared || errors.Is(b.ended(), io.EOF)
}
