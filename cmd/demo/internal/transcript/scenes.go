package transcript

import (
	"encoding/json"
	"net/http"
	"time"
)

// chapter is a part of the transcript.
type chapter struct {
	title  string
	scenes []scene
}

// scene is one request for /events with the expected response.
type scene struct {
	title  string
	caller string // whose certificate is attached; none if empty
	signed bool   // whether the request is signed with the certificate's key
	// captured is the number of an earlier scene whose request the sender has captured, or
	// 0. The sender repeats it with the method and event of this scene, if it has any.
	captured int
	unsigned bool // whether the captured signature is removed
	// forged is the identity that the sender writes itself, in a request straight to the
	// service. The zero value is a request to the gateway.
	forged Identity
	method string
	event  string // name of the event to add

	status   int
	reason   string   // of the refusal
	received Identity // what the service receives, or the zero value
}

func chapters() []chapter {
	return []chapter{
		{"Which application is calling?", clientRequests()},
		{"An attacker has captured request 1, which is not signed.", theftsOfBearer()},
		{"An attacker has captured request 2, which is signed.", theftsOfSigned()},
		{"An attacker reaches the schedule service without the gateway.", bypasses()},
	}
}

func clientRequests() []scene {
	const post, get = http.MethodPost, http.MethodGet
	mail, social := Identity{"mail", "bearer"}, Identity{"social", "signed"}
	return []scene{
		{title: "The mail app adds an event", caller: "mail", method: post, event: "Standup", status: http.StatusCreated, received: mail},
		{title: "The social app adds an event, signed, as its rule requires", caller: "social", signed: true, method: post, event: "Birthday party", status: http.StatusCreated, received: social},
		{title: "The mail app reads the schedule: the events of both apps, each with its client", caller: "mail", method: get, status: http.StatusOK, received: mail},
		{title: "No certificate", method: post, event: "Intrusion", status: http.StatusUnauthorized, reason: "credential_missing"},
		{title: "A certificate for mail that another master key has signed", caller: "untrusted", method: post, event: "Intrusion", status: http.StatusForbidden, reason: "certificate_untrusted"},
		{title: "A certificate of mail that has expired", caller: "expired", method: post, event: "Intrusion", status: http.StatusForbidden, reason: "certificate_expired"},
		{title: "The billing app: a valid certificate, but no rule allows this client", caller: "billing", method: post, event: "Intrusion", status: http.StatusForbidden, reason: "access_denied"},
		{title: "The mail app with a method that no rule allows", caller: "mail", method: http.MethodDelete, status: http.StatusForbidden, reason: "access_denied"},
	}
}

// theftsOfBearer are requests of an attacker that has captured a request with a
// certificate and without a signature.
func theftsOfBearer() []scene {
	return []scene{
		{title: "The attacker adds another event with mail's certificate, and is accepted as mail", captured: 1, event: "Theft", status: http.StatusCreated, received: Identity{"mail", "bearer"}},
	}
}

// theftsOfSigned are requests of an attacker that has captured a signed request.
func theftsOfSigned() []scene {
	const refused = http.StatusUnauthorized
	return []scene{
		{title: "The attacker adds another event with social's certificate", captured: 2, unsigned: true, event: "Theft", status: refused, reason: "proof_missing"},
		{title: "The attacker sends the unchanged request again", captured: 2, status: refused, reason: "proof_replayed"},
		{title: "The attacker adds another event with social's signature", captured: 2, event: "Theft", status: refused, reason: "proof_digest"},
		{title: "The attacker reads the schedule with social's signature", captured: 2, method: http.MethodGet, status: refused, reason: "proof_invalid"},
	}
}

// bypasses are requests of an attacker that connects to the service. They have no assertion
// of the gateway.
func bypasses() []scene {
	mail := Identity{"mail", "mtls"}
	return []scene{
		{title: "The attacker adds an event as mail, with the headers of the gateway", forged: mail, method: http.MethodPost, event: "Theft", status: http.StatusUnauthorized, received: mail},
	}
}

// body returns the event of the scene as a request body. The event begins in the n-th hour
// from now.
func (sc scene) body(now time.Time, n int) string {
	if sc.event == "" {
		return ""
	}
	return Event(sc.event, now, n)
}

// Event returns an event as JSON in the form of the 2012 article. It begins in the n-th
// hour from now.
func Event(name string, now time.Time, n int) string {
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
	text, _ := json.Marshal(e) // strings always marshal
	return string(text)
}
