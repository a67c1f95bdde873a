package test

import (
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const appsAddAndRead = `rules:
  - name: apps-add-events
    clients: [mail, social]
    allow: ["POST /events"]
  - name: apps-read-events
    clients: [mail, social]
    allow: ["GET /events", "GET /events/{id}"]
`

// event is what the schedule service answers.
type event struct {
	ID     string `json:"id"`
	Client string `json:"client"`
	Name   string `json:"name"`
}

// TestWholeSystem: mail and social add events through the gateway to the real
// schedule service; everybody else does not; the page shows both.
func TestWholeSystem(t *testing.T) {
	t.Parallel()
	m := newMaster(t, "p256")
	mail, social, billing := m.issue(t, subject("mail")), m.issue(t, subject("social")), m.issue(t, subject("billing"))
	database := filepath.Join(t.TempDir(), "schedule.db")
	schedule := start(t, "schedule", environment{"LISTEN_ADDR": "127.0.0.1:0", "DATABASE": database}).ready(t)
	p := start(t, "certgate", environment{
		"LISTEN_ADDR": "127.0.0.1:0", "ADMIN_ADDR": "", "AUTH_PUBLIC_KEY": m.publicKey,
		"ACCESS_RULES": appsAddAndRead, "UPSTREAM_URL": "http://" + schedule.Addr,
	}, "serve")
	addr := p.ready(t).Addr

	add := func(as certificate, name string, lines ...string) answer {
		return send(t, addr, get("/events", as).post(eventBody(name)).with("Content-Type: application/json").with(lines...))
	}
	meeting := oneEvent(t, add(mail, "Meeting"))
	party := oneEvent(t, add(social, "Party", "Idempotency-Key: 8e03978e", "X-Client-Id: mail"))
	again := oneEvent(t, add(social, "Party", "Idempotency-Key: 8e03978e"))
	if meeting.Client != "mail" || party.Client != "social" {
		t.Errorf("want the clients mail and social, found %+v and %+v", meeting, party)
	}
	if again.ID != party.ID || meeting.ID == party.ID {
		t.Errorf("want a repeated request to give the same event, found %q and %q", party.ID, again.ID)
	}
	if other := oneEvent(t, add(mail, "Party", "Idempotency-Key: 8e03978e")); other.ID == party.ID {
		t.Error("want another client's key to be another key")
	}

	list := send(t, addr, get("/events?from=2013-07-31T00:00:00Z&to=2013-08-03T00:00:00Z", social))
	var found struct{ Events []event }
	if err := json.Unmarshal([]byte(list.body), &found); err != nil || list.status != 200 {
		t.Fatalf("want the events, found %d %s", list.status, list.body)
	}
	clients := map[string]int{}
	for _, e := range found.Events {
		clients[e.Client]++
	}
	if want := map[string]int{"mail": 2, "social": 1}; !maps.Equal(clients, want) {
		t.Errorf("want events of %v, found %v", want, clients)
	}
	one := send(t, addr, get("/events/"+meeting.ID, social))
	if one.status != 200 || !strings.Contains(one.body, meeting.ID) {
		t.Errorf("want the event, found %d %s", one.status, one.body)
	}

	for name, refused := range map[string]answer{
		"billing adds":     add(billing, "Intrusion"),
		"billing reads":    send(t, addr, get("/events", billing)),
		"mail deletes":     send(t, addr, request{method: "DELETE", target: "/events/" + meeting.ID, header: get("/", mail).header}),
		"mail looks at /":  send(t, addr, get("/", mail)),
		"nobody adds":      send(t, addr, plainGet("/events").post(eventBody("Intrusion")).with("X-Client-Id: mail")),
		"past the rewrite": send(t, addr, get("/events/..%2fadmin", mail)),
	} {
		if refused.status < 400 || refused.status > 403 {
			t.Errorf("%s: want a refusal, found %d", name, refused.status)
		}
	}
	wantPage(t, "http://"+schedule.Addr+"/?week=2013-08-01", "Meeting", "Party", "mail", "social")
}

func oneEvent(t *testing.T, a answer) event {
	t.Helper()
	var found struct{ Event event }
	if err := json.Unmarshal([]byte(a.body), &found); err != nil || a.status != 201 || found.Event.ID == "" {
		t.Fatalf("want 201 and an event, found %d %s", a.status, a.body)
	}
	if location := a.header.Get("Location"); location != "/events/"+found.Event.ID {
		t.Errorf("want the event's address, found %q", location)
	}
	return found.Event
}

// wantPage lets a real browser show the page.
func wantPage(t *testing.T, url string, texts ...string) {
	t.Helper()
	if _, err := exec.LookPath("chromium"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("want chromium in CI, found none")
		}
		t.Skip("chromium is not installed: the page is not looked at")
	}
	home := t.TempDir()
	result := runToEnd(t, "chromium", environment{"HOME": home, "TMPDIR": home}, "--headless=new", "--no-sandbox", "--disable-gpu",
		"--disable-dev-shm-usage", "--no-first-run", "--user-data-dir="+filepath.Join(home, "profile"), "--dump-dom", url)
	if result.code != 0 {
		t.Fatalf("chromium: exit code %d and\n%s", result.code, result.stderr)
	}
	for _, text := range texts {
		if !strings.Contains(result.stdout, text) {
			t.Errorf("want %q on the page, found\n%s", text, result.stdout)
		}
	}
	if strings.Contains(result.stdout, "Intrusion") {
		t.Error("want nothing on the page that was refused")
	}
}

// TestEventsSurviveARestart: the gateway's clients find what they have added.
func TestEventsSurviveARestart(t *testing.T) {
	t.Parallel()
	env := environment{"LISTEN_ADDR": "127.0.0.1:0", "DATABASE": filepath.Join(t.TempDir(), "schedule.db")}
	ask := request{method: "GET", target: "/events", header: []string{"X-Client-Id: mail"}}
	first := start(t, "schedule", env)
	added := oneEvent(t, send(t, first.ready(t).Addr, ask.post(eventBody("Meeting")).with("Content-Type: application/json")))
	first.stop(t, terminate)
	second := start(t, "schedule", env)
	ask.target += "/" + added.ID
	if a := send(t, second.ready(t).Addr, ask); a.status != 200 {
		t.Errorf("want the event after a restart, found %d %s", a.status, a.body)
	}
}

// TestScheduleCommandLine: the reference service tells what is wrong, too.
func TestScheduleCommandLine(t *testing.T) {
	t.Parallel()
	if result := finish(t, "schedule", nil, "--help"); result.code != 0 || !strings.Contains(result.stdout, "DATABASE") {
		t.Errorf("want help, found %+v", result)
	}
	if result := finish(t, "schedule", nil, "--port=1"); result.code != 2 || result.stdout != "" {
		t.Errorf("want exit code 2, found %+v", result)
	}
	result := finish(t, "schedule", environment{"LISTEN_ADDR": "here", "LOG_LEVEL": "loud", "DATABASE": ""})
	for _, name := range []string{"LISTEN_ADDR: ", "LOG_LEVEL: ", "DATABASE: "} {
		if result.code != 2 || !slices.ContainsFunc(strings.Split(result.stderr, "\n"), func(l string) bool { return strings.Contains(l, name) }) {
			t.Errorf("want exit code 2 and a line on %s, found %+v", name, result)
		}
	}
}
