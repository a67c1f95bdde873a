package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// scene is one request and the answer that it must get.
type scene struct {
	title  string
	who    string // whose certificate; empty: none
	method string
	path   string
	event  string // name of the event to add; empty: no body
	status int
	reason string // of a refusal
}

func scenes() []scene {
	const post, get = http.MethodPost, http.MethodGet
	return []scene{
		{"The mail app adds an event", "mail", post, "/events", "Standup", http.StatusCreated, ""},
		{"The social app adds an event", "social", post, "/events", "Birthday party", http.StatusCreated, ""},
		{"The mail app reads the schedule: both apps' events, each with its client", "mail", get, "/events", "", http.StatusOK, ""},
		{"No certificate", "", post, "/events", "Intrusion", http.StatusUnauthorized, "credential_missing"},
		{"A stranger: says it is mail, but another key signed that", "stranger", post, "/events", "Intrusion", http.StatusForbidden, "certificate_untrusted"},
		{"Yesterday's certificate of mail", "expired", post, "/events", "Intrusion", http.StatusForbidden, "certificate_expired"},
		{"The billing app: a good certificate, but no rule lets it in", "billing", post, "/events", "Intrusion", http.StatusForbidden, "access_denied"},
		{"The mail app, something no rule allows", "mail", http.MethodDelete, "/events", "", http.StatusForbidden, "access_denied"},
	}
}

// transcript plays the scenes and reports whether every answer was the expected
// one.
func transcript(ctx context.Context, w io.Writer, s *system) bool {
	all := scenes()
	say(w, "certgate: which application is calling?\n")
	say(w, "Gateway %s, schedule service behind it %s\n", s.gatewayURL, s.scheduleURL)
	good := 0
	for i, scene := range all {
		say(w, "\n%d. %s\n", i+1, scene.title)
		if play(ctx, w, s, scene, i) {
			good++
		}
	}
	say(w, "\n%d of %d answers were as expected.\n", good, len(all))
	return good == len(all)
}

func play(ctx context.Context, w io.Writer, s *system, sc scene, n int) bool {
	body := ""
	if sc.event != "" {
		body = eventJSON(sc.event, time.Now(), n)
	}
	req, err := http.NewRequestWithContext(ctx, sc.method, s.gatewayURL+sc.path, strings.NewReader(body))
	if err != nil {
		say(w, "   !! %v\n", err)
		return false
	}
	say(w, "   > %s %s\n", sc.method, sc.path)
	if sc.who != "" {
		req.Header.Set("X-SSL-Auth", s.headers[sc.who])
		// The certificate itself is a bearer credential: it is never printed.
		say(w, "   > X-SSL-Auth: (the certificate in %s)\n", s.headerFile(sc.who))
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
		say(w, "   > %s\n", body)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		say(w, "   !! %v\n", err)
		return false
	}
	defer func() { _ = res.Body.Close() }()
	return judge(w, sc, res)
}

func judge(w io.Writer, sc scene, res *http.Response) bool {
	answer, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		say(w, "   !! %v\n", err)
		return false
	}
	say(w, "   < %s\n", res.Status)
	if location := res.Header.Get("Location"); location != "" {
		say(w, "   < Location: %s\n", location)
	}
	say(w, "%s\n", indented(answer))
	var problem struct{ Reason string }
	_ = json.Unmarshal(answer, &problem) // an answer that is no problem has no reason
	if res.StatusCode == sc.status && problem.Reason == sc.reason {
		return true
	}
	say(w, "   !! want %d %s\n", sc.status, sc.reason)
	return false
}

func indented(answer []byte) string {
	var b bytes.Buffer
	if json.Indent(&b, bytes.TrimSpace(answer), "   < ", "  ") != nil {
		return "   < " + string(answer)
	}
	return "   < " + b.String()
}

// eventJSON is an event of this week in the form of the 2012 article.
func eventJSON(name string, now time.Time, n int) string {
	start := now.UTC().Truncate(time.Hour).Add(time.Duration(n+1) * time.Hour)
	var e struct {
		Event struct {
			Start string `json:"start_time"`
			End   string `json:"end_time"`
			Name  string `json:"name"`
		} `json:"event"`
	}
	e.Event.Name = name
	e.Event.Start, e.Event.End = start.Format(time.RFC3339), start.Add(90*time.Minute).Format(time.RFC3339)
	text, _ := json.Marshal(e) // strings only
	return string(text)
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

Read the schedule as social:

  curl -i %s/events -H "X-SSL-Auth: $(cat %s)"

The gateway's log, one line a request:  %s

Ctrl-C stops everything and removes the temporary folder.
`, s.scheduleURL, s.gatewayURL, s.headerFile("mail"), eventJSON("Lunch", time.Now(), 2),
		s.gatewayURL, s.headerFile("social"), s.logFile())
	return err
}

func say(w io.Writer, format string, args ...any) { _, _ = fmt.Fprintf(w, format, args...) }
