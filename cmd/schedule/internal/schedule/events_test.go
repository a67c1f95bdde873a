package schedule

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"
)

func TestAddAndShow(t *testing.T) {
	s := serve(t)
	made := s.do(http.MethodPost, "/events", meetingBody, from("mail", headerRequest, "r-1"))
	if made.status != http.StatusCreated {
		t.Fatalf("want 201, found %d %s", made.status, made.body)
	}
	event := eventOf(t, made)
	if got := made.header.Get("Location"); got != "/events/"+event.ID {
		t.Errorf("want the event's URL, found %q", got)
	}
	want := `{"event":{"id":"` + event.ID + `","client":"mail","name":"Meeting","start_time":"2013-08-01T16:20:00Z",` +
		`"end_time":"2013-08-01T18:20:00Z","created_at":"2013-07-31T12:00:00Z"}}` + "\n"
	if diff := cmp.Diff(want, made.body); diff != "" {
		t.Error(diff)
	}
	shown := s.do(http.MethodGet, made.header.Get("Location"), "", from("social"))
	if shown.status != http.StatusOK || shown.body != want {
		t.Errorf("want the same event, found %d %s", shown.status, shown.body)
	}
	line := s.log.FilterMessage("request").All()[0]
	fields := line.ContextMap()
	if fields["client"] != "mail" || fields["request_id"] != "r-1" || fields["status"] != int64(201) || line.Level != zap.InfoLevel {
		t.Errorf("want the client, the request id and the status in the log, found %v", fields)
	}
}

// TestAddRefuses checks the response to each invalid request. Each request differs from an
// accepted one in one way.
func TestAddRefuses(t *testing.T) {
	const path = "/events"
	for _, tt := range []struct {
		name, body string
		header     http.Header
		status     int
		code       string
		fields     []string
	}{
		{"a wrong event", strings.Replace(meetingBody, "T18", "T15", 1), from("mail"), 422, "invalid_event", []string{"event.end_time"}},
		{"a wrong key and a wrong event", "", from("mail", headerKey, "a b"), 422, "invalid_event", []string{"body", headerKey}},
		{"an empty key", meetingBody, from("mail", headerKey, ""), 422, "invalid_event", []string{headerKey}},
		{"two keys", meetingBody, from("mail", headerKey, "a", headerKey, "a"), 422, "invalid_event", []string{headerKey}},
		{"a key too long", meetingBody, from("mail", headerKey, strings.Repeat("k", 256)), 422, "invalid_event", []string{headerKey}},
		{"a key beyond ASCII", meetingBody, from("mail", headerKey, "ü"), 422, "invalid_event", []string{headerKey}},
		{"no client", meetingBody, without(from(""), headerClient), 401, "client_missing", nil},
		{"an empty client", meetingBody, from(""), 401, "client_missing", nil},
		{"two clients", meetingBody, from("mail", headerClient, "mail"), 401, "client_missing", nil},
		{"two clients in one", meetingBody, from("mail, social"), 401, "client_missing", nil},
		{"a client too long", meetingBody, from(strings.Repeat("m", 65)), 401, "client_missing", nil},
		{"no media type", meetingBody, without(from("mail"), "Content-Type"), 415, "unsupported_media_type", nil},
		{"another media type", meetingBody, http.Header{headerClient: {"mail"}, "Content-Type": {"text/json"}}, 415, "unsupported_media_type", nil},
		{"two media types", meetingBody, from("mail", "Content-Type", "application/json"), 415, "unsupported_media_type", nil},
		{"another charset", meetingBody, http.Header{headerClient: {"mail"}, "Content-Type": {"application/json; charset=latin1"}}, 415, "unsupported_media_type", nil},
		{"a body too large", meetingBody + strings.Repeat(" ", maxBodyBytes-len(meetingBody)+1), from("mail"), 413, "body_too_large", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := serve(t)
			r := s.do(http.MethodPost, path, tt.body, tt.header)
			p := problemOf(t, r)
			if r.status != tt.status || p.Type != "urn:schedule:"+tt.code {
				t.Errorf("want %d %s, found %d %s", tt.status, tt.code, r.status, p.Type)
			}
			if diff := cmp.Diff(tt.fields, fieldsOf(p.Errors)); diff != "" {
				t.Error(diff)
			}
			if events, err := s.store.List(t.Context(), Query{Limit: 1}); err != nil || len(events) != 0 {
				t.Errorf("want nothing stored, found %v, %v", events, err)
			}
		})
	}
}

func TestAddAcceptsTheLimits(t *testing.T) {
	for _, tt := range []struct {
		name, body string
		header     http.Header
	}{
		{"the largest body", meetingBody + strings.Repeat(" ", maxBodyBytes-len(meetingBody)), from("mail")},
		{"the longest key", meetingBody, from("mail", headerKey, strings.Repeat("k", 255))},
		{"a charset", meetingBody, http.Header{headerClient: {"mail"}, "Content-Type": {"application/json; charset=UTF-8"}}},
		{"every kind of character in the client", meetingBody, from("a.b_c-d:e@f/g+h 9")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if r := serve(t).do(http.MethodPost, "/events", tt.body, tt.header); r.status != http.StatusCreated {
				t.Errorf("want 201, found %d %s", r.status, r.body)
			}
		})
	}
}

func TestIdempotencyKey(t *testing.T) {
	s := serve(t)
	header := func(client string) http.Header { return from(client, headerKey, "k-1") }
	first := s.do(http.MethodPost, "/events", meetingBody, header("mail"))
	again := s.do(http.MethodPost, "/events", meetingBody, header("mail"))
	if again.status != http.StatusCreated || again.body != first.body || again.header.Get("Location") != first.header.Get("Location") {
		t.Errorf("want the first response again, found %d %s", again.status, again.body)
	}
	if first.header.Get("Idempotency-Replayed") != "" || again.header.Get("Idempotency-Replayed") != "true" {
		t.Error("want Idempotency-Replayed in the second response only")
	}
	other := s.do(http.MethodPost, "/events", strings.Replace(meetingBody, "Meeting", "Other", 1), header("mail"))
	p := problemOf(t, other)
	if p.Type != "urn:schedule:idempotency_key_reused" || other.status != 422 || !cmp.Equal(fieldsOf(p.Errors), []string{headerKey}) {
		t.Errorf("want 422 naming the header, found %d %+v", other.status, p)
	}
	social := s.do(http.MethodPost, "/events", meetingBody, header("social"))
	if social.status != http.StatusCreated || eventOf(t, social).ID == eventOf(t, first).ID {
		t.Errorf("want another event for another client, found %s", social.body)
	}
}

func TestListPages(t *testing.T) {
	s := serve(t)
	var want []string
	for _, name := range []string{"a", "b", "c", "d", "e"} { // with the same times, so only the id orders them
		add(t, s.store, "mail", name, "2013-08-01 10:00", "2013-08-01 11:00")
		want = append(want, name)
	}
	add(t, s.store, "social", "not asked for", "2013-08-01 10:00", "2013-08-01 11:00")
	var got []string
	path := "/events?client=mail&limit=2"
	for pages := 0; path != "" && pages < 4; pages++ {
		r := s.do(http.MethodGet, path, "", from("web-client"))
		var page listResponse
		if err := json.Unmarshal([]byte(r.body), &page); err != nil || r.status != http.StatusOK {
			t.Fatalf("want a page, found %d %s", r.status, r.body)
		}
		got = append(got, names(page.Events)...)
		link := r.header.Get("Link")
		if (page.Next == "") != (link == "") || !strings.Contains(link, url.QueryEscape(page.Next)) {
			t.Errorf("want the link to have the cursor %q, found %q", page.Next, link)
		}
		path, _, _ = strings.Cut(strings.TrimPrefix(link, "<"), ">")
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestListParameters(t *testing.T) {
	s := serve(t)
	add(t, s.store, "mail", "first", "2013-08-01 10:00", "2013-08-01 11:00")
	add(t, s.store, "mail", "second", "2013-08-02 00:00", "2013-08-02 01:00")
	cursor := Position{at(t, "2013-08-01 10:00"), "00000000-0000-0000-0000-000000000000"}.String()
	for _, tt := range []struct {
		query  string
		want   []string // the events, or
		faults []string // the parameters refused
	}{
		{query: "", want: []string{"first", "second"}},
		{query: "?from=2013-08-01&to=2013-08-02", want: []string{"first"}},
		{query: "?from=2013-08-02", want: []string{"second"}},
		{query: "?from=2013-08-02T01:30:00%2B01:00", want: []string{"second"}},
		{query: "?from=2013-08-02T01:00:00Z", want: []string{}},
		{query: "?limit=200&cursor=" + cursor, want: []string{"first", "second"}},
		{query: "?from=2013-08-02T01:30:00+01:00", faults: []string{"from"}},
		{query: "?from=", faults: []string{"from"}},
		{query: "?to=tomorrow", faults: []string{"to"}},
		{query: "?from=2013-08-02&to=2013-08-02", faults: []string{"to"}},
		{query: "?limit=0", faults: []string{"limit"}},
		{query: "?limit=201", faults: []string{"limit"}},
		{query: "?limit=ten", faults: []string{"limit"}},
		{query: "?client=", faults: []string{"client"}},
		{query: "?client=mail&client=mail", faults: []string{"client"}},
		{query: "?cursor=", faults: []string{"cursor"}},
		{query: "?cursor=" + cursor + "A", faults: []string{"cursor"}},
		{query: "?cursor=" + cursor[1:], faults: []string{"cursor"}},
		{query: "?form=2013-08-01", faults: []string{"form"}},
		{query: "?limit=%zz", faults: []string{"query"}},
		{query: "?to=x&limit=x&from=x&cursor=x&client=,&x=", faults: []string{"client", "cursor", "from", "limit", "to", "x"}},
	} {
		t.Run(tt.query, func(t *testing.T) {
			r := s.do(http.MethodGet, "/events"+tt.query, "", from("mail"))
			if tt.faults != nil {
				p := problemOf(t, r)
				if diff := cmp.Diff(tt.faults, fieldsOf(p.Errors)); diff != "" || r.status != 422 || p.Type != "urn:schedule:invalid_query" {
					t.Errorf("found %d %s\n%s", r.status, p.Type, diff)
				}
				return
			}
			var page listResponse
			if err := json.Unmarshal([]byte(r.body), &page); err != nil || r.status != http.StatusOK {
				t.Fatalf("want events, found %d %s", r.status, r.body)
			}
			if diff := cmp.Diff(tt.want, names(page.Events)); diff != "" {
				t.Error(diff)
			}
		})
	}
}
