package status

import (
	"html/template"
	"net/url"
	"slices"
	"time"
)

// markup builds HTML. Its methods escape every text that is not a constant, so its content is
// safe between tags. The rows of clients do not use html/template, which takes several times
// as long for 10,000 clients (see BenchmarkPage).
type markup struct{ b []byte }

// constant is HTML of the program. Variables of type string are not assignable to it.
type constant string

// tags appends HTML of the program.
func (m *markup) tags(c constant) { m.b = append(m.b, c...) }

// text appends an untrusted text.
func (m *markup) text(s string) { m.b = append(m.b, template.HTMLEscapeString(s)...) }

// parameter appends an untrusted value of a query parameter, inside a quoted attribute.
func (m *markup) parameter(s string) { m.text(url.QueryEscape(s)) }

// number appends a number with separators.
func (m *markup) number(n uint64) { m.b = appendCount(m.b, n) }

func (m *markup) html() template.HTML {
	return template.HTML(m.b) //nolint:gosec // every text in it is escaped
}

// appendRow appends the row of a client. A browser needs most of its time for the number of
// elements. Therefore a row has no elements for the lines of a cell, which the style separates
// at line feeds, links only to refusals that exist, and no empty cells at its end. It has no end
// tags, which HTML allows.
func (v *view) appendRow(m *markup, c *Client) {
	m.tags("<tr><th>")
	m.client(c)
	for _, a := range c.Attention {
		m.mark(v.mark(c, a))
	}
	m.tags("<td>")
	m.text(v.ago(c.LastSeen))
	m.levels(c)
	m.tags("<td>")
	v.appendCertificate(m, c)
	m.tags("<td>")
	m.number(c.Allowed)
	rate := c.mostUsedRate()
	if rate != nil || c.Refused > 0 {
		m.tags("<td>")
	}
	if rate != nil {
		m.number(uint64(*rate.RateUsed * 100))
		m.tags(" % of ")
		m.text(rate.Name)
	}
	if c.Refused > 0 {
		m.tags("<td>")
		m.number(c.Refused)
		m.tags("\n")
		m.text(c.LastReason)
		m.tags(", ")
		m.text(v.ago(c.LastRefusal))
	}
}

// client appends the name of a client, as a link to its refusals if there are any.
func (m *markup) client(c *Client) {
	if c.Refused == 0 {
		m.text(c.Name)
		return
	}
	m.tags(`<a href="/?client=`)
	m.parameter(c.Name)
	m.tags(`#refusals">`)
	m.text(c.Name)
	m.tags("</a>")
}

// levels appends a line with the levels of possession that the client has shown, the latest
// first.
func (m *markup) levels(c *Client) {
	type level struct {
		name constant
		at   time.Time
	}
	list := [...]level{{"mtls", c.MTLS}, {"signed", c.Signed}, {"bearer", c.Bearer}}
	slices.SortStableFunc(list[:], func(a, b level) int { return b.at.Compare(a.at) })
	for i, l := range list {
		if l.at.IsZero() {
			return
		}
		if i == 0 {
			m.tags("\n")
		} else {
			m.tags(", ")
		}
		m.tags(l.name)
	}
}

// appendCertificate appends the cells of the latest certificate and its key, without the first
// tag.
func (v *view) appendCertificate(m *markup, c *Client) {
	if len(c.Certificates) == 0 {
		m.tags("<td>")
		return
	}
	latest := &c.Certificates[0]
	m.b = latest.NotAfter.UTC().AppendFormat(m.b, time.DateOnly)
	m.tags("\n")
	m.text(latest.Serial)
	if more := len(c.Certificates) - 1; more > 0 {
		m.tags("\nand ")
		m.number(uint64(more))
		m.tags(" more")
	}
	m.tags("<td>")
	m.text(latest.KeyID)
}

func (m *markup) mark(l mark) {
	switch l.Class {
	case "bad":
		m.tags(` <b class="mark bad">`)
	case "warn":
		m.tags(` <b class="mark warn">`)
	default:
		m.tags(` <b class="mark info">`)
	}
	m.text(l.Text)
	m.tags("</b>")
}
