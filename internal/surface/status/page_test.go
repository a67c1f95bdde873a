package status

import (
	"encoding/json"
	"maps"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// fixed returns a function that returns s.
func fixed(s Status) func() Status { return func() Status { return s } }

// parse returns the elements of a page.
func parse(t *testing.T, page string) *html.Node {
	t.Helper()
	root, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// elements returns the elements with a tag.
func elements(root *html.Node, tag atom.Atom) (list []*html.Node) {
	for n := range root.Descendants() {
		if n.Type == html.ElementNode && n.DataAtom == tag {
			list = append(list, n)
		}
	}
	return list
}

// attribute returns the value of an attribute, or "".
func attribute(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

// textOf returns the text of an element, with single spaces.
func textOf(n *html.Node) string {
	var b strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode && d.Parent.DataAtom != atom.Style && d.Parent.DataAtom != atom.Script {
			b.WriteString(d.Data + " ")
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

// section returns the text of the element with an id.
func section(t *testing.T, res *httptest.ResponseRecorder, id string) string {
	t.Helper()
	for n := range parse(t, res.Body.String()).Descendants() {
		if n.Type == html.ElementNode && attribute(n, "id") == id {
			return textOf(n)
		}
	}
	t.Fatalf("want an element with the id %s", id)
	return ""
}

func TestPageShowsEveryPart(t *testing.T) {
	res := get(t, fixed(sample()), "/")
	tests := []struct {
		section string
		want    []string
	}{
		{"overview", []string{
			"30 days ago", "00d1935700000000", "this process only", "error The latest content of Rules is not in force: rules.yaml:7: want a pattern",
			"error The upstream address schedule:8082 gets no requests", "error The revocation list of key 0000000000000002 is outdated since 2026-11-28 12:00 UTC",
			"warning Connections, listener public: 9,000 of 10,000 are in use", "warning 1 client uses a certificate that expires within 14 days",
			"warning 1 client uses a certificate that contains the master key", "info Key 0000000000000001 can be removed: no client has used it for 9 days",
			"info 1 client uses a certificate of an old key", "info The next rules would change requests of 2 clients",
		}},
		{"in-force", []string{
			"Keys 2 keys aaaa000000000001 ok 2 days ago", "AUTH_PUBLIC_KEY_FILE /etc/certgate/keys.pem", "1 denial aaaa000000000003 failed 60 s ago rules.yaml:7: want a pattern",
			"in force since 2026-11-29 07:00 UTC", "expires in 200 days", "12 2026-11-21 12:00 UTC 2026-11-28 12:00 UTC outdated",
			"events mail, social GET /events POST /events 200/s, burst 400 require 12,345 1 s ago", "reports every verified client GET /reports/{year} – off never",
			"Next rules Requests of this process since 2026-11-29 09:00 UTC that the next rules would decide differently. 7 requests of further clients are not listed.",
			"social refuse 1,234 60 s ago POST /events 19aa", "web allow 2 60 min ago GET / 20bb",
			`client "spam" key leaked`, "LISTEN_ADDR :8080 default", "ADMIN_ADDR (empty)", "REDIS_URL redis://redis.internal:6379/0",
		}},
		{"keys", []string{
			"0000000000000001 old RSA-2048, public key no end", "9 days ago 2026-11-20 12:00 UTC safe to remove unused for 9 days; its observation began at 2026-10-30 12:00 UTC 1 social",
			"P-256, CA certificate CN=certgate CA 2026-11-28 12:00 UTC to 2027-09-25 12:00 UTC 2026-11-28 12:00 UTC now",
			"is that of this process since 2026-10-30 12:00 UTC. Other replicas have their own",
		}},
		{"clients-tables", []string{
			"social expires in 5 days has the master key old key 9 days ago bearer 2026-12-04 17 0000000000000001 345",
			"mail 1 s ago signed, bearer 2027-02-27 4f3a09 0000000000000002 12,000 42 % of events 3 access_denied, 60 min ago",
		}},
		{"refusals-table", []string{
			"60 min ago 11:00:00.000 mail DELETE /events/1 8d3b2e89c10503ed access_denied 403 no rule allows client \"mail\" to DELETE /events/1 192.0.2.7",
			"not verified GET / 77aa trace 0af7651916cd43dd8448eb211c80319c credential_missing 401 192.0.2.9",
		}},
		{"upstream", []string{"schedule:8081 up 3 1.2 ms 34 ms", "schedule:8082 out 5 failures in a row 0 – –", "of the latest 512 requests"}},
		{"limits", []string{"Requests at the upstream 3 1,024 0 %", "Connections, listener public 9,000 10,000 90 %", "Log lines lost since the start 0 – none", "Redis redis://redis.internal:6379/0 – – up"}},
	}
	for _, tt := range tests {
		have := section(t, res, tt.section)
		for _, want := range tt.want {
			if !strings.Contains(have, want) {
				t.Errorf("%s: want %q in %q", tt.section, want, have)
			}
		}
	}
	if have := section(t, res, "clients-tables"); strings.Index(have, "social") > strings.Index(have, "mail") {
		t.Errorf("want the client whose certificate expires first, found %q", have)
	}
}

// TestEmptyPage renders a gateway that has received no request.
func TestEmptyPage(t *testing.T) {
	s := Status{Time: now(), NotReady: "shutting down", Observation: Observation{Shared: true, Replicas: 3, Since: now(), Synchronized: now().Add(-5 * time.Second)}}
	res := get(t, fixed(s), "/")
	text := textOf(parse(t, res.Body.String()))
	for _, want := range []string{
		"Not ready: certgate status", "error The gateway is not ready: shutting down", "The deny list is empty", "No client with a valid certificate has sent a request yet.",
		"No request was refused since the start", "3 replicas, shared in Redis", "is that of 3 replicas since 2026-11-29 12:00 UTC, shared in Redis 5 s ago; the reasons,",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("want %q in %q", want, text)
		}
	}
	s.NotReady, s.Ready = "", true
	if text := section(t, get(t, fixed(s), "/"), "overview"); !strings.Contains(text, "Nothing needs attention.") {
		t.Errorf("want no notice, found %q", text)
	}
}

// TestFilters checks which clients and refusals each query selects.
func TestFilters(t *testing.T) {
	s := withClients(450)
	tests := []struct {
		target   string
		clients  int
		text     string // of the clients
		refusals int
	}{
		{"/", 200, "The first 200 of 450 clients, those that need attention before the others. Show all 450", 2},
		{"/?clients=all", 450, "450 clients, those", 2},
		{"/?name=SERVICE-44", 11, "11 clients", 2}, // service-44 and service-440 to service-449
		{"/?name=team-7/&clients=all", 5, "5 clients", 2},
		{"/?name=nobody", 0, `No client's name contains "nobody".`, 2},
		{"/?client=mail", 200, "The first 200", 1},
		{"/?client=mai", 200, "The first 200", 0},
		{"/?request_id=77aa", 200, "The first 200", 1},
		{"/?client=mail&request_id=77aa", 200, "The first 200", 0},
		{"/?client=%zz&unknown=1", 200, "The first 200", 2},
	}
	for _, tt := range tests {
		t.Run(tt.target, func(t *testing.T) {
			res := get(t, fixed(s), tt.target)
			root := parse(t, res.Body.String())
			rows := map[string]int{}
			for _, table := range elements(root, atom.Table) {
				rows[attribute(table, "class")] += len(elements(table, atom.Tr)) - 1 // without the head
			}
			if rows["cards clients"] != tt.clients || rows["cards refusals"] != tt.refusals {
				t.Errorf("%d clients and %d refusals, want %d and %d", rows["cards clients"], rows["cards refusals"], tt.clients, tt.refusals)
			}
			if text := section(t, res, "clients-shown"); !strings.Contains(text, tt.text) {
				t.Errorf("want %q, found %q", tt.text, text)
			}
		})
	}
}

// TestDroppedClients checks that the page reports clients that were dropped from a full inventory.
func TestDroppedClients(t *testing.T) {
	s := sample()
	s.Observation.Forgotten = 1234
	res := get(t, fixed(s), "/")
	const want = "1,234 clients were dropped because there are more than the inventory holds"
	for _, id := range []string{"overview", "clients-shown"} {
		if text := section(t, res, id); !strings.Contains(text, want) {
			t.Errorf("%s: want %q in %q", id, want, text)
		}
	}
}

// TestLinksOfClients checks that the links to a client's refusals and from a key to its
// clients have the client's name, with every character that names may contain.
func TestLinksOfClients(t *testing.T) {
	const name = "spiffe://a.example/b+c d@e:f_g-h?i=j&k#l%6D"
	s := sample()
	s.Clients[0].Name, s.Refusals[0].Client, s.Keys[0].ClientNames = name, name, []string{name}
	found := map[string]int{}
	for _, link := range elements(parse(t, get(t, fixed(s), "/").Body.String()), atom.A) {
		u, err := url.Parse(attribute(link, "href"))
		if err != nil {
			t.Fatal(err)
		}
		for parameter, values := range u.Query() {
			if values[0] == name {
				found[parameter+" "+u.Fragment]++
			}
		}
	}
	if diff := cmp.Diff(map[string]int{"client refusals": 2, "name clients": 1}, found); diff != "" {
		t.Errorf("links (-want +have):\n%s", diff)
	}
}

// hostile is a text that would end every context of the page and of JSON.
const hostile = "</td></a></script></style><script>alert(1)</script>\"'><img src=x onerror=alert(1)>{{.}}&amp;\u202egnp.exe\u2066\x00\x1b[31m\r\n\u200b\U000e0041"

// poison replaces every text of a value by one that contains the hostile text.
func poison(t *testing.T, s *Status) {
	t.Helper()
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var tree any
	if err := json.Unmarshal(text, &tree); err != nil {
		t.Fatal(err)
	}
	if text, err = json.Marshal(poisoned(tree)); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, s); err != nil {
		t.Fatal(err)
	}
}

func poisoned(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for name, value := range v {
			v[name] = poisoned(value)
		}
	case []any:
		for i, value := range v {
			v[i] = poisoned(value)
		}
	case string:
		if _, err := time.Parse(time.RFC3339, v); err != nil {
			return v + hostile
		}
	}
	return v
}

// TestUntrustedTexts puts markup, quotes and characters that change the direction of text
// into every text of a status. The page must have the same elements as without them, and
// neither form may contain a character that is not printable.
func TestUntrustedTexts(t *testing.T) {
	clean, dirty := sample(), sample()
	poison(t, &dirty)
	targets := []string{"/", "/?clients=all", "/?client=" + url.QueryEscape(hostile) + "&request_id=" + url.QueryEscape(hostile)}
	for _, target := range targets {
		res := get(t, fixed(dirty), target)
		page := res.Body.String()
		if i := strings.IndexFunc(page, func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }); i >= 0 {
			t.Errorf("%s: want printable characters only, found %q", target, page[i:min(len(page), i+20)])
		}
		root := parse(t, page)
		if n := len(elements(root, atom.Script)) + len(elements(root, atom.Img)); n > 1 {
			t.Errorf("%s: want at most the page's own script, found %d elements", target, n)
		}
		for n := range root.Descendants() {
			for _, a := range n.Attr {
				if strings.HasPrefix(a.Key, "on") || a.Key == "href" && !strings.HasPrefix(a.Val, "/") && !strings.HasPrefix(a.Val, "#") && a.Val != "data:," {
					t.Errorf("%s: found the attribute %s=%q", target, a.Key, a.Val)
				}
			}
		}
	}
	if diff := cmp.Diff(tags(t, clean), tags(t, dirty)); diff != "" {
		t.Errorf("elements of the page (-clean +dirty):\n%s", diff)
	}
	var decoded Status
	body := get(t, fixed(dirty), "/status").Body.Bytes()
	if err := json.Unmarshal(body, &decoded); err != nil || !strings.HasSuffix(decoded.Refusals[0].Path, hostile) || !strings.HasSuffix(decoded.Version, hostile) {
		t.Errorf("path %q and version %q, %v: want the texts unchanged", decoded.Refusals[0].Path, decoded.Version, err)
	}
	if i := slices.IndexFunc([]rune(string(body)), func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) || r == '<' }); i >= 0 {
		t.Errorf("JSON: want printable characters without <, found one at %d", i)
	}
}

// tags returns the elements of the page except those that depend on the values of texts.
func tags(t *testing.T, s Status) []string {
	t.Helper()
	var list []string
	for n := range parse(t, get(t, fixed(s), "/?clients=all").Body.String()).Descendants() {
		if n.Type == html.ElementNode && n.DataAtom != atom.Span && n.DataAtom != atom.Small && n.DataAtom != atom.Details && n.DataAtom != atom.Summary && n.DataAtom != atom.Dl && n.DataAtom != atom.Br {
			list = append(list, n.Data)
		}
	}
	return list
}

// TestSecurityHeaders checks the headers and that the policy allows the page's own style and
// script, which html/template must not change.
func TestSecurityHeaders(t *testing.T) {
	res := get(t, fixed(sample()), "/")
	root := parse(t, res.Body.String())
	policy := res.Header().Get("Content-Security-Policy")
	for _, tag := range []atom.Atom{atom.Style, atom.Script} {
		list := elements(root, tag)
		if len(list) != 1 || !strings.Contains(policy, tag.String()+"-src "+source(list[0].FirstChild.Data)+";") {
			t.Errorf("policy %q: want the hash of the only %s of %d", policy, tag, len(list))
		}
	}
	for _, directive := range []string{"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"} {
		if !slices.Contains(strings.Split(policy, "; "), directive) {
			t.Errorf("policy %q: want %s", policy, directive)
		}
	}
	if strings.Contains(policy, "unsafe") {
		t.Errorf("policy %q: want nothing unsafe", policy)
	}
	for name, want := range map[string]string{"Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY", "Cross-Origin-Resource-Policy": "same-origin", "Content-Type": "text/html; charset=utf-8"} {
		if have := res.Header().Get(name); have != want {
			t.Errorf("%s: %q, want %q", name, have, want)
		}
	}
	for n := range root.Descendants() {
		if n.Type == html.ElementNode && attribute(n, "style") != "" {
			t.Errorf("want no inline style, which the policy forbids, found one in %s", n.Data)
		}
	}
	if page := get(t, fixed(sample()), "/?clients=all").Body.String(); strings.Contains(page, "<script") {
		t.Error("want no script on the page with all clients, which would load it every ten seconds")
	}
	res = get(t, fixed(sample()), "/status")
	if have := res.Header().Get("Content-Type"); have != "application/json" || res.Header().Get("Cross-Origin-Resource-Policy") != "same-origin" {
		t.Errorf("content type %q and headers %v of the JSON", have, res.Header())
	}
}

// TestLabelsOfCards checks that the labels of cells on a narrow screen are the headings of
// their columns.
func TestLabelsOfCards(t *testing.T) {
	labels := map[string]string{}
	for _, m := range regexp.MustCompile(`\.(\w+) td:nth-child\((\d+)\)::before \{ content: "([^"]+)"; \}`).FindAllStringSubmatch(style, -1) {
		labels[m[1]+" "+m[2]] = m[3]
	}
	headings := map[string]string{}
	for _, table := range elements(parse(t, get(t, fixed(sample()), "/").Body.String()), atom.Table) {
		class := strings.TrimPrefix(attribute(table, "class"), "cards ")
		for i, th := range elements(elements(table, atom.Thead)[0], atom.Th) {
			if i > 0 || class == "refusals" {
				headings[class+" "+count(i+1)] = textOf(th)
			}
		}
	}
	if diff := cmp.Diff(headings, labels); diff != "" {
		t.Errorf("labels (-headings +style):\n%s", diff)
	}
}

// TestJSONIsThePage checks that the JSON has the fields that the page computes.
func TestJSONIsThePage(t *testing.T) {
	var s Status
	if err := json.Unmarshal(get(t, fixed(sample()), "/status").Body.Bytes(), &s); err != nil {
		t.Fatal(err)
	}
	have := map[string][]Attention{}
	for _, c := range s.Clients {
		have[c.Name] = c.Attention
	}
	if diff := cmp.Diff(map[string][]Attention{"social": {Expiring, SharedKey, OldKey}, "mail": {}}, have); diff != "" {
		t.Errorf("attention (-want +have):\n%s", diff)
	}
	if s.Clients[0].Name != "social" || !s.Keys[0].Old || !s.Keys[0].Removable || s.Keys[1].Old || len(s.Notices) != 9 {
		t.Errorf("clients %v, keys %+v, notices %v: want what the page shows", slices.Collect(maps.Keys(have)), s.Keys, s.Notices)
	}
}
