package status

import (
	"html/template"
	"net/url"
	"slices"
	"strings"
	"time"
)

const (
	// maxShown is the number of clients on the page, unless all are requested.
	maxShown = 200
	// tableRows is the number of clients in one table. The browser lays out only the tables
	// that are visible.
	tableRows = 100
	// maxQuery is the longest value of a parameter, in bytes.
	maxQuery = 256
)

// query selects a part of the clients and refusals.
type query struct {
	Name      string // a part of the clients' names, regardless of case
	All       bool   // all clients, instead of the first [maxShown]
	Client    string // of the refusals
	RequestID string // of the refusals
}

// parseQuery reads the parameters name, clients=all, client and request_id. Invalid ones
// are ignored.
func parseQuery(raw string) query {
	values, _ := url.ParseQuery(raw)
	text := func(name string) string {
		v := strings.TrimSpace(values.Get(name))
		return v[:min(len(v), maxQuery)]
	}
	return query{Name: text("name"), All: text("clients") == "all", Client: text("client"), RequestID: text("request_id")}
}

// view is the input of the template.
type view struct {
	*Status

	Query   query
	Style   template.CSS
	Script  template.JS
	Refresh bool // whether the script loads the page again

	Tables   []clientTable // the shown clients
	Matching int           // clients that match the query
	Shown    int
	Refused  []Refusal // the refusals that match the query
	Groups   []settingGroup
}

func newView(s *Status, q query) *view {
	v := &view{Status: s, Query: q, Refresh: !q.All}
	v.Style, v.Script = template.CSS(style), template.JS(script) //nolint:gosec // constants of the program
	v.selectClients()
	for _, r := range s.Refusals {
		if (q.Client == "" || r.Client == q.Client) && (q.RequestID == "" || r.RequestID == q.RequestID) {
			v.Refused = append(v.Refused, r)
		}
	}
	for _, setting := range s.Configuration.Settings {
		if n := len(v.Groups); n == 0 || v.Groups[n-1].Name != setting.Group {
			v.Groups = append(v.Groups, settingGroup{Name: setting.Group})
		}
		group := &v.Groups[len(v.Groups)-1]
		group.Settings = append(group.Settings, setting)
	}
	return v
}

// settingGroup is the settings of one group.
type settingGroup struct {
	Name     string
	Settings []Setting
}

// Changed returns the number of settings that are set.
func (g settingGroup) Changed() (n int) {
	for _, s := range g.Settings {
		if !s.Default {
			n++
		}
	}
	return n
}

// selectClients sets the tables of clients.
func (v *view) selectClients() {
	part := strings.ToLower(v.Query.Name)
	var shown []*Client
	for i := range v.Clients {
		c := &v.Clients[i]
		if part != "" && !strings.Contains(strings.ToLower(c.Name), part) {
			continue
		}
		v.Matching++
		if v.Query.All || len(shown) < maxShown {
			shown = append(shown, c)
		}
	}
	v.Shown = len(shown)
	for table := range slices.Chunk(shown, tableRows) {
		var rows markup
		for _, c := range table {
			v.appendRow(&rows, c)
		}
		v.Tables = append(v.Tables, clientTable{rows.html(), len(table) == tableRows})
	}
}

// clientTable is one table of clients. The style sheet sets the height of a full table.
type clientTable struct {
	Rows template.HTML
	Full bool
}

// mark is a label with a state that is also expressed by its text.
type mark struct{ Class, Text string }

// mark returns the label of a reason for attention.
func (v *view) mark(c *Client, a Attention) mark {
	switch a {
	case Expired:
		return mark{"bad", "expired " + v.ago(c.earliestEnd())}
	case Expiring:
		return mark{"warn", "expires in " + span(c.earliestEnd().Sub(v.Time))}
	case SharedKey:
		return mark{"warn", "has the master key"}
	default:
		return mark{"info", "old key"}
	}
}

// levels returns the levels of possession that the client has shown, the latest first.
func (c *Client) levels() (names []string) {
	type level struct {
		name string
		at   time.Time
	}
	list := []level{{"mtls", c.MTLS}, {"signed", c.Signed}, {"bearer", c.Bearer}}
	slices.SortStableFunc(list, func(a, b level) int { return b.at.Compare(a.at) })
	for _, l := range list {
		if !l.at.IsZero() {
			names = append(names, l.name)
		}
	}
	return names
}

// rate returns the rule whose bucket the client has used most, with the used part.
func (c *Client) rate() string {
	used, rule := -1.0, ""
	for _, r := range c.Rules {
		if r.RateUsed != nil && *r.RateUsed > used {
			used, rule = *r.RateUsed, r.Name
		}
	}
	if used < 0 {
		return ""
	}
	return count(int(used*100)) + " % of " + rule
}
