package body

import (
	"bytes"
	"errors"
	"io"
	"time"

	"github.com/certgate/certgate/internal/core/refusal"
)

// firstBuffer is the size of the first buffer of a held body, in bytes. Most bodies fit.
const firstBuffer = 64 << 10

// held is the memory of a body that is held, completely or in part.
type held struct {
	client   string
	content  []byte
	reserved int64 // bytes of the budget
}

// Hold reads the whole body into memory and returns it. The forwarder sends the same bytes,
// so the caller must not change them. The memory counts against the client's share of the
// budget until [Body.Release]. A second call returns the same result.
//
// The error is a [*refusal.Error] with one of these reasons:
//   - BodyTooLarge: the body is longer than Options.MaxBytes or [MaxHeldBytes].
//   - Overloaded: there is no capacity for the request, or the client has no budget left.
//   - RequestTimeout, RequestMalformed, ClientClosed: the client did not send the body.
//
// After Overloaded, and for a body over MaxHeldBytes, no byte is lost and the request can
// still be forwarded. In the other cases [Body.Refuse] returns the same error, and the
// connection closes after the response.
func (b *Body) Hold(client string) ([]byte, error) {
	switch {
	case b.refused != nil:
		return nil, b.refused
	case b.buffered:
		return b.held.content, nil
	case b.length == 0:
		return nil, nil
	}
	if refused := b.Refuse(client); refused != nil {
		return nil, refused
	}
	b.held = &held{client: client}
	if err := b.fill(); err != nil {
		return nil, b.holdFailed(err)
	}
	b.restart(bytes.NewReader(b.held.content))
	b.length, b.buffered = int64(len(b.held.content)), true
	return b.held.content, nil
}

// fill reads the body into b.held. The buffer grows with the bytes received, so a client
// that only declares a long body reserves little memory. The error is a [*refusal.Error]
// when the body cannot be held, and any other error when it could not be read.
func (b *Body) fill() error {
	if b.length > MaxHeldBytes {
		return errNotHeld()
	}
	for h := b.held; !b.Complete(); {
		if len(h.content) == cap(h.content) {
			if refused := b.grow(); refused != nil {
				return refused
			}
		}
		n, err := b.receive(h.content[len(h.content):cap(h.content)], b.source.Read)
		h.content = h.content[:len(h.content)+n]
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if len(h.content) > MaxHeldBytes {
			return errNotHeld()
		}
	}
	return nil
}

// grow doubles the buffer, up to the declared length or one byte over the limit. The extra
// byte distinguishes a body that is too long from one that fits exactly.
func (b *Body) grow() *refusal.Error {
	h := b.held
	old, limit := int64(cap(h.content)), min(b.options.MaxBytes, MaxHeldBytes)+1
	if b.length > 0 {
		limit = b.length
	}
	size := min(max(2*old, firstBuffer), limit)
	if !b.options.Budget.reserve(h.client, size) {
		refused := refusal.New(refusal.Overloaded, "client %q holds as many bytes of bodies as are free", h.client)
		refused.RetryAfter = time.Second
		return refused
	}
	h.content = append(make([]byte, 0, size), h.content...)
	b.options.Budget.release(h.client, old)
	h.reserved = size
	return nil
}

// holdFailed restores the body if it cannot be held, and ends the request if the client
// did not send it.
func (b *Body) holdFailed(err error) *refusal.Error {
	if refused := refusal.Of(err); refused != nil {
		b.putBack(refused)
		return refused
	}
	b.Release()
	refused := b.ClientFault()
	if refused == nil {
		refused = refusal.New(refusal.ClientClosed, "the request body: %v", err)
	}
	b.refused, b.lost = refused, true
	b.closeConnection()
	b.End()
	return refused
}

// putBack makes the bytes read so far the beginning of the body again.
func (b *Body) putBack(refused *refusal.Error) {
	if len(b.held.content) == 0 {
		b.Release()
		return
	}
	// Otherwise net/http would read the rest of the body before it sends a refusal.
	b.closeConnection()
	b.refused = refused
	b.restart(io.MultiReader(bytes.NewReader(b.held.content), b.r.Body))
}

// restart makes the body read from source, from its first byte.
func (b *Body) restart(source io.Reader) {
	b.source = source
	b.done.Store(false)
	b.read.Store(0)
}

// Release returns the memory of a held body to the budget. It may be called more than once,
// and for a body that is not held.
func (b *Body) Release() {
	if b.held != nil && b.held.reserved > 0 {
		b.options.Budget.release(b.held.client, b.held.reserved)
		b.held.reserved = 0
	}
}

func errNotHeld() error {
	return refusal.New(refusal.BodyTooLarge, "want at most %d bytes of a body that has to be held, found more", MaxHeldBytes)
}
