package schedule

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/certgate/certgate/cmd/schedule/internal/event"
)

// meetingBody is the example of the articles of 2012.
const meetingBody = `{"event":{"start_time":"2013-08-01T16:20:00+00:00","end_time":"2013-08-01T18:20:00+00:00","name":"Meeting"}}`

// meeting returns the draft of meetingBody.
func meeting(t *testing.T) event.Draft {
	t.Helper()
	draft, faults := event.ParseDraft([]byte(meetingBody))
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	return draft
}

// service is the example service on a real socket.
type service struct {
	t     *testing.T
	url   string
	store *Store
	log   *observer.ObservedLogs
}

func serve(t *testing.T) *service {
	t.Helper()
	core, log := observer.New(zap.DebugLevel)
	store := openStore(t)
	server := httptest.NewServer(NewHandler(Options{Store: store, Log: zap.New(core), Now: now}))
	t.Cleanup(server.Close)
	return &service{t: t, url: server.URL, store: store, log: log}
}

// reply is a response with its body.
type reply struct {
	status int
	header http.Header
	body   string
}

func (s *service) do(method, path, body string, header http.Header) reply {
	s.t.Helper()
	request, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	request.Header = header
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return reply{response.StatusCode, response.Header, string(text)}
}

func from(client string, more ...string) http.Header {
	h := http.Header{"X-Client-Id": {client}, "Content-Type": {"application/json"}}
	for i := 0; i < len(more); i += 2 {
		h[more[i]] = append(h[more[i]], more[i+1])
	}
	return h
}

func without(h http.Header, name string) http.Header {
	h.Del(name)
	return h
}

// problemOf parses the problem document in a response and checks its required members.
func problemOf(t *testing.T, r reply) problem {
	t.Helper()
	var p problem
	d := json.NewDecoder(strings.NewReader(r.body))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil {
		t.Fatalf("want a problem, found %q: %v", r.body, err)
	}
	if got := r.header.Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("want application/problem+json, found %q", got)
	}
	if p.Status != r.status || p.Title == "" || p.Detail == "" {
		t.Errorf("want status %d, a title and a detail, found %+v", r.status, p)
	}
	return p
}

func fieldsOf(faults []event.Fault) []string {
	var fields []string
	for _, f := range faults {
		fields = append(fields, f.Field)
	}
	return fields
}

func eventOf(t *testing.T, r reply) Event {
	t.Helper()
	var a eventResponse
	if err := json.Unmarshal([]byte(r.body), &a); err != nil {
		t.Fatalf("want an event, found %q: %v", r.body, err)
	}
	return a.Event
}

func TestOtherRoutes(t *testing.T) {
	for _, tt := range []struct {
		method, path string
		status       int
		code, allow  string
	}{
		{http.MethodGet, "/events/01a2004e-af36-7b4f-8a1a-881aabc2be7a", 404, "not_found", ""},
		{http.MethodGet, "/events/x'--", 404, "not_found", ""},
		{http.MethodGet, "/events/", 404, "not_found", ""},
		{http.MethodGet, "/nowhere", 404, "not_found", ""},
		{http.MethodDelete, "/events", 405, "method_not_allowed", "GET, HEAD, POST"},
		{http.MethodPost, "/", 405, "method_not_allowed", "GET, HEAD"},
	} {
		t.Run(tt.method+" "+tt.path, func(t *testing.T) {
			r := serve(t).do(tt.method, tt.path, "", from("mail"))
			if p := problemOf(t, r); r.status != tt.status || p.Type != "urn:schedule:"+tt.code {
				t.Errorf("want %d %s, found %d %s", tt.status, tt.code, r.status, p.Type)
			}
			if got := r.header.Get("Allow"); got != tt.allow {
				t.Errorf("want Allow %q, found %q", tt.allow, got)
			}
		})
	}
}

// TestWithoutClient checks that only the page and the health check need no client name.
func TestWithoutClient(t *testing.T) {
	s := serve(t)
	for _, tt := range []struct {
		method, path string
		status       int
	}{
		{http.MethodGet, "/", 200}, {http.MethodHead, "/", 200}, {http.MethodGet, "/healthz", 200},
		{http.MethodGet, "/events", 401}, {http.MethodHead, "/events", 401}, {http.MethodPost, "/events", 401},
		{http.MethodGet, "/events/x", 401}, {http.MethodHead, "/events/x", 401},
	} {
		if r := s.do(tt.method, tt.path, "", http.Header{}); r.status != tt.status {
			t.Errorf("%s %s: want %d, found %d", tt.method, tt.path, tt.status, r.status)
		}
	}
}

// TestEveryRouteRequiresClient checks that every route requires the client name, except the
// two that are listed here.
func TestEveryRouteRequiresClient(t *testing.T) {
	open := map[string]bool{"/": true, "/healthz": true}
	s := serve(t)
	engine, ok := NewHandler(Options{Store: s.store}).(*gin.Engine)
	if !ok {
		t.Fatal("want a router to walk")
	}
	for _, route := range engine.Routes() {
		r := s.do(route.Method, strings.Replace(route.Path, ":id", "x", 1), "", http.Header{})
		if (r.status != http.StatusUnauthorized) != open[route.Path] {
			t.Errorf("%s %s: want it open: %t, found %d", route.Method, route.Path, open[route.Path], r.status)
		}
	}
}

// TestWithoutDatabase checks that the client gets a problem without details when the
// database fails, and that the log contains the cause.
func TestWithoutDatabase(t *testing.T) {
	s := serve(t)
	if err := s.store.reader.Close(); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]problem{
		"/healthz": {Type: "urn:schedule:unavailable", Status: 503},
		"/events":  {Type: "urn:schedule:internal", Status: 500},
		"/":        {Type: "urn:schedule:internal", Status: 500},
	} {
		s.log.TakeAll()
		r := s.do(http.MethodGet, path, "", from("mail"))
		if p := problemOf(t, r); r.status != want.Status || p.Type != want.Type || strings.Contains(r.body, "sql") {
			t.Errorf("%s: want %d %s without details, found %d %s", path, want.Status, want.Type, r.status, r.body)
		}
		lines := s.log.FilterLevelExact(zap.ErrorLevel).FilterMessage("request").All()
		if len(lines) != 1 || !strings.Contains(lines[0].ContextMap()["error"].(string), "closed") {
			t.Errorf("%s: want the cause in the log, found %v", path, lines)
		}
	}
}

func TestPanic(t *testing.T) {
	core, log := observer.New(zap.DebugLevel)
	server := httptest.NewServer(NewHandler(Options{Log: zap.New(core), Now: now})) // no store
	defer server.Close()
	s := &service{t: t, url: server.URL}
	r := s.do(http.MethodGet, "/events", "", from("mail", "X-Secret", "hush"))
	if p := problemOf(t, r); r.status != 500 || p.Type != "urn:schedule:internal" {
		t.Errorf("want 500 internal, found %d %s", r.status, p.Type)
	}
	var text bytes.Buffer
	for _, line := range log.All() {
		if err := json.NewEncoder(&text).Encode(line.ContextMap()); err != nil {
			t.Fatal(err)
		}
	}
	if log.FilterMessage("panic").Len() != 1 || strings.Contains(text.String(), "hush") {
		t.Errorf("want the panic in the log without the request's headers, found %s", text.String())
	}
}
