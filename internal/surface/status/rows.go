package status

import (
	"html/template"
	"net/url"
	"strings"
	"time"
)

// markup builds HTML. Its methods escape every text that is not a constant, so its content is
// safe between tags. The rows of clients do not use html/template, which takes four times as
// long for 10,000 clients (see BenchmarkPage).
type markup struct{ b strings.Builder }

// constant is HTML of the program. Variables of type string are not assignable to it.
type constant string

// tags appends HTML of the program.
func (m *markup) tags(c constant) { m.b.WriteString(string(c)) }

// text appends an untrusted text.
func (m *markup) text(s string) { m.b.WriteString(template.HTMLEscapeString(s)) }

// parameter appends an untrusted value of a query parameter, inside a quoted attribute.
func (m *markup) parameter(s string) { m.text(url.QueryEscape(s)) }

// detail appends an untrusted text as a line of its own.
func (m *markup) detail(s string) {
	m.tags("<i>")
	m.text(s)
	m.tags("</i>")
}

func (m *markup) html() template.HTML {
	return template.HTML(m.b.String()) //nolint:gosec // every text in it is escaped
}

// appendRow appends the row of a client.
func (v *view) appendRow(m *markup, c *Client) {
	m.tags(`<tr><th><a href="/?client=`)
	m.parameter(c.Name)
	m.tags(`#refusals">`)
	m.text(c.Name)
	m.tags("</a>")
	for _, a := range c.Attention {
		m.mark(v.mark(c, a))
	}
	m.tags("</th><td>")
	m.text(v.ago(c.LastSeen))
	m.tags("</td><td>")
	m.text(strings.Join(c.levels(), ", "))
	v.appendCertificate(m, c)
	m.tags("</td><td>")
	m.text(count(c.Allowed))
	m.tags("</td><td>")
	m.text(count(c.Refused))
	if c.Refused > 0 {
		m.detail(c.LastReason + ", " + v.ago(c.LastRefusal))
	}
	m.tags("</td><td>")
	m.text(c.rate())
	m.tags("</td></tr>")
}

// appendCertificate appends the cells of the latest certificate and its key.
func (v *view) appendCertificate(m *markup, c *Client) {
	m.tags("</td><td>")
	if len(c.Certificates) == 0 {
		m.tags("</td><td>")
		return
	}
	latest := c.Certificates[0]
	m.text(latest.NotAfter.UTC().Format(time.DateOnly))
	m.detail(latest.Serial)
	if more := len(c.Certificates) - 1; more > 0 {
		m.detail("and " + count(more) + " more")
	}
	m.tags("</td><td>")
	m.text(latest.KeyID)
}

func (m *markup) mark(l mark) {
	switch l.Class {
	case "bad":
		m.tags(`<b class="mark bad">`)
	case "warn":
		m.tags(`<b class="mark warn">`)
	default:
		m.tags(`<b class="mark info">`)
	}
	m.text(l.Text)
	m.tags("</b>")
}
