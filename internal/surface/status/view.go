package status

import (
	"html/template"
	"net/url"
	"slices"
	"strings"
)

const (
	// maxShown is the number of clients on the page, unless all are requested.
	maxShown = 200
	// maxRefused is the number of refusals on the page, unless all are requested or the query
	// selects some.
	maxRefused = 50
	// tableRows is the number of clients in one table.
	tableRows = 100
	// rowSize is the usual size of a row, in bytes.
	rowSize = 200
	// maxQuery is the longest value of a parameter, in bytes.
	maxQuery = 256
)

// query selects a part of the clients and refusals.
type query struct {
	Name        string // a part of the clients' names, regardless of case
	All         bool   // all clients, instead of the first [maxShown]
	Client      string // of the refusals
	RequestID   string // of the refusals
	AllRefusals bool   // instead of the latest [maxRefused]
}

// parseQuery reads the parameters name, clients=all, client, request_id and refusals=all.
// Invalid ones are ignored.
func parseQuery(raw string) query {
	values, _ := url.ParseQuery(raw)
	text := func(name string) string {
		v := strings.TrimSpace(values.Get(name))
		return v[:min(len(v), maxQuery)]
	}
	return query{
		Name: text("name"), All: text("clients") == "all",
		Client: text("client"), RequestID: text("request_id"), AllRefusals: text("refusals") == "all",
	}
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
	Refused  []Refusal // the shown refusals
	Groups   []settingGroup
}

func newView(s *Status, q query) *view {
	v := &view{Status: s, Query: q, Refresh: !q.All}
	v.Style, v.Script = template.CSS(style), template.JS(script) //nolint:gosec // constants of the program
	v.selectClients()
	v.selectRefusals()
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
		rows := markup{make([]byte, 0, len(table)*rowSize)}
		for _, c := range table {
			v.appendRow(&rows, c)
		}
		v.Tables = append(v.Tables, clientTable{rows.html(), v.Query.All && len(table) == tableRows})
	}
}

// selectRefusals sets the shown refusals.
func (v *view) selectRefusals() {
	q := v.Query
	if q.Client == "" && q.RequestID == "" && !q.AllRefusals {
		v.Refused = v.Refusals[:min(len(v.Refusals), maxRefused)]
		return
	}
	for _, r := range v.Refusals {
		if (q.Client == "" || r.Client == q.Client) && (q.RequestID == "" || r.RequestID == q.RequestID) {
			v.Refused = append(v.Refused, r)
		}
	}
}

// MoreRefusals reports whether the page shows only the latest refusals of all.
func (v *view) MoreRefusals() bool {
	return len(v.Refused) == maxRefused && len(v.Refusals) > maxRefused && v.Query.Client == "" && v.Query.RequestID == ""
}

// size returns about the number of bytes of the page.
func (v *view) size() int {
	size := 128 << 10 // of the other sections
	for _, t := range v.Tables {
		size += len(t.Rows)
	}
	return size
}

// clientTable is one table of clients. The browser lays out a deferred one when it becomes
// visible, and the style sheet sets its usual height. Only the page with all clients has them,
// because links to a section behind them are inaccurate if their heights are unusual.
type clientTable struct {
	Rows     template.HTML
	Deferred bool
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

// mostUsedRate returns the rule whose bucket the client has used most, or nil.
func (c *Client) mostUsedRate() (most *ClientRule) {
	for i := range c.Rules {
		if r := &c.Rules[i]; r.RateUsed != nil && (most == nil || *r.RateUsed > *most.RateUsed) {
			most = r
		}
	}
	return most
}
