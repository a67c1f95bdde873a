package e2e

import (
	"encoding/json"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/certgate/certgate/test/harness"
)

const appsAddAndRead = `rules:
  - name: apps-add-events
    clients: [mail, social]
    allow: ["POST /events"]
  - name: apps-read-events
    clients: [mail, social]
    allow: ["GET /events", "GET /events/{id}"]
`

// event is the response of the schedule service.
type event struct {
	ID     string `json:"id"`
	Client string `json:"client"`
	Name   string `json:"name"`
}

// TestWholeSystem adds events as mail and social through the gateway to the schedule
// service, refuses other clients, and shows the page in a browser.
func TestWholeSystem(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	mail, social, billing := m.Issue(t, harness.OU("mail")), m.Issue(t, harness.OU("social")), m.Issue(t, harness.OU("billing"))
	database := filepath.Join(t.TempDir(), "schedule.db")
	schedule := harness.Start(t, "schedule", harness.Env{"LISTEN_ADDR": "127.0.0.1:0", "DATABASE": database}).WaitListening(t)
	p := harness.Start(t, "certgate", harness.Env{
		"LISTEN_ADDR": "127.0.0.1:0", "ADMIN_ADDR": "", "AUTH_PUBLIC_KEY": m.PublicKey,
		"ACCESS_RULES": appsAddAndRead, "UPSTREAM_URL": "http://" + schedule.Addr,
	}, "serve")
	addr := p.WaitListening(t).Addr

	add := func(as harness.Certificate, name string, lines ...string) harness.Response {
		return harness.Send(t, addr, harness.Get("/events", as).Post(harness.EventJSON(name)).With("Content-Type: application/json").With(lines...))
	}
	meeting := oneEvent(t, add(mail, "Meeting"))
	birthday := oneEvent(t, add(social, "Party", "Idempotency-Key: 8e03978e", "X-Client-Id: mail"))
	again := oneEvent(t, add(social, "Party", "Idempotency-Key: 8e03978e"))
	if meeting.Client != "mail" || birthday.Client != "social" {
		t.Errorf("want the clients mail and social, found %+v and %+v", meeting, birthday)
	}
	if again.ID != birthday.ID || meeting.ID == birthday.ID {
		t.Errorf("want a repeated request to give the same event, found %q and %q", birthday.ID, again.ID)
	}
	if other := oneEvent(t, add(mail, "Party", "Idempotency-Key: 8e03978e")); other.ID == birthday.ID {
		t.Error("want another client's key to be another key")
	}

	list := harness.Send(t, addr, harness.Get("/events?from=2013-07-31T00:00:00Z&to=2013-08-03T00:00:00Z", social))
	var found struct{ Events []event }
	if err := json.Unmarshal([]byte(list.Body), &found); err != nil || list.Status != 200 {
		t.Fatalf("want the events, found %d %s", list.Status, list.Body)
	}
	clients := map[string]int{}
	for _, e := range found.Events {
		clients[e.Client]++
	}
	if want := map[string]int{"mail": 2, "social": 1}; !maps.Equal(clients, want) {
		t.Errorf("want events of %v, found %v", want, clients)
	}
	one := harness.Send(t, addr, harness.Get("/events/"+meeting.ID, social))
	if one.Status != 200 || !strings.Contains(one.Body, meeting.ID) {
		t.Errorf("want the event, found %d %s", one.Status, one.Body)
	}

	for name, refused := range map[string]harness.Response{
		"billing adds":     add(billing, "Intrusion"),
		"billing reads":    harness.Send(t, addr, harness.Get("/events", billing)),
		"mail deletes":     harness.Send(t, addr, harness.Request{Method: "DELETE", Target: "/events/" + meeting.ID, Header: harness.Get("/", mail).Header}),
		"mail reads /":     harness.Send(t, addr, harness.Get("/", mail)),
		"no certificate":   harness.Send(t, addr, harness.PlainGet("/events").Post(harness.EventJSON("Intrusion")).With("X-Client-Id: mail")),
		"an encoded slash": harness.Send(t, addr, harness.Get("/events/..%2fadmin", mail)),
	} {
		if refused.Status < 400 || refused.Status > 403 {
			t.Errorf("%s: want a refusal, found %d", name, refused.Status)
		}
	}
	wantPage(t, "http://"+schedule.Addr+"/?week=2013-08-01", "Meeting", "Party", "mail", "social")
}

func oneEvent(t *testing.T, a harness.Response) event {
	t.Helper()
	var found struct{ Event event }
	if err := json.Unmarshal([]byte(a.Body), &found); err != nil || a.Status != 201 || found.Event.ID == "" {
		t.Fatalf("want 201 and an event, found %d %s", a.Status, a.Body)
	}
	if location := a.Header.Get("Location"); location != "/events/"+found.Event.ID {
		t.Errorf("want the event's address, found %q", location)
	}
	return found.Event
}

// wantPage lets a real browser show the page.
func wantPage(t *testing.T, url string, texts ...string) {
	t.Helper()
	home := t.TempDir()
	result := harness.RunProgram(t, "chromium", harness.Env{"HOME": home, "TMPDIR": home}, "--headless=new", "--no-sandbox", "--disable-gpu",
		"--disable-dev-shm-usage", "--no-first-run", "--user-data-dir="+filepath.Join(home, "profile"), "--dump-dom", url)
	if result.ExitCode != 0 {
		t.Fatalf("chromium: exit code %d and\n%s", result.ExitCode, result.Stderr)
	}
	for _, text := range texts {
		if !strings.Contains(result.Stdout, text) {
			t.Errorf("want %q on the page, found\n%s", text, result.Stdout)
		}
	}
	if strings.Contains(result.Stdout, "Intrusion") {
		t.Error("want nothing on the page that was refused")
	}
}

// TestScheduleKeepsEvents checks that the schedule service has its events after a restart.
func TestScheduleKeepsEvents(t *testing.T) {
	t.Parallel()
	env := harness.Env{"LISTEN_ADDR": "127.0.0.1:0", "DATABASE": filepath.Join(t.TempDir(), "schedule.db")}
	request := harness.Request{Method: "GET", Target: "/events", Header: []string{"X-Client-Id: mail"}}
	first := harness.Start(t, "schedule", env)
	added := oneEvent(t, harness.Send(t, first.WaitListening(t).Addr, request.Post(harness.EventJSON("Meeting")).With("Content-Type: application/json")))
	first.Stop(t, harness.Terminate)
	second := harness.Start(t, "schedule", env)
	request.Target += "/" + added.ID
	if a := harness.Send(t, second.WaitListening(t).Addr, request); a.Status != 200 {
		t.Errorf("want the event after a restart, found %d %s", a.Status, a.Body)
	}
}

// TestScheduleCommandLine checks help, wrong arguments and wrong settings of the schedule
// service.
func TestScheduleCommandLine(t *testing.T) {
	t.Parallel()
	if result := harness.Run(t, "schedule", nil, "--help"); result.ExitCode != 0 || !strings.Contains(result.Stdout, "DATABASE") {
		t.Errorf("want help, found %+v", result)
	}
	database := filepath.Join(t.TempDir(), "schedule.db")
	for _, test := range []struct {
		env  harness.Env
		args []string
		code int
		want string
	}{
		{nil, []string{"--port=1"}, 2, "unknown flag --port"},
		{nil, []string{"serve"}, 2, "unexpected argument serve"},
		{harness.Env{"DATABASE": filepath.Join(t.TempDir(), "nowhere", "schedule.db")}, nil, 1, "unable to open database file"},
		{harness.Env{"DATABASE": database, "LISTEN_ADDR": "192.0.2.1:0"}, nil, 1, "listen tcp 192.0.2.1:0"}, // of another machine
	} {
		result := harness.Run(t, "schedule", test.env, test.args...)
		if result.ExitCode != test.code || result.Stdout != "" || !strings.Contains(result.Stderr, test.want) {
			t.Errorf("want exit code %d and %q, found %+v", test.code, test.want, result)
		}
	}
	result := harness.Run(t, "schedule", harness.Env{"LISTEN_ADDR": "here", "LOG_LEVEL": "loud", "DATABASE": ""})
	for _, name := range []string{"LISTEN_ADDR: ", "LOG_LEVEL: ", "DATABASE: "} {
		if result.ExitCode != 2 || !slices.ContainsFunc(strings.Split(result.Stderr, "\n"), func(l string) bool { return strings.Contains(l, name) }) {
			t.Errorf("want exit code 2 and a line on %s, found %+v", name, result)
		}
	}
}
