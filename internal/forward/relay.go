package forward

import (
	"cmp"
	"net/http"
	"slices"

	"github.com/certgate/certgate/internal/h1"
	"github.com/certgate/certgate/internal/headers"
)

// relayer is a ResponseWriter that takes an answer's header as it is to be written,
// and knows whether its client repeats itself. Package lane has one.
type relayer interface {
	http.ResponseWriter
	// Relay is WriteHeader with these fields beside those of Header, and with a body
	// of this length.
	Relay(status int, length int64, lines *h1.Lines, own h1.Field)
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

// relayed are those fields of an answer that go on to the client, in the order of
// their names, but for those that each answer has of its own; nil if there is more to
// it: somebody has to make a date.
func relayed(fields []h1.Field) *h1.Lines {
	fields = slices.Clone(fields)
	slices.SortStableFunc(fields, func(a, b h1.Field) int { return cmp.Compare(a.Name, b.Name) })
	listed, err := listedIn(fields)
	if err != nil {
		return nil
	}
	var l h1.Lines
	dated := false
	for _, field := range fields {
		if field.Name == headers.ContentLength || field.Name == headers.RequestID || !passesBack(field.Name, listed) {
			continue
		}
		if l.Add(field.Name, field.Value) != nil {
			return nil
		}
		dated = dated || field.Name == "Date"
	}
	if !dated {
		return nil
	}
	return &l
}

// canRelay: it can go on as it is. net/http sends no type with a 304.
func canRelay(a h1.Answer) bool {
	return a.Relay != nil && a.Length >= 0 && a.Status != http.StatusNotModified
}

// relay passes an answer on as it is. The body goes through w, which may be around
// the relayer: a framework has to know that an answer has begun, or it would put a
// page of its own behind it when something panics.
func (f *Forwarder) relay(w http.ResponseWriter, r relayer, a h1.Answer, requestID string) (int64, error) {
	r.Relay(a.Status, a.Length, a.Relay, h1.Field{Name: headers.RequestID, Value: requestID})
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
