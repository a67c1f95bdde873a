package body

import (
	"errors"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/certgate/certgate/internal/core/refusal"
)

// lingerTimeout is how long a client that is still sending its body may go on after the
// response, so that it can read the response before its connection is reset.
const lingerTimeout = 500 * time.Millisecond

// Close makes later reads of every attempt fail. It does not close the client's body,
// which belongs to net/http.
func (b *Body) Close() error {
	b.closed.Store(true)
	return nil
}

// End ends the reading of the body after the response. The response may come before the
// whole body was sent: without End the transport, or net/http before it closes the
// connection, would wait for a client that waits for the gateway.
func (b *Body) End() {
	complete := b.Complete()
	_ = b.Close()
	if complete {
		return
	}
	control := http.NewResponseController(b.w)
	// net/http ends a Read in progress itself and clears our deadline at the same time.
	// So the Read has to be over before the next deadline is set.
	if control.SetReadDeadline(time.Unix(1, 0)) == nil {
		b.waitForRead()
	}
	_ = control.SetReadDeadline(time.Now().Add(lingerTimeout))
}

// CloseIfIncomplete makes net/http close the client's connection after the response if the
// client has not sent the whole body. Otherwise net/http would read the rest of the body
// itself, and the upstream would receive a body with a part missing.
func (b *Body) CloseIfIncomplete() {
	if !b.Complete() {
		b.closeConnection()
	}
}

// ClientFault returns the refusal if the client caused a failed request: its body is too
// long, malformed, too slow or incomplete, or the client closed the connection. It returns
// nil otherwise.
func (b *Body) ClientFault() *refusal.Error {
	gone := b.r.Context().Err() != nil
	if gone {
		// A Read that fails, for example at its deadline, cancels the request's context
		// before it returns. After the Read, the reason is known.
		b.waitForRead()
	}
	var timeout net.Error
	switch fault := b.fault(); {
	case errors.Is(fault, errTooLarge):
		return refusal.New(refusal.BodyTooLarge, "the body is longer than %d bytes", b.options.MaxBytes)
	case errors.As(fault, &timeout) && timeout.Timeout():
		return refusal.New(refusal.RequestTimeout, "the request body stalled: %v", fault)
	case fault != nil && !isDisconnect(fault):
		return refusal.New(refusal.RequestMalformed, "the request body: %v", fault)
	case fault != nil:
		return refusal.New(refusal.ClientClosed, "the request body is incomplete: %v", fault)
	case gone:
		return refusal.New(refusal.ClientClosed, "the client closed the connection")
	default:
		return nil
	}
}

// fault returns why reading ended before the end of the body, or nil if it has not.
func (b *Body) fault() error {
	if err := b.ended(); !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

// isDisconnect reports whether a body ended because the connection did, and not because
// its bytes are malformed.
func isDisconnect(fault error) bool {
	var network *net.OpError
	return errors.Is(fault, io.ErrUnexpectedEOF) || errors.Is(fault, http.ErrBodyReadAfterClose) || errors.As(fault, &network)
}
