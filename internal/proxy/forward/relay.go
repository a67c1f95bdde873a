package forward

import (
	"cmp"
	"net/http"
	"slices"

	"github.com/certgate/certgate/internal/core/headers"
	"github.com/certgate/certgate/internal/http1/client"
)

// relayer is a ResponseWriter that takes an answer's header as it is to be written,
// and knows whether its client repeats itself. Package lane has one.
type relayer interface {
	http.ResponseWriter
	// Relay is WriteHeader with these fields beside those of Header, and with a body
	// of this length.
	Relay(status int, length int64, lines *client.Lines, own [2]client.Field)
	// Repeats is a place that belongs to the client's connection, and a number that is
	// another one whenever a request's fields are not those of the request before, its
	// Content-Length aside.
	Repeats() (place *any, generation uint64)
}

// relayerOf finds it below what a framework has put around it.
func relayerOf(w http.ResponseWriter) relayer {
	if r, ok := w.(relayer); ok {
		return r
	}
	if outer, ok := w.(interface{ Unwrap() http.ResponseWriter }); ok {
		r, _ := outer.Unwrap().(relayer)
		return r
	}
	return nil
}

// relayable is what of an answer's header goes on to the client. It is not changed once
// it is made, and kept for a service that answers alike.
type relayable struct {
	lines client.Lines // in the order of their names, without the two below
	vary  [2]string    // the value of Vary, by whether signatures count
}

// relayed returns the *relayable of an answer's fields; nil where the fields alone do
// not make the header, because a date is missing.
func (f *Forwarder) relayed(fields []client.Field) any {
	fields = slices.Clone(fields)
	slices.SortStableFunc(fields, func(a, b client.Field) int { return cmp.Compare(a.Name, b.Name) })
	listed, err := listedIn(fields)
	if err != nil {
		return nil
	}
	var r relayable
	var vary []string
	dated := false
	for _, field := range fields {
		switch {
		case field.Name == headers.ContentLength || field.Name == headers.RequestID || !passesBack(field.Name, listed):
			continue
		case field.Name == headers.Vary:
			vary = append(vary, field.Value)
			continue
		}
		if r.lines.Add(field.Name, field.Value) != nil {
			return nil
		}
		dated = dated || field.Name == "Date"
	}
	if !dated {
		return nil
	}
	r.vary = [2]string{f.vary.merge(vary, false), f.vary.merge(vary, true)}
	return &r
}

// canRelay returns what of the answer can go on as it is, nil if it cannot. net/http
// sends no type with a 304.
func canRelay(a client.Answer) *relayable {
	r, _ := a.Relay.(*relayable)
	if a.Length < 0 || a.Status == http.StatusNotModified {
		return nil
	}
	return r
}

// relay passes an answer on as it is. The body goes through w, which may be around
// the relayer: a framework has to know that an answer has begun, or it would put a
// page of its own behind it when something panics.
func (f *Forwarder) relay(w http.ResponseWriter, m *message, a client.Answer, r *relayable) (int64, error) {
	m.relayer.Relay(a.Status, a.Length, &r.lines, [2]client.Field{
		{Name: headers.Vary, Value: r.vary[index(m.hop.SignaturesRead)]},
		{Name: headers.RequestID, Value: m.hop.RequestID},
	})
	body, ok := a.Take()
	if !ok {
		return f.copyBody(w, a)
	}
	n, err := w.Write(body)
	if err != nil {
		return int64(n), stoppedReading(err)
	}
	return int64(n), nil
}
