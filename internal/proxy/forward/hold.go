package forward

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/certgate/certgate/internal/core/refusal"
)

// The most that is held of bodies, in bytes: of one, and of all together.
const (
	maxHeldBody = 64 << 20
	maxHeld     = 256 << 20
)

// Hold reads the whole body of r into memory, puts it back and returns it: what
// is forwarded then are these bytes, which nobody may change, with their length. It
// is for who has to see a body before it may go on; w is r's, and client is who takes
// the memory. Whoever calls it calls [Forwarder.Release], too. Asked again it returns
// the same.
//
// The error is a [*refusal.Error]. Of BodyTooLarge, for more than MaxBodyBytes or 64
// MiB, and of Overloaded, when there is no place for the request or the client has its
// share of the memory: then the body is still there, and r can be forwarded, but for
// one that ran over MaxBodyBytes. Else it is one of RequestTimeout, RequestMalformed
// and ClientClosed as of [Forwarder.Forward], which says the same error again, and the
// connection ends with the answer.
func (f *Forwarder) Hold(w http.ResponseWriter, r *http.Request, client string) ([]byte, error) {
	switch body := r.Body.(type) {
	case *heldBody:
		return body.content, nil
	case *begunBody:
		return nil, body.refusal
	case brokenBody:
		return nil, body.refusal
	}
	if r.ContentLength == 0 {
		return nil, nil
	}
	body := newRequestBody(r, f.maxBody)
	if refused := f.refuse(w, body, client); refused != nil {
		return nil, refused
	}
	h := &heldBody{room: &f.room, client: client}
	if err := h.fill(body); err != nil {
		return nil, h.putBack(w, r, body, err)
	}
	r.Body, r.ContentLength, r.TransferEncoding = h, int64(len(h.content)), nil
	return h.content, nil
}

// putBack makes r what it was, unless it is the body that failed.
func (h *heldBody) putBack(w http.ResponseWriter, r *http.Request, body *requestBody, err error) *refusal.Error {
	refused := refusal.Of(err)
	if refused == nil || len(h.content) == 0 {
		h.release()
	}
	switch {
	case refused == nil:
		return giveUp(w, r, body, err)
	case len(h.content) > 0:
		// Or net/http would read the rest before an answer goes out.
		w.Header().Set("Connection", "close")
		r.Body = &begunBody{io.MultiReader(bytes.NewReader(h.content), r.Body), h, refused}
	}
	return refused
}

// giveUp ends a request whose body could not be held, unless nothing of it was read.
func giveUp(w http.ResponseWriter, r *http.Request, body *requestBody, err error) *refusal.Error {
	refused := failure(r, body, err)
	if body.n.Load() > 0 || body.ended() != nil {
		r.Body = brokenBody{refused}
		w.Header().Set("Connection", "close")
		endReading(w, body)
	}
	return refused
}

// Release gives back the memory of a body that was held; it may be called for every
// request, and again.
func (f *Forwarder) Release(r *http.Request) {
	switch body := r.Body.(type) {
	case *heldBody:
		body.release()
	case *begunBody:
		body.held.release()
	}
}

// heldBody is a body that is in memory as a whole.
type heldBody struct {
	bytes.Reader

	content []byte
	room    *room
	client  string
	taken   int64 // of the room
}

func (*heldBody) Close() error { return nil }

// fill reads b. It grows with what comes: a client that only declares much gets
// little. After a [*refusal.Error] the content is the beginning of b.
func (h *heldBody) fill(b *requestBody) error {
	if b.declared > maxHeldBody {
		return errNotHeld()
	}
	for whole := false; !whole; {
		if len(h.content) == cap(h.content) {
			if refused := h.grow(b); refused != nil {
				return refused
			}
		}
		n, err := b.receive(h.content[len(h.content):cap(h.content)])
		h.content = h.content[:len(h.content)+n]
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if len(h.content) > maxHeldBody {
			return errNotHeld()
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
	old, most := int64(cap(h.content)), min(b.limit, maxHeldBody)+1
	if b.declared > 0 {
		most = b.declared
	}
	size := min(max(2*old, maxParcel), most)
	if !h.room.take(h.client, size) {
		refused := refusal.New(refusal.Overloaded, "client %q holds as many bytes of bodies as are free", h.client)
		refused.RetryAfter = time.Second
		return refused
	}
	h.content = append(make([]byte, 0, size), h.content...)
	h.room.free(h.client, old)
	h.taken = size
	return nil
}

func (h *heldBody) release() {
	h.room.free(h.client, h.taken)
	h.taken = 0
}

func errNotHeld() error {
	return refusal.New(refusal.BodyTooLarge, "want at most %d bytes of a body that has to be held, found more", maxHeldBody)
}

// begunBody is a body of which the beginning is in memory.
type begunBody struct {
	io.Reader

	held    *heldBody
	refusal *refusal.Error
}

// Close does nothing: the client's body belongs to net/http.
func (*begunBody) Close() error { return nil }

// brokenBody stands for a body of which a part is gone.
type brokenBody struct{ refusal *refusal.Error }

func (b brokenBody) Read([]byte) (int, error) { return 0, b.refusal }

func (brokenBody) Close() error { return nil }
