package forward

import (
	"errors"

	"github.com/certgate/certgate/internal/h1"
	"github.com/certgate/certgate/internal/trust"
)

// maxRepeat bounds what a client's connection keeps in memory, in bytes.
const maxRepeat = 4 << 10

// repeat is what the last request of a client's connection said to the upstream, but
// for what each request has of its own. A client that repeats itself is not written
// down again.
type repeat struct {
	of    ingredients
	lines h1.Lines
}

// ingredients are all that the lines are made of. The client's own fields are the
// generation's, so lines of equal ingredients are equal.
type ingredients struct {
	generation        uint64
	signaturesRead    bool
	client            string
	certificate       trust.Verified
	auth              string
	peer, proto, host string
}

// lines are the field lines that go to the upstream, without the request's id. They
// are own, or the client's connection keeps them; valid until its next request.
func (f *Forwarder) lines(m *message, own *h1.Lines) (*h1.Lines, error) {
	if m.relayer == nil {
		return own, f.write(own, m)
	}
	place, generation := m.relayer.Repeats()
	client := m.g.Client()
	now := ingredients{
		generation: generation, signaturesRead: m.hop.SignaturesRead,
		client: client.Name(), certificate: client.Certificate(), auth: m.hop.Auth,
		peer: m.hop.For, proto: m.hop.Proto, host: m.hop.Host,
	}
	last, ok := (*place).(*repeat)
	if ok && last.of == now {
		return &last.lines, nil
	}
	*place = nil
	if err := f.write(own, m); err != nil || own.Len() > maxRepeat {
		return own, err
	}
	if !ok {
		last = new(repeat)
	}
	last.of = now
	last.lines, *own = *own, last.lines
	*place = last
	return &last.lines, nil
}

func (f *Forwarder) write(to *h1.Lines, m *message) (err error) {
	to.Reset()
	f.headers.fields(m, func(name, value string) { err = errors.Join(err, to.Add(name, value)) })
	return err
}
