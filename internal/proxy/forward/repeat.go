package forward

import (
	"errors"

	"github.com/certgate/certgate/internal/core/trust"
	"github.com/certgate/certgate/internal/http1/client"
)

// maxRepeat bounds what a client's connection keeps in memory, in bytes.
const maxRepeat = 4 << 10

// repeat is what the last request of a client's connection said to the upstream, but
// for what each request has of its own. A client that repeats itself is not written
// down again.
type repeat struct {
	passed passed
	client client.Lines // of the client's own fields those that pass

	vouched vouched
	own     client.Lines // the gateway's
}

// passed is all that the client's lines are made of: equal ones make equal lines. Its
// fields are the generation's; 0 is none that is known.
type passed struct {
	generation     uint64
	signaturesRead bool
}

// vouched is all that the gateway's lines are made of: equal ones make equal lines.
type vouched struct {
	client            string
	certificate       trust.Verified
	auth              string
	peer, proto, host string
}

// write adds the fields of the request, but for its id: of the client's those that
// pass, and then the gateway's own, which no client can list away. It uses scratch
// where the client's connection keeps nothing.
func (f *Forwarder) write(to *client.Message, m *message, scratch *repeat) error {
	if m.relayer == nil {
		return scratch.write(to, m, f.headers, 0)
	}
	place, generation := m.relayer.Repeats()
	r, ok := (*place).(*repeat)
	if !ok {
		r = new(repeat)
	}
	err := r.write(to, m, f.headers, generation)
	if *place = r; r.client.Len()+r.own.Len() > maxRepeat {
		*place = nil
	}
	return err
}

func (r *repeat) write(to *client.Message, m *message, filter Filter, generation uint64) error {
	client := m.g.Client()
	err := errors.Join(
		r.pass(filter, m, passed{generation, m.hop.SignaturesRead}),
		r.vouch(m, vouched{
			client: client.Name(), certificate: client.Certificate(), auth: m.hop.Auth,
			peer: m.hop.For, proto: m.hop.Proto, host: m.hop.Host,
		}),
	)
	to.Lines(&r.client)
	to.Lines(&r.own)
	return err
}

// pass makes the client's lines.
func (r *repeat) pass(filter Filter, m *message, now passed) (err error) {
	if r.passed == now && now.generation != 0 {
		return nil
	}
	r.client.Reset()
	by := selection{m.listed, now.signaturesRead}
	filter.keep(m.r.Header, by, func(name, value string) { err = errors.Join(err, r.client.Add(name, value)) })
	if r.passed = now; err != nil {
		r.passed = passed{}
	}
	return err
}

// vouch makes the gateway's lines.
func (r *repeat) vouch(m *message, now vouched) (err error) {
	if r.vouched == now {
		return nil
	}
	r.own.Reset()
	vouch(m, func(name, value string) { err = errors.Join(err, r.own.Add(name, value)) })
	if r.vouched = now; err != nil {
		r.vouched = vouched{}
	}
	return err
}
