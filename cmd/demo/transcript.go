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

// transcript runs the scenes and reports whether every response was the expected one.
func transcript(ctx context.Context, w io.Writer, s *system) bool {
	printf(w, "certgate: gateway %s, schedule service %s\n", s.gatewayURL, s.scheduleURL)
	p := runner{w: w, system: s}
	good := 0
	for _, chapter := range chapters() {
		printf(w, "\n%s\n", chapter.title)
		for _, scene := range chapter.scenes {
			if p.run(ctx, scene) {
				good++
			}
		}
	}
	printf(w, "\n%d of %d responses were as expected.\n", good, len(p.sent))
	return good == len(p.sent)
}

// runner runs scenes and keeps the requests that were sent, so that later scenes can use
// captured requests.
type runner struct {
	w      io.Writer
	system *system
	sent   []request
}

// run runs a scene and reports whether the response was the expected one.
func (p *runner) run(ctx context.Context, sc scene) bool {
	m, err := p.system.newRequest(sc, p.sent)
	p.sent = append(p.sent, m)
	printf(p.w, "\n%d. %s\n", len(p.sent), sc.title)
	if err != nil {
		return p.fail("%v", err)
	}
	for _, line := range m.printableLines(sc, p.system.headerFile(sc.caller)) {
		printf(p.w, "   > %s\n", line)
	}
	to := p.system.gatewayURL
	if sc.forged != (identity{}) {
		to = p.system.scheduleURL
	}
	res, err := m.send(ctx, to)
	if err != nil {
		return p.fail("%v", err)
	}
	defer func() { _ = res.Body.Close() }()
	return p.check(sc, res)
}

func (p *runner) fail(format string, args ...any) bool {
	printf(p.w, "   !! "+format+"\n", args...)
	return false
}

// check prints the response and reports whether it and the identity that the service
// received are the expected ones.
func (p *runner) check(sc scene, res *http.Response) bool {
	body, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return p.fail("%v", err)
	}
	received := p.system.takeReceived()
	if received != (identity{}) {
		printf(p.w, "   | X-Client-Id: %s, X-Client-Auth: %s\n", received.client, received.auth)
	}
	printf(p.w, "   < %s\n", res.Status)
	if location := res.Header.Get("Location"); location != "" {
		printf(p.w, "   < Location: %s\n", location)
	}
	printf(p.w, "%s\n", indent(body))
	var problem struct{ Reason string }
	_ = json.Unmarshal(body, &problem) // other bodies have no reason
	if res.StatusCode != sc.status || problem.Reason != sc.reason || received != sc.received {
		return p.fail("want %d %s, and the identity %q at the schedule service", sc.status, sc.reason, sc.received)
	}
	return true
}

func indent(body []byte) string {
	var b bytes.Buffer
	if json.Indent(&b, bytes.TrimSpace(body), "   < ", "  ") != nil {
		return "   < " + string(body)
	}
	return "   < " + b.String()
}

// printInstructions prints commands to continue by hand.
func printInstructions(w io.Writer, s *system) error {
	_, err := fmt.Fprintf(w, `
The system keeps running. Open the schedule in a browser:

  %s/

Add an event as mail, or use the certificate of untrusted, expired or billing:

  curl -i %s/events \
    -H "X-SSL-Auth: $(cat %s)" \
    -H 'Content-Type: application/json' \
    -d '%s'

Read the schedule as mail:

  curl -i %s/events -H "X-SSL-Auth: $(cat %s)"

Read the schedule as social, which must sign its requests:

  go run ./cmd/certgate request --cert %s --key %s \
    GET %s/events

The gateway's log, with one line per request:  %s

Ctrl-C stops everything and removes the temporary folder.
`, s.scheduleURL, s.gatewayURL, s.headerFile("mail"), eventJSON("Lunch", time.Now(), 2),
		s.gatewayURL, s.headerFile("mail"),
		s.file("social", "crt"), s.file("social", "key"), s.gatewayURL, s.logFile())
	return err
}

func printf(w io.Writer, format string, args ...any) { _, _ = fmt.Fprintf(w, format, args...) }
