package main

import (
	"encoding/json"
	"net/http"
	"time"
)

// act is a part of the transcript.
type act struct {
	title  string
	scenes []scene
}

// scene is one request for /events and the answer that it must get.
type scene struct {
	title  string
	who    string // whose certificate; empty: none
	signed bool   // with the certificate's key
	// seen is the number of the scene whose request the sender has seen, and sends
	// once more with the method and event of this scene, if it has any; 0: none.
	seen   int
	bare   bool // without the signature that was seen
	method string
	event  string // name of the event to add

	status int
	reason string   // of a refusal
	told   identity // what the schedule is told; empty: nothing reaches it
}

func acts() []act {
	return []act{
		{"Which application is calling?", callers()},
		{"Somebody has seen request 1. It is not signed.", thefts()},
		{"Somebody has seen request 2. It is signed.", replays()},
	}
}

func callers() []scene {
	const post, get = http.MethodPost, http.MethodGet
	mail, social := identity{"mail", "bearer"}, identity{"social", "signed"}
	return []scene{
		{title: "The mail app adds an event", who: "mail", method: post, event: "Standup", status: http.StatusCreated, told: mail},
		{title: "The social app adds an event, signed, as its rule requires", who: "social", signed: true, method: post, event: "Birthday party", status: http.StatusCreated, told: social},
		{title: "The mail app reads the schedule: both apps' events, each with its client", who: "mail", method: get, status: http.StatusOK, told: mail},
		{title: "No certificate", method: post, event: "Intrusion", status: http.StatusUnauthorized, reason: "credential_missing"},
		{title: "A stranger: says it is mail, but another key signed that", who: "stranger", method: post, event: "Intrusion", status: http.StatusForbidden, reason: "certificate_untrusted"},
		{title: "Yesterday's certificate of mail", who: "expired", method: post, event: "Intrusion", status: http.StatusForbidden, reason: "certificate_expired"},
		{title: "The billing app: a good certificate, but no rule lets it in", who: "billing", method: post, event: "Intrusion", status: http.StatusForbidden, reason: "access_denied"},
		{title: "The mail app, something no rule allows", who: "mail", method: http.MethodDelete, status: http.StatusForbidden, reason: "access_denied"},
	}
}

// thefts are what a request is good for in the hands of somebody who has seen one
// that carried a certificate and no signature.
func thefts() []scene {
	return []scene{
		{title: "The thief adds an event of his own with mail's certificate, and is taken for mail", seen: 1, event: "Theft", status: http.StatusCreated, told: identity{"mail", "bearer"}},
	}
}

// replays are the same attack, and all others, on one that was signed.
func replays() []scene {
	const refused = http.StatusUnauthorized
	return []scene{
		{title: "The thief adds an event of his own with social's certificate", seen: 2, bare: true, event: "Theft", status: refused, reason: "proof_missing"},
		{title: "The thief sends the request once more, as it was", seen: 2, status: refused, reason: "proof_replayed"},
		{title: "The thief puts his own event under social's signature", seen: 2, event: "Theft", status: refused, reason: "proof_digest"},
		{title: "The thief reads the schedule with social's signature", seen: 2, method: http.MethodGet, status: refused, reason: "proof_invalid"},
	}
}

// body is the scene's event in the form of the 2012 article, in the n-th hour from
// now.
func (sc scene) body(now time.Time, n int) string {
	if sc.event == "" {
		return ""
	}
	return eventJSON(sc.event, now, n)
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
