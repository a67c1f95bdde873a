package forward

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/certgate/certgate/internal/core/access"
	"github.com/certgate/certgate/internal/core/headers"
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/http1/client"
	"github.com/certgate/certgate/internal/proxy/upstream"
)

// maxParcel is the longest body that is sent in one piece with its request, in
// bytes.
const maxParcel = 64 << 10

// message is a granted request on its way.
type message struct {
	r    *http.Request
	g    access.Grant
	hop  Hop
	body *requestBody
	// listed are the fields that the client's Connection fields list.
	listed headers.Options

	writer fastWriter // nil when the client's connection is net/http's
}

// parcel is a request in one piece, for the lean client.
type parcel struct {
	message client.Message
	body    []byte
}

// send takes a place for the message and sends it. When an address cannot be
// reached, nothing was sent, so the next one is tried; after any other failure the
// service may have got the request, and it is not sent again. The error is a
// *denial.Error.
func (f *Forwarder) send(visit *upstream.Visit, m *message) (client.Answer, error) {
	p, err := f.pack(m)
	if err != nil {
		return client.Answer{}, failure(m.r, m.body, err)
	}
	defer f.unpack(p)
	if refused := f.pool.Begin(visit, m.g.Client().Name()); refused != nil {
		return client.Answer{}, refused
	}
	for {
		a, err := f.offer(visit, m, p)
		if err == nil {
			visit.Answered()
			return a, nil
		}
		d := failure(m.r, m.body, err)
		if d.Reason != refusal.UpstreamFailed && d.Reason != refusal.UpstreamTimeout {
			return client.Answer{}, d
		}
		if errors.Is(err, client.ErrBadAnswer) {
			// The address is alive: a client that can provoke such answers must not be
			// able to take it from the others.
			visit.Answered()
			return client.Answer{}, d
		}
		visit.Failed(d)
		unsent := errors.Is(err, client.ErrUnreachable) && (p != nil || m.body.rewind())
		if !unsent || !visit.Another() {
			return client.Answer{}, d
		}
	}
}

// pack reads a small body before there is a place for the request: a slow client
// holds none, and the body can be offered to more than one address. The parcel is
// nil for requests that the transport has to stream.
func (f *Forwarder) pack(m *message) (*parcel, error) {
	n := m.r.ContentLength
	if f.lean == nil || n < 0 || n > maxParcel || len(m.r.TransferEncoding) > 0 {
		return nil, nil //nolint:nilnil // said above
	}
	p, ok := f.parcels.Get().(*parcel)
	if !ok { // the pool has nothing yet
		p = new(parcel)
	}
	var err error
	if p.body, err = m.body.load(p.body); err != nil {
		f.unpack(p)
		return nil, err
	}
	return p, nil
}

func (f *Forwarder) unpack(p *parcel) {
	if p != nil {
		f.parcels.Put(p)
	}
}

// offer sends the request to the address of the visit.
func (f *Forwarder) offer(visit *upstream.Visit, m *message, p *parcel) (client.Answer, error) {
	if p == nil {
		return f.roundTrip(visit.URL(), m)
	}
	p.message.Begin(m.g.Method(), m.g.Target().String(), visit.URL().Host)
	f.eachField(m, p.message.Field)
	p.message.End(p.body)
	return f.lean[visit.Index()].Do(m.r.Context(), &p.message)
}

// roundTrip leaves the request to net/http. A kept connection that turns out not to be
// fit has got nothing, so the request goes to the next one. Each of them ends, so there
// is a fresh one at the end.
func (f *Forwarder) roundTrip(to *url.URL, m *message) (client.Answer, error) {
	for range idleConns + 1 {
		var u use
		res, err := f.transport.RoundTrip(f.outbound(to, m, &u)) //nolint:bodyclose // it is the answer's
		switch {
		case err == nil:
			u.judge(res)
			return answerOf(res), nil
		case u.answered():
			return client.Answer{}, fmt.Errorf("%w: %w", client.ErrBadAnswer, err)
		case !u.stale || !m.body.rewind():
			return client.Answer{}, err
		}
	}
	return client.Answer{}, fmt.Errorf("%w: no kept connection is fit", client.ErrUnreachable)
}

func answerOf(res *http.Response) client.Answer {
	a := client.Answer{Status: res.StatusCode, Length: res.ContentLength, Body: res.Body}
	for _, name := range slices.Sorted(maps.Keys(res.Header)) {
		for _, value := range res.Header[name] {
			a.Fields = append(a.Fields, client.Field{Name: name, Value: value})
		}
	}
	return a
}

// outbound builds the request that the transport sends to the address, and observes it
// with u.
func (f *Forwarder) outbound(to *url.URL, m *message, u *use) *http.Request {
	out := &http.Request{
		Method: m.g.Method(),
		// Opaque goes on the wire as it is, while Path and RawQuery would be
		// parsed and written anew. A Target never begins with "//", the one
		// case that URL.RequestURI would change.
		URL:           &url.URL{Scheme: to.Scheme, Host: to.Host, Opaque: m.g.Target().String()},
		Host:          to.Host,
		Header:        make(http.Header, len(m.r.Header)+8),
		ContentLength: m.r.ContentLength,
	}
	give := func(name, value string) { out.Header[name] = append(out.Header[name], value) }
	f.eachField(m, give)
	forbidRepeat(out.Header)
	if _, ok := out.Header["User-Agent"]; !ok {
		out.Header["User-Agent"] = nil // or the transport would add its own
	}
	if m.r.ContentLength != 0 {
		// The transport cannot rewind it, so it never sends a body twice.
		u.body = &attempt{b: m.body}
		out.Body = u.body
		// As in [client.Message.End].
		out.Close = !client.MethodHasContent(m.g.Method())
	}
	return out.WithContext(u.with(m.r.Context()))
}

// forbidRepeat hides the headers that the transport takes as leave to send a
// POST again when a connection broke and nobody knows whether it was heard. It
// looks for the canonical name only; to the upstream, case means nothing.
func forbidRepeat(h http.Header) {
	for _, name := range []string{"Idempotency-Key", "X-Idempotency-Key"} {
		if values, ok := h[name]; ok {
			delete(h, name)
			h[strings.ToLower(name)] = values
		}
	}
}
