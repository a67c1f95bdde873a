package forward

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/http1/client"
)

// send reserves a place for the request and sends it. When an address is unreachable, the
// request was not sent, so send tries the next address. After any other failure the
// upstream may have received the request, and it is not sent again. The error is a
// *refusal.Error.
func (f *Forwarder) send(out *outboundRequest) error {
	reservation := &out.reservation
	if err := f.buffer(out); err != nil {
		return asRefusal(out.body, err)
	}
	start := time.Now()
	if refused := f.pool.Reserve(reservation, out.client, start); refused != nil {
		return refused
	}
	if refused := f.assert(out); refused != nil {
		return refused
	}
	if out.assertion != "" { // signing took time
		start = time.Now()
	}
	for ; ; start = time.Now() {
		if span := out.metadata.Span; span != nil {
			out.call = span.StartCall(out.g.Method(), reservation.URL())
		}
		err := f.sendTo(out, start)
		a := Attempt{Address: reservation.Index(), Duration: time.Since(start)}
		if err == nil {
			reservation.Succeeded()
			a.Outcome = outcomeOfStatus(out.res.Status)
			f.observe(a)
			return nil
		}
		refused := failure(out.body, err)
		out.call.End(0, refused) // a call with a response ends after its transfer
		a.Outcome = outcomeOfFailure(refused.Reason, err)
		f.observe(a)
		if refused.Reason != refusal.UpstreamFailed && refused.Reason != refusal.UpstreamTimeout {
			return refused
		}
		if errors.Is(err, client.ErrBadResponse) {
			// The address is alive. A client that can provoke bad responses must not be
			// able to take the address out for all other clients.
			reservation.Succeeded()
			return refused
		}
		reservation.Failed(refused)
		unsent := errors.Is(err, client.ErrUnreachable) && out.repeatable()
		if !unsent || !reservation.Retry() {
			return refused
		}
	}
}

// buffer reads a small body before a place is reserved, so a client that sends slowly
// holds no place. A longer body is read while it is sent, except for its beginning.
func (f *Forwarder) buffer(out *outboundRequest) error {
	if f.clients == nil || out.body.Length() < 0 {
		return f.bufferSmall(out)
	}
	var ok bool
	if out.buffered, ok = f.requests.Get().(*client.Request); !ok { // the pool is empty
		out.buffered = new(client.Request)
	}
	return out.buffered.ReadBody(out.body, out.body.Length())
}

// maxSmall is the length of the longest body that is in memory before net/http's transport
// sends its request, in bytes. The transport writes such a body together with the header. The
// memory is not used again, because the transport may read it after the end of the request.
const maxSmall = 4 << 10

// bufferSmall is buffer for a request that net/http's transport has to send. It holds a longer
// body only if the assertion needs it.
func (f *Forwarder) bufferSmall(out *outboundRequest) error {
	n := out.body.Length()
	if n <= 0 || n > maxSmall {
		return f.holdBound(out)
	}
	out.small = make([]byte, n)
	_, err := io.ReadFull(out.body, out.small)
	return err
}

// sendTo sends the request to the address of its reservation at the time now.
func (f *Forwarder) sendTo(out *outboundRequest, now time.Time) (err error) {
	if out.buffered == nil {
		return f.stream(out)
	}
	f.writeRequest(out)
	out.res.Response, err = f.clients[out.reservation.Index()].Do(out.r.Context(), out.buffered, now)
	return err
}

// stream sends the request with net/http's transport. When a kept connection turns out to
// be unusable, nothing was sent on it and it is closed, so the request goes to the next
// connection, and to a new one after all kept ones.
func (f *Forwarder) stream(out *outboundRequest) error {
	for range idleConns + 1 {
		var u use
		request := f.transportRequest(out, &u)
		res, err := f.transports[out.reservation.Index()].RoundTrip(request) //nolint:bodyclose // the caller closes it
		switch {
		case err == nil:
			u.checkResponse(res)
			converted := client.Response{Status: res.StatusCode, Length: res.ContentLength, Body: res.Body}
			out.res = response{converted, res.Header}
			return nil
		case u.answered():
			return fmt.Errorf("%w: %w", client.ErrBadResponse, err)
		case !u.stale || !out.repeatable():
			return err
		}
	}
	return fmt.Errorf("%w: no kept connection is usable", client.ErrUnreachable)
}
