package event

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// meetingBody is the example of the articles of 2012.
const meetingBody = `{"event":{"start_time":"2013-08-01T16:20:00+00:00","end_time":"2013-08-01T18:20:00+00:00","name":"Meeting"}}`

func meeting() Draft {
	return Draft{
		Name:  "Meeting",
		Start: time.Date(2013, time.August, 1, 16, 20, 0, 0, time.UTC),
		End:   time.Date(2013, time.August, 1, 18, 20, 0, 0, time.UTC),
	}
}

func TestParseDraftAccepts(t *testing.T) {
	named := func(name string) Draft { d := meeting(); d.Name = name; return d }
	for _, tt := range []struct {
		name, body string
		want       Draft
	}{
		{"the example of the articles", meetingBody, meeting()},
		{"another offset", strings.Replace(meetingBody, "16:20:00+00:00", "18:20:00+02:00", 1), meeting()},
		{"Z", strings.ReplaceAll(meetingBody, "+00:00", "Z"), meeting()},
		{"a fraction", strings.Replace(meetingBody, ":00+00:00", ":00.000000000+00:00", 1), meeting()},
		{"white space around", " \n" + meetingBody + "\n", meeting()},
		{"an escape", strings.Replace(meetingBody, "Meeting", `\u00dcbung`, 1), named("Übung")},
		{"the longest name", strings.Replace(meetingBody, "Meeting", strings.Repeat("ü", 200), 1), named(strings.Repeat("ü", 200))},
		{"spaces are kept", strings.Replace(meetingBody, "Meeting", " a  b ", 1), named(" a  b ")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, faults := ParseDraft([]byte(tt.body))
			if faults != nil {
				t.Fatalf("want a draft, found %v", faults)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestParseDraftRefuses checks the fault for each invalid body. Each body differs from an
// accepted one in one way.
func TestParseDraftRefuses(t *testing.T) {
	replace := func(old, with string) string { return strings.Replace(meetingBody, old, with, 1) }
	for _, tt := range []struct{ name, body, field, detail string }{
		{"empty", "", "body", "unexpected end"},
		{"not JSON", "start", "body", "invalid character"},
		{"trailing data", meetingBody + "{}", "body", "after top-level value"},
		{"not UTF-8", replace("Meeting", "\xff"), "body", "want UTF-8"},
		{"an array", "[" + meetingBody + "]", "body", "want an object, found an array"},
		{"no event", "{}", "event", "found none"},
		{"event is null", `{"event":null}`, "event", "want an object, found null"},
		{"a field beside the event", strings.TrimSuffix(meetingBody, "}") + `,"id":1}`, "id", "no such field"},
		{"a second event", strings.TrimSuffix(meetingBody, "}") + `,"event":{}}`, "event", "found it again"},
		{"an unknown field", replace(`"name"`, `"id":"x","name"`), "event.id", "no such field"},
		{"a field in another case", replace(`"name":`, `"Name":"x","name":`), "event.Name", "no such field"},
		{"a field twice", replace(`"name":`, `"name":"x","name":`), "event.name", "found it again"},
		{"no name", replace(`,"name":"Meeting"`, ""), "event.name", "found none"},
		{"name is a number", replace(`"Meeting"`, "7"), "event.name", "found a number"},
		{"name is a boolean", replace(`"Meeting"`, "true"), "event.name", "found a boolean"},
		{"an empty name", replace("Meeting", ""), "event.name", "nothing visible"},
		{"a blank name", replace("Meeting", " \u00a0"), "event.name", "nothing visible"},
		{"an invisible name", replace("Meeting", "\u200b"), "event.name", "nothing visible"},
		{"a control character", replace("Meeting", `Meet\u0007ing`), "event.name", "no control characters"},
		{"a line separator", replace("Meeting", "Meet\u2028ing"), "event.name", "no control characters"},
		{"a name too long", replace("Meeting", strings.Repeat("ü", 201)), "event.name", "at most 200 characters, found 201"},
		{"a date only", replace("2013-08-01T16:20:00+00:00", "2013-08-01"), "event.start_time", "want an RFC 3339 time"},
		{"no offset", replace("16:20:00+00:00", "16:20:00"), "event.start_time", "want an RFC 3339 time"},
		{"an hour of one digit", replace("T16:20", "T6:20"), "event.start_time", "want an RFC 3339 time"},
		{"a comma", replace("16:20:00+", "16:20:00,5+"), "event.start_time", "want an RFC 3339 time"},
		{"a fraction finer than nanoseconds", replace("16:20:00+", "16:20:00.1234567891+"), "event.start_time", "want an RFC 3339 time"},
		{"an offset of a day", replace("16:20:00+00:00", "16:20:00-24:00"), "event.start_time", "want an RFC 3339 time"},
		{"an offset of sixty minutes", replace("16:20:00+00:00", "16:20:00+00:60"), "event.start_time", "want an RFC 3339 time"},
		{"no such day", replace("2013-08-01T16", "2013-02-30T16"), "event.start_time", "want an RFC 3339 time"},
		{"before year 1", replace("2013-08-01T16:20:00+00:00", "0001-01-01T00:00:00+01:00"), "event.start_time", "years 1 to 9999"},
		{"after year 9999", replace("2013-08-01T18:20:00+00:00", "9999-12-31T23:59:59-01:00"), "event.end_time", "years 1 to 9999"},
		{"no end", replace(`"end_time":"2013-08-01T18:20:00+00:00",`, ""), "event.end_time", "found none"},
		{"the end is the start", replace("T18:20", "T16:20"), "event.end_time", "want a time after start_time"},
		{"the end is earlier", replace("18:20:00+00:00", "18:20:00+02:30"), "event.end_time", "want a time after start_time"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, faults := ParseDraft([]byte(tt.body))
			if len(faults) != 1 || faults[0].Field != tt.field || !strings.Contains(faults[0].Detail, tt.detail) {
				t.Errorf("want one fault %s: …%s…, found %v", tt.field, tt.detail, faults)
			}
		})
	}
}

func TestParseDraftReportsEveryFault(t *testing.T) {
	_, faults := ParseDraft([]byte(`{"x":1,"event":{"y":2,"start_time":"x","name":""}}`))
	var fields []string
	for _, f := range faults {
		fields = append(fields, f.Field)
	}
	want := []string{"x", "event.y", "event.end_time", "event.start_time", "event.name"}
	if diff := cmp.Diff(want, fields); diff != "" {
		t.Error(diff)
	}
}

// TestFaultsAreShort checks that a fault quotes only the beginning of a long value.
func TestFaultsAreShort(t *testing.T) {
	long := strings.Repeat("x", 10_000)
	body := fmt.Sprintf(`{"event":{%q:1,"start_time":%q,"end_time":"2013-08-01T18:20:00Z","name":"Meeting"}}`, long, long)
	_, faults := ParseDraft([]byte(body))
	for _, f := range faults {
		if len(f.Field)+len(f.Detail) > 250 {
			t.Errorf("want a short fault, found %d bytes", len(f.Field)+len(f.Detail))
		}
	}
	if len(faults) != 2 {
		t.Errorf("want two faults, found %d", len(faults))
	}
}

// FuzzParseDraft checks that an accepted draft is complete, and equal after it is encoded and
// parsed again.
func FuzzParseDraft(f *testing.F) {
	f.Add([]byte(meetingBody))
	f.Add([]byte(`{"event":{"start_time":"0001-01-02T00:00:00.000000001+00:00","end_time":"9999-12-31T23:59:59Z","name":"\ud800 ﷽"}}`))
	f.Add([]byte(strings.Replace(meetingBody, "16:20:00+00:00", "6:20:00,5+24:60", 1)))
	f.Add([]byte(`{"event":{"name":"a","name":"b","Name":"c"},"event":null} x`))
	f.Fuzz(func(t *testing.T, body []byte) {
		draft, faults := ParseDraft(body)
		if len(faults) > 0 {
			if !draft.Equal(Draft{}) {
				t.Fatalf("want no draft with the faults %v, found %+v", faults, draft)
			}
			return
		}
		again, err := json.Marshal(draft)
		if err != nil {
			t.Fatal(err)
		}
		second, faults := ParseDraft(again)
		if len(faults) > 0 || !cmp.Equal(draft, second) {
			t.Fatalf("want %+v again, found %+v %v", draft, second, faults)
		}
		if !draft.End.After(draft.Start) || checkName(draft.Name) != nil {
			t.Fatalf("want a complete draft, found %+v", draft)
		}
	})
}
