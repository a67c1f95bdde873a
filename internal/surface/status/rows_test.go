package status

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// TestRowsOfClients checks the cells of clients with and without certificate, rate and
// refusals, with a line of the cell after each line feed. Only refused clients have a link.
func TestRowsOfClients(t *testing.T) {
	rates := sample().Clients[0].Rules
	client := func(change func(c *Client)) Client {
		c := Client{Name: "mail", LastSeen: now(), Bearer: now().Add(-day), Certificates: []Certificate{{Serial: "4f", KeyID: "k", NotAfter: now().Add(90 * day)}}, Allowed: 1234}
		change(&c)
		return c
	}
	refuse := func(c *Client) { c.Refused, c.LastRefusal, c.LastReason = 3, now().Add(-day), "access_denied" }
	tests := []struct {
		name   string
		change func(c *Client)
		want   []string
		links  int
	}{
		{"neither rate nor refusals", func(*Client) {}, []string{"mail", "now\nbearer", "2027-02-27\n4f", "k", "1,234"}, 0},
		{"a rate", func(c *Client) { c.Rules = rates }, []string{"mail", "now\nbearer", "2027-02-27\n4f", "k", "1,234", "42 % of events"}, 0},
		{"refusals", refuse, []string{"mail", "now\nbearer", "2027-02-27\n4f", "k", "1,234", "", "3\naccess_denied, 24 h ago"}, 1},
		{"a rate and refusals", func(c *Client) { c.Rules = rates; refuse(c) }, []string{"mail", "now\nbearer", "2027-02-27\n4f", "k", "1,234", "42 % of events", "3\naccess_denied, 24 h ago"}, 1},
		{"no certificate in use", func(c *Client) { c.Certificates = nil }, []string{"mail", "now\nbearer", "", "", "1,234"}, 0},
		{"two certificates", func(c *Client) { c.Certificates = append(c.Certificates, c.Certificates[0]) }, []string{"mail", "now\nbearer", "2027-02-27\n4f\nand 1 more", "k", "1,234"}, 0},
		{"three levels", func(c *Client) { c.MTLS, c.Signed = now(), now() }, []string{"mail", "now\nmtls, signed, bearer", "2027-02-27\n4f", "k", "1,234"}, 0},
		{"no accepted certificate", func(c *Client) { c.Bearer = c.Signed }, []string{"mail", "now", "2027-02-27\n4f", "k", "1,234"}, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			row := clientRow(t, Status{Time: now(), Clients: []Client{client(tt.change)}})
			var cells []string
			for cell := range row.ChildNodes() {
				cells = append(cells, rawText(cell))
			}
			if diff := cmp.Diff(tt.want, cells); diff != "" {
				t.Errorf("cells (-want +have):\n%s", diff)
			}
			if n := len(elements(row, atom.A)); n != tt.links {
				t.Errorf("%d links to refusals, want %d", n, tt.links)
			}
		})
	}
}

// clientRow returns the row of the first client.
func clientRow(t *testing.T, s Status) *html.Node {
	t.Helper()
	for _, table := range elements(parse(t, get(t, fixed(s), "/").Body.String()), atom.Table) {
		if attribute(table, "class") == "cards clients" {
			return elements(table, atom.Tr)[1] // after the head
		}
	}
	t.Fatal("want a table of clients")
	return nil
}

// rawText returns the text of an element with its line feeds.
func rawText(n *html.Node) string {
	var b strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			b.WriteString(d.Data)
		}
	}
	return b.String()
}

// TestDeferredTables checks that the browser lays out all clients of the first page at once, so
// that links to sections behind them are accurate, and those of the page with all clients when
// they become visible.
func TestDeferredTables(t *testing.T) {
	s := withClients(450)
	for target, want := range map[string]int{"/": 0, "/?clients=all": 4} {
		if n := strings.Count(get(t, fixed(s), target).Body.String(), `<div class="deferred">`); n != want {
			t.Errorf("%s: %d deferred tables, want %d", target, n, want)
		}
	}
}

// TestMoreRefusals checks that the page shows the latest refusals, and all of them on request or
// if the query selects some.
func TestMoreRefusals(t *testing.T) {
	s := sample()
	s.Refusals = slices.Repeat(s.Refusals[:1], 120)
	for target, want := range map[string]int{"/": maxRefused, "/?refusals=all": 120, "/?client=mail": 120, "/?client=nobody": 0} {
		text := section(t, get(t, fixed(s), target), "refusals-table")
		if n := strings.Count(text, "8d3b2e89c10503ed"); n != want {
			t.Errorf("%s: %d refusals, want %d", target, n, want)
		}
		if offered := strings.Contains(text, "The latest 50. Show all 120"); offered != (target == "/") {
			t.Errorf("%s: offers all refusals: %t", target, offered)
		}
	}
}
