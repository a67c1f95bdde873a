package forward

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/certgate/certgate/internal/denial"
)

// The most that is held of bodies, in bytes: of one, and of all together.
const (
	maxHeldBody = 64 << 20
	maxHeld     = 256 << 20
)

// Hold reads the whole body of r into memory, puts it back and returns it: what
// is forwarded then are these bytes, which nobody may change, with their length. It
// is for who has to see a body before it may go on; w is r's. Whoever calls it calls
// [Forwarder.Release], too. Asked again it returns the same.
//
// The error is a [*denial.Error]: BodyTooLarge for more than MaxBodyBytes or 64 MiB,
// Overloaded when there is no place for the request, or the memory for held bodies is
// used up, and RequestTimeout, RequestMalformed and ClientClosed as of
// [Forwarder.Forward]. If nothing was read until then, r is as it was. Else nothing
// can be forwarded of it any more, Forward says the same error, and the connection
// ends with the answer.
func (f *Forwarder) Hold(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if h, ok := r.Body.(*heldBody); ok {
		return h.content, nil
	}
	if r.ContentLength == 0 {
		return nil, nil
	}
	body := newRequestBody(r, min(f.maxBody, maxHeldBody))
	if refusal := f.refuse(w, body); refusal != nil {
		return nil, refusal
	}
	h := &heldBody{room: &f.room}
	if err := h.fill(body); err != nil {
		h.release()
		return nil, giveUp(w, r, body, err)
	}
	r.Body, r.ContentLength, r.TransferEncoding = h, int64(len(h.content)), nil
	return h.content, nil
}

// giveUp ends a request whose body could not be held, unless nothing of it was read.
func giveUp(w http.ResponseWriter, r *http.Request, body *requestBody, err error) *denial.Error {
	refusal := denial.Of(err)
	if refusal == nil {
		refusal = failure(r, body, err)
	}
	if body.n.Load() > 0 || body.ended() != nil {
		r.Body = brokenBody{refusal}
		w.Header().Set("Connection", "close")
		endReading(w, body)
	}
	return refusal
}

// Release gives back the memory of a body that was held; it may be called for every
// request, and again.
func (f *Forwarder) Release(r *http.Request) {
	if h, ok := r.Body.(*heldBody); ok {
		h.release()
	}
}

// heldBody is a body that is in memory as a whole.
type heldBody struct {
	bytes.Reader

	content []byte
	room    *room
	taken   int64 // of the room
}

func (*heldBody) Close() error { return nil }

// fill reads b. It grows with what comes: a client that only declares much gets
// little.
func (h *heldBody) fill(b *requestBody) error {
	for whole := false; !whole; {
		if len(h.content) == cap(h.content) {
			if refusal := h.grow(b); refusal != nil {
				return refusal
			}
		}
		n, err := b.receive(h.content[len(h.content):cap(h.content)])
		h.content = h.content[:len(h.content)+n]
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		whole = b.whole()
	}
	h.Reset(h.content)
	return nil
}

// grow makes room for more of b: at first as much as most bodies need, then for
// twice as much. One byte more than is allowed tells a body that fits from one that
// does not.
func (h *heldBody) grow(b *requestBody) error {
	old, most := int64(cap(h.content)), b.limit+1
	if b.declared > 0 {
		most = b.declared
	}
	size := min(max(2*old, maxParcel), most)
	if !h.room.take(size) {
		refusal := denial.New(denial.Overloaded, "want at most %d bytes of bodies held at once", h.room.most)
		refusal.RetryAfter = time.Second
		return refusal
	}
	h.content = append(make([]byte, 0, size), h.content...)
	h.room.free(old)
	h.taken = size
	return nil
}

func (h *heldBody) release() {
	h.room.free(h.taken)
	h.taken = 0
}

// room is the memory that bodies may take together. It is safe for concurrent use.
type room struct {
	most  int64
	taken atomic.Int64
}

func (r *room) take(n int64) bool {
	if r.taken.Add(n) <= r.most {
		return true
	}
	r.taken.Add(-n)
	return false
}

func (r *room) free(n int64) { r.taken.Add(-n) }

// brokenBody stands for a body of which a part is gone.
type brokenBody struct{ refusal *denial.Error }

func (b brokenBody) Read([]byte) (int, error) { return 0, b.refusal }

func (brokenBody) Close() error { return nil }
