// Package event parses the events that clients send to the schedule service.
package event

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// maxNameLength is the longest name of an event, in characters.
const maxNameLength = 200

// Draft is a valid event that is not stored yet. The times are UTC, in the years 1 to
// 9999, and End is after Start.
type Draft struct {
	Name  string
	Start time.Time
	End   time.Time
}

// Equal reports whether both drafts have the same name and the same times.
func (d Draft) Equal(other Draft) bool {
	return d.Name == other.Name && d.Start.Equal(other.Start) && d.End.Equal(other.End)
}

// MarshalJSON returns the draft as a request body that [ParseDraft] accepts.
func (d Draft) MarshalJSON() ([]byte, error) {
	type fields struct {
		StartTime time.Time `json:"start_time"`
		EndTime   time.Time `json:"end_time"`
		Name      string    `json:"name"`
	}
	return json.Marshal(struct {
		Event fields `json:"event"`
	}{fields{d.Start, d.End, d.Name}})
}

// Fault is one fault of a request: the field, parameter or header, and the expected
// value.
type Fault struct {
	Field  string `json:"field"`
	Detail string `json:"detail"`
}

// ParseDraft parses {"event":{"start_time":…,"end_time":…,"name":…}}. Each of these
// members must occur once, with exactly this name; other members and trailing data are
// faults. ParseDraft returns every fault. The draft is valid if the list of faults is empty.
func ParseDraft(body []byte) (Draft, []Fault) {
	if !utf8.Valid(body) {
		return Draft{}, []Fault{{"body", "want UTF-8 text"}}
	}
	var whole json.RawMessage
	if err := json.Unmarshal(body, &whole); err != nil {
		return Draft{}, []Fault{{"body", "want one JSON object: " + err.Error()}}
	}
	outer, faults := readObject(whole, "body", "", []string{"event"})
	raw, ok := outer["event"]
	if !ok {
		return Draft{}, faults
	}
	inner, more := readObject(raw, "event", "event.", []string{"start_time", "end_time", "name"})
	draft, fieldFaults := readFields(inner)
	faults = append(append(faults, more...), fieldFaults...)
	if len(faults) > 0 {
		return Draft{}, faults
	}
	return draft, nil
}

// readFields parses the members that are present. readObject has reported missing ones.
func readFields(members map[string]json.RawMessage) (Draft, []Fault) {
	var d Draft
	var faults []Fault
	check := func(field string, read func(string) error) {
		raw, ok := members[field]
		if !ok {
			return
		}
		text, err := readString(raw)
		if err == nil {
			err = read(text)
		}
		if err != nil {
			faults = append(faults, Fault{"event." + field, err.Error()})
		}
	}
	check("start_time", func(s string) (err error) { d.Start, err = ParseTime(s); return err })
	check("end_time", func(s string) (err error) { d.End, err = ParseTime(s); return err })
	check("name", func(s string) error { d.Name = s; return checkName(s) })
	if !d.Start.IsZero() && !d.End.IsZero() && !d.End.After(d.Start) {
		faults = append(faults, Fault{"event.end_time", fmt.Sprintf("want a time after start_time, found %s, which is not after %s",
			d.End.Format(time.RFC3339Nano), d.Start.Format(time.RFC3339Nano))})
	}
	return d, faults
}

// ParseTime parses an RFC 3339 time strictly and converts it to UTC. It never returns the
// zero time without an error, because the first valid time is a day later.
func ParseTime(s string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil || !isStrict(s) {
		return time.Time{}, fmt.Errorf(`want an RFC 3339 time such as "2013-08-01T16:20:00+00:00", found %s`, Quote(s))
	}
	t = t.UTC()
	if t.Before(FirstTime()) || t.Year() > 9999 {
		return time.Time{}, fmt.Errorf("want a time in the years 1 to 9999, found %s", Quote(s))
	}
	return t, nil
}

// isStrict reports whether a time that [time.Parse] accepts conforms to RFC 3339, which
// permits no hour of one digit, no comma before the fraction and no offset of a day or
// more. A fraction with more than nanoseconds is refused, because Go would truncate it.
func isStrict(s string) bool {
	const whole, offset, nanoseconds = "2006-01-02T15:04:05", "+00:00", 9
	if len(s) <= len(whole) || s[len("2006-01-02T15")] != ':' || strings.Contains(s, ",") {
		return false
	}
	fraction, isUTC := strings.CutSuffix(s[len(whole):], "Z")
	if !isUTC {
		zone := fraction[len(fraction)-len(offset):]
		if zone[1:3] > "23" || zone[4:6] > "59" {
			return false
		}
		fraction = strings.TrimSuffix(fraction, zone)
	}
	return len(fraction) <= len(".")+nanoseconds
}

// FirstTime returns the earliest time of an event. It is not the start of year 1, because
// that is Go's zero time.
func FirstTime() time.Time { return time.Date(1, time.January, 2, 0, 0, 0, 0, time.UTC) }

// checkName refuses names without visible characters and names with line breaks or control
// characters.
func checkName(name string) error {
	if n := utf8.RuneCountInString(name); n > maxNameLength {
		return fmt.Errorf("want at most %d characters, found %d", maxNameLength, n)
	}
	if strings.ContainsFunc(name, breaksLine) {
		return fmt.Errorf("want no control characters and no line breaks, found %s", Quote(name))
	}
	if !strings.ContainsFunc(name, isVisible) {
		return errors.New("want a name, found nothing visible")
	}
	return nil
}

func breaksLine(r rune) bool {
	return unicode.In(r, unicode.Cc, unicode.Zl, unicode.Zp)
}

func isVisible(r rune) bool {
	return unicode.IsGraphic(r) && !unicode.IsSpace(r)
}

// Quote returns untrusted text quoted, on one line, and shortened.
func Quote(s string) string {
	const limit = 60
	runes := []rune(s)
	if len(runes) <= limit {
		return fmt.Sprintf("%q", s)
	}
	return fmt.Sprintf("%q…", string(runes[:limit]))
}
