package simulation

import (
	"cmp"
	"io"
	"maps"
	"slices"

	"github.com/certgate/certgate/internal/core/access"
)

// Limits of a report. Requests beyond them are counted in rows whose route, or client and
// route, is [Others].
const (
	maxRows       = 10_000 // changes
	maxClientRows = 200    // changes of one client
)

// Others stands for the clients and routes that a report does not list.
const Others = "(others)"

// Replay decides recorded requests again with other rules, and counts the differences. It
// needs bounded memory. It is not safe for concurrent use.
type Replay struct {
	rules  Rules
	routes *access.Routes

	report  Report
	changes map[changeKey]*Change
	clients map[string]int // number of changes of each client
	unknown map[string]*Unknown
}

// Directions of a change.
const (
	Refuse = "refuse" // an allowed request would be refused
	Allow  = "allow"  // a refused request would be allowed
)

type changeKey struct{ direction, client, method, route, was, now string }

// Change counts requests of one client and route whose decision would be another one.
type Change struct {
	Change   string `json:"change"` // Refuse or Allow
	Client   string `json:"client"`
	Method   string `json:"method"`
	Route    string `json:"route"`
	Requests int    `json:"requests"`
	Was      string `json:"was"`     // the rule that allowed the request, or the reason of the refusal
	Now      string `json:"now"`     // the same with the new rules
	Example  string `json:"example"` // the id of one of the requests
}

// Unknown counts requests whose decision with the new rules is not known.
type Unknown struct {
	Cause    string `json:"cause"`
	Requests int    `json:"requests"`
	Example  string `json:"example"`
}

// Report is the result of a replay.
type Report struct {
	Requests int      `json:"requests"`
	From     string   `json:"from"` // the times of the first and the last request
	To       string   `json:"to"`
	Refuse   int      `json:"would_be_refused"`
	Allow    int      `json:"would_be_allowed"`
	Changes  []Change `json:"changes"`

	Allowed int `json:"unchanged_allowed"`
	Refused int `json:"unchanged_refused"`
	// Undecided counts requests about which the rules do not decide.
	Undecided int       `json:"undecided"`
	Unknown   []Unknown `json:"unknown"`

	// Rated counts the requests that the new rules allow by a rule with a rate.
	Rated int `json:"rated"`
	// KeyDenials is the number of entries in the new deny list that do not depend on
	// serial numbers. The log does not have what they compare.
	KeyDenials int     `json:"key_denials"`
	Skipped    Skipped `json:"skipped"`
}

// NewReplay returns a replay with these rules.
func NewReplay(r Rules) *Replay {
	return &Replay{
		rules: r, routes: access.NewRoutes(r.Rules),
		report:  Report{KeyDenials: r.Revocations.Keys()},
		changes: map[changeKey]*Change{}, clients: map[string]int{}, unknown: map[string]*Unknown{},
	}
}

// Read adds the requests of a log. It calls proceed for each request and ends with its error.
func (r *Replay) Read(log io.Reader, proceed func() error) error {
	skipped, err := ReadLog(log, func(e *Entry) error {
		r.add(e)
		return proceed()
	})
	r.report.Skipped.add(skipped)
	return err
}

// add decides about one request.
func (r *Replay) add(e *Entry) {
	r.report.Requests++
	if e.Time != "" && (r.report.From == "" || e.Time < r.report.From) {
		r.report.From = e.Time
	}
	r.report.To = max(r.report.To, e.Time)
	was := recorded(e)
	if was.kind == undecided {
		r.report.Undecided++
		return
	}
	now, target := r.rules.decide(e)
	if now.rated {
		r.report.Rated++
	}
	switch {
	case now.kind == unknown:
		r.countUnknown(e, now.by)
	case now.kind != was.kind:
		r.countChange(e, target, was, now)
	case now.kind == allowed:
		r.report.Allowed++
	default:
		r.report.Refused++
	}
}

func (r *Replay) countUnknown(e *Entry, cause string) {
	u := r.unknown[cause]
	if u == nil {
		u = &Unknown{Cause: cause, Example: e.RequestID}
		r.unknown[cause] = u
	}
	u.Requests++
}

func (r *Replay) countChange(e *Entry, t access.Target, was, now outcome) {
	direction := Allow
	if now.kind == refused {
		direction = Refuse
		r.report.Refuse++
	} else {
		r.report.Allow++
	}
	key := changeKey{direction, e.Client, e.Method, r.route(e.Method, t), was.by, now.by}
	c := r.changes[key]
	if c == nil {
		key = r.bounded(key)
		c = r.changes[key]
	}
	if c == nil {
		c = &Change{direction, key.client, key.method, key.route, 0, key.was, key.now, e.RequestID}
		r.changes[key] = c
		r.clients[key.client]++
	}
	c.Requests++
}

// bounded returns the key of a new row, or of a row for others if there are too many.
func (r *Replay) bounded(key changeKey) changeKey {
	if len(r.changes) >= maxRows {
		return changeKey{direction: key.direction, client: Others, route: Others}
	}
	if r.clients[key.client] >= maxClientRows {
		return changeKey{direction: key.direction, client: key.client, route: Others}
	}
	return key
}

// Report returns the counts of all requests that were read.
func (r *Replay) Report() Report {
	report := r.report
	report.Changes, report.Unknown = []Change{}, []Unknown{}
	for _, c := range r.changes {
		report.Changes = append(report.Changes, *c)
	}
	slices.SortFunc(report.Changes, func(a, b Change) int {
		return cmp.Or(-cmp.Compare(a.Change, b.Change), -cmp.Compare(a.Requests, b.Requests),
			cmp.Compare(a.Client, b.Client), cmp.Compare(a.Route, b.Route), cmp.Compare(a.Method, b.Method),
			cmp.Compare(a.Was, b.Was), cmp.Compare(a.Now, b.Now))
	})
	for _, cause := range slices.Sorted(maps.Keys(r.unknown)) {
		report.Unknown = append(report.Unknown, *r.unknown[cause])
	}
	return report
}
