package schedule

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/certgate/certgate/cmd/schedule/internal/event"
)

const (
	defaultLimit = 50
	maxLimit     = 200
)

// parseQuery parses the parameters of GET /events and returns every fault. Unknown and
// repeated parameters are faults, because a misspelled condition would otherwise be
// ignored.
func (s *server) parseQuery(raw string) (Query, []event.Fault) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return Query{}, []event.Fault{{Field: "query", Detail: "want a query string: " + err.Error()}}
	}
	q := Query{Limit: defaultLimit}
	readers := map[string]func(string) error{
		"from":   func(v string) (err error) { q.From, err = parseBound(v); return err },
		"to":     func(v string) (err error) { q.To, err = parseBound(v); return err },
		"client": func(v string) error { q.Client = v; return s.checkClient(v) },
		"limit":  func(v string) (err error) { q.Limit, err = parseLimit(v); return err },
		"cursor": func(v string) (err error) { q.After, err = parsePosition(v); return err },
	}
	faults := readParameters(values, readers)
	if !q.From.IsZero() && !q.To.IsZero() && !q.To.After(q.From) {
		faults = append(faults, event.Fault{Field: "to", Detail: fmt.Sprintf("want a time after from, found %s", event.Quote(values.Get("to")))})
	}
	return q, faults
}

func readParameters(values url.Values, readers map[string]func(string) error) []event.Fault {
	names := make([]string, 0, len(values))
	for name := range values {
		names = append(names, name)
	}
	slices.Sort(names)
	var faults []event.Fault
	for _, name := range names {
		read, known := readers[name]
		switch {
		case !known:
			faults = append(faults, event.Fault{Field: event.Clip(name), Detail: "want from, to, client, limit or cursor, found another parameter"})
		case len(values[name]) > 1:
			faults = append(faults, event.Fault{Field: name, Detail: fmt.Sprintf("want the parameter once, found it %d times", len(values[name]))})
		default:
			if err := read(values[name][0]); err != nil {
				faults = append(faults, event.Fault{Field: name, Detail: err.Error()})
			}
		}
	}
	return faults
}

// parseBound parses a time, or a date, which means the start of that day in UTC. For
// example, from=2013-08-01&to=2013-08-02 selects the first of August only.
func parseBound(s string) (time.Time, error) {
	if day, err := parseDay(s); err == nil {
		return day, nil
	}
	t, err := event.ParseTime(s)
	if err == nil {
		return t, nil
	}
	if strings.Contains(s, " ") {
		return time.Time{}, fmt.Errorf("want a date or an RFC 3339 time (in a query, + is written %%2B), found %s", event.Quote(s))
	}
	return time.Time{}, fmt.Errorf("want a date or an RFC 3339 time, found %s", event.Quote(s))
}

// parseDay parses a date such as 2013-08-01 and returns the start of that day in UTC.
func parseDay(s string) (time.Time, error) {
	day, err := time.Parse(time.DateOnly, s)
	if err != nil || day.Before(event.FirstTime()) {
		return time.Time{}, fmt.Errorf("want a date such as 2013-08-01, found %s", event.Quote(s))
	}
	return day, nil
}

func (s *server) checkClient(name string) error {
	if !s.clients.MatchString(name) {
		return fmt.Errorf("want the name of an application, found %s", event.Quote(name))
	}
	return nil
}

func parseLimit(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > maxLimit {
		return 0, fmt.Errorf("want a number from 1 to %d, found %s", maxLimit, event.Quote(s))
	}
	return n, nil
}

// String returns the position as a cursor, which is opaque to clients and safe in a URL.
func (p Position) String() string {
	return base64.RawURLEncoding.EncodeToString([]byte(stamp(p.Start) + p.ID))
}

// parsePosition parses the result of [Position.String].
func parsePosition(cursor string) (Position, error) {
	errCursor := errors.New("want the cursor of an earlier response, found another value")
	text, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if err != nil || len(text) <= len(stampLayout) {
		return Position{}, errCursor
	}
	start, err := time.Parse(stampLayout, string(text[:len(stampLayout)]))
	if err != nil {
		return Position{}, errCursor
	}
	id := string(text[len(stampLayout):])
	if parsed, err := uuid.Parse(id); err != nil || parsed.String() != id {
		return Position{}, errCursor
	}
	return Position{Start: start, ID: id}, nil
}
