package forward

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/certgate/certgate/internal/denial"
	"github.com/certgate/certgate/internal/h1"
	"github.com/certgate/certgate/internal/upstream"
)

// send takes a place for the message and sends it. An address that cannot be
// reached has got nothing, so the next one is tried; after any other failure
// nobody knows, and nothing is sent twice. The error is a *denial.Error.
func (f *Forwarder) send(visit *upstream.Visit, m message) (*http.Response, error) {
	if err := f.load(m); err != nil {
		return nil, failure(m.r, m.body, err)
	}
	if refusal := f.pool.Begin(visit); refusal != nil {
		return nil, refusal
	}
	for {
		res, err := f.roundTrip(visit.Index(), f.outbound(visit.URL(), m))
		if err == nil {
			visit.Answered()
			return res, nil
		}
		d := failure(m.r, m.body, err)
		if d.Reason != denial.UpstreamFailed && d.Reason != denial.UpstreamTimeout {
			return nil, d
		}
		visit.Failed(d)
		if !errors.Is(err, h1.ErrUnreachable) || !m.body.rewind() || !visit.Another() {
			return nil, d
		}
	}
}

// load reads a small body before there is a place for the request: a slow client
// holds none, and the body can be offered to more than one address.
func (f *Forwarder) load(m message) error {
	if f.lean == nil || m.r.ContentLength <= 0 || m.r.ContentLength > h1.MaxBody {
		return nil
	}
	buf, ok := f.bodies.Get().(*[]byte)
	if !ok { // the pool has nothing yet
		buf = new([]byte)
	}
	return m.body.load(buf)
}

// roundTrip sends plain requests the lean way and leaves the others to net/http.
func (f *Forwarder) roundTrip(index int, out *http.Request) (*http.Response, error) {
	if f.lean != nil && h1.Plain(out) {
		return f.lean[index].RoundTrip(out)
	}
	forbidRepeat(out.Header)
	return f.transport.RoundTrip(out)
}

// outbound builds the request that goes on the wire to the address.
func (f *Forwarder) outbound(to *url.URL, m message) *http.Request {
	out := &http.Request{
		Method: m.g.Method(),
		// Opaque goes on the wire as it is, while Path and RawQuery would be
		// parsed and written anew. A Target never begins with "//", the one
		// case that URL.RequestURI would change.
		URL:           &url.URL{Scheme: to.Scheme, Host: to.Host, Opaque: m.g.Target().String()},
		Host:          to.Host,
		Header:        f.headers.keep(m.r.Header),
		ContentLength: m.r.ContentLength,
	}
	if m.r.ContentLength != 0 {
		// The transport cannot rewind it, so it never sends a body twice.
		out.Body = m.body
	}
	setIdentity(out.Header, m.g, m.hop)
	return out.WithContext(m.r.Context())
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
