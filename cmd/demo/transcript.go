package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// transcript plays the acts and reports whether every answer was the expected one.
func transcript(ctx context.Context, w io.Writer, s *system) bool {
	say(w, "certgate: gateway %s, schedule service behind it %s\n", s.gatewayURL, s.scheduleURL)
	p := player{w: w, system: s}
	good := 0
	for _, act := range acts() {
		say(w, "\n%s\n", act.title)
		for _, scene := range act.scenes {
			if p.play(ctx, scene) {
				good++
			}
		}
	}
	say(w, "\n%d of %d answers were as expected.\n", good, len(p.sent))
	return good == len(p.sent)
}

// player plays scenes, and remembers what was sent as somebody on the way could.
type player struct {
	w      io.Writer
	system *system
	sent   []message
}

// play reports whether the answer was the expected one.
func (p *player) play(ctx context.Context, sc scene) bool {
	m, err := p.system.compose(sc, p.sent)
	p.sent = append(p.sent, m)
	say(p.w, "\n%d. %s\n", len(p.sent), sc.title)
	if err != nil {
		return p.fail("%v", err)
	}
	for _, line := range m.shown(sc, p.system.headerFile(sc.who)) {
		say(p.w, "   > %s\n", line)
	}
	res, err := m.send(ctx, p.system.gatewayURL)
	if err != nil {
		return p.fail("%v", err)
	}
	defer func() { _ = res.Body.Close() }()
	return p.judge(sc, res)
}

func (p *player) fail(format string, args ...any) bool {
	say(p.w, "   !! "+format+"\n", args...)
	return false
}

// judge compares the answer and what the schedule was told with what the scene wants.
func (p *player) judge(sc scene, res *http.Response) bool {
	answer, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return p.fail("%v", err)
	}
	told := p.system.overheard()
	if told != (identity{}) {
		say(p.w, "   | X-Client-Id: %s, X-Client-Auth: %s\n", told.client, told.auth)
	}
	say(p.w, "   < %s\n", res.Status)
	if location := res.Header.Get("Location"); location != "" {
		say(p.w, "   < Location: %s\n", location)
	}
	say(p.w, "%s\n", indented(answer))
	var problem struct{ Reason string }
	_ = json.Unmarshal(answer, &problem) // an answer that is no problem has no reason
	if res.StatusCode != sc.status || problem.Reason != sc.reason || told != sc.told {
		return p.fail("want %d %s, and the schedule told of %q", sc.status, sc.reason, sc.told)
	}
	return true
}

func indented(answer []byte) string {
	var b bytes.Buffer
	if json.Indent(&b, bytes.TrimSpace(answer), "   < ", "  ") != nil {
		return "   < " + string(answer)
	}
	return "   < " + b.String()
}

// farewell says how to go on by hand.
func farewell(w io.Writer, s *system) error {
	_, err := fmt.Fprintf(w, `
Everything stays up. Look at the schedule in a browser:

  %s/

Add an event as mail, or try it as stranger, expired or billing:

  curl -i %s/events \
    -H "X-SSL-Auth: $(cat %s)" \
    -H 'Content-Type: application/json' \
    -d '%s'

Read it as mail:

  curl -i %s/events -H "X-SSL-Auth: $(cat %s)"

Read it as social, who has to sign:

  go run ./cmd/certgate request --cert %s --key %s \
    GET %s/events

The gateway's log, one line a request:  %s

Ctrl-C stops everything and removes the temporary folder.
`, s.scheduleURL, s.gatewayURL, s.headerFile("mail"), eventJSON("Lunch", time.Now(), 2),
		s.gatewayURL, s.headerFile("mail"),
		s.file("social", "crt"), s.file("social", "key"), s.gatewayURL, s.logFile())
	return err
}

func say(w io.Writer, format string, args ...any) { _, _ = fmt.Fprintf(w, format, args...) }
