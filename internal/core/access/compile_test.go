package access_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/core/access"
)

// faults returns the errors that a joined error contains.
func faults(t *testing.T, err error) []*access.RuleError {
	t.Helper()
	joined, ok := errors.AsType[interface {
		error
		Unwrap() []error
	}](err)
	if !ok {
		t.Fatalf("%v: want a joined error", err)
	}
	var all []*access.RuleError
	for _, e := range joined.Unwrap() {
		fault, ok := errors.AsType[*access.RuleError](e)
		if !ok {
			t.Fatalf("%v: want a RuleError", e)
		}
		all = append(all, fault)
	}
	return all
}

// TestCompilePatterns compiles each pattern in a rule that is valid otherwise.
func TestCompilePatterns(t *testing.T) {
	const (
		accepted  = ""
		method    = "want a method in capital letters"
		never     = "which is never forwarded"
		noMethod  = "want a method before the path"
		noPath    = `want a path that begins with "/"`
		wildcard  = "want a wildcard that is a whole segment"
		name      = "want a wildcard name that is an identifier"
		last      = "at the end of the path only"
		again     = "want each wildcard name once"
		noQuery   = "want a path without query"
		unmatched = "want a path that a request can have"
	)
	tests := []struct{ pattern, want string }{
		{"GET /", accepted},
		{"GET /{$}", accepted},
		{"POST /events", accepted},
		{"GET /events/", accepted},
		{"GET /events/{$}", accepted},
		{"GET /events/{id}", accepted},
		{"GET /events/{id}/notes/{note}", accepted},
		{"GET /events/{rest...}", accepted},
		{"GET  /events", accepted},
		{"GET\t/events", accepted},
		{"VERSION-CONTROL /events", accepted},
		{"GET /a b", accepted},
		{"GET /a%20b", accepted},
		{"GET /café", accepted},
		{"GET /a%2eb", accepted}, // matches /a.b, as in ServeMux
		{"GET /100%", accepted},  // matches /100%25, as in ServeMux

		{"", method},
		{"/events", noMethod},
		{"GET", noPath},
		{"GET ", noPath},
		{"GET events", noPath},
		{"GET schedule/events", noPath},
		{"get /events", method},
		{"Get /events", method},
		{" GET /events", method},
		{"G@T /events", method},
		{"* /events", `want one method such as GET, found "*": write a pattern for each method`},
		{"ANY /events", `want one method such as GET, found "ANY": write a pattern for each method`},
		{"ALL /events", `want one method such as GET, found "ALL"`},
		{"GET,POST /events", `want one method such as GET, found "GET,POST"`},
		{"GET, POST /events", `want one method such as GET, found "GET,"`},
		{"GET|POST /events", `want one method such as GET, found "GET|POST"`},
		{"ANYTHING /events", accepted},
		{"GET /events/*", `want {name} for one segment or {rest...} for all that follow, found "*" of another router`},
		{"GET /events/*/notes", `want {name} for one segment or`},
		{"GET /*", `want {name} for one segment or`},
		{"GET /events/**", `want {rest...} for all that follow, found "**" of another router`},
		{"GET /**/notes", `want {rest...} for all that follow`},
		{"GET /events/*rest", `want {rest...} for all that follow, found "*rest"`},
		{"GET /events/*.ics", `want a wildcard that is a whole segment such as {name}, found "*.ics"`},
		{"GET /events/***", `want a wildcard that is a whole segment`},
		{"GET /events/%2A", accepted},
		{"GET /events/:id", `want {id}, found ":id" of another router; a literal : at the start is written %3A`},
		{"GET /events/:event/notes", `want {event}, found ":event"`},
		{"GET /events/:", `want {id}, found ":"`},
		{"GET /events/:id([0-9]+)", `want {id}, found ":id([0-9]+)"`},
		{"GET /events:batch", accepted},
		{"GET /events/%3Aid", accepted},
		{"GET /events/<id>", `want {id}, found "<id>" of another router`},
		{"GET /events/<int:event>", `want {event}, found "<int:event>"`},
		{"GET /events/e<id>", `want {id}, found "e<id>"`},
		{"GET /events/%3Cid%3E", accepted},
		{"GET /events/[id]", `want {id}, found "[id]" of another router`},
		{"GET /events/[...path]", `want {path...} for all that follow, found "[...path]"`},
		{"GET /events/{id:[0-9]+}", name},
		{"CONNECT /events", never},
		{"TRACE /events", never},
		{"GET /events?x=1", noQuery},
		{"GET /events#x", noQuery},
		{"GET /events/{id", wildcard},
		{"GET /events/id}/{", wildcard},
		{"GET /events/{id}x", wildcard},
		{"GET /events/x{id}", wildcard},
		{"GET /events/{}", name},
		{"GET /events/{...}", name},
		{"GET /events/{1}", name},
		{"GET /events/{a-b}", name},
		{"GET /events/{id...}/x", last},
		{"GET /events/{$}/x", last},
		{"GET /events/{id...}/", last},
		{"GET /{a}/{b}/{a}", again},
		{"GET /{a}/{a...}", again},
		{"GET //", unmatched},
		{"GET /a//b", unmatched},
		{"GET /a/../b", unmatched},
		{"GET /a/.", unmatched},
		{"GET /a/%2e%2e/b", unmatched},
		{"GET /a%2fb", unmatched},
		{"GET /a%5cb", unmatched},
		{`GET /a\b`, unmatched},
		{"GET /a%252fb", unmatched},
		{"GET /a%00", unmatched},
		{"GET /a\x00", unmatched},
		{"GET /a%c0%af", unmatched},
		{"GET /a\xff", unmatched},
		{"GET /..;x", unmatched},
		{"GET /" + strings.Repeat("a", 8192), unmatched},
	}
	for _, tt := range tests {
		t.Run(tt.pattern[:min(len(tt.pattern), 40)], func(t *testing.T) {
			policy, err := access.Compile([]access.Rule{{Name: "r", Clients: []string{"mail"}, Allow: []string{tt.pattern}}}, nil)
			if tt.want == accepted {
				if err != nil {
					t.Errorf("Compile: %v, want no error", err)
				}
				return
			}
			if err == nil || policy != nil {
				t.Fatalf("Compile = %v, %v; want an error and no policy", policy, err)
			}
			fault := faults(t, err)[0]
			if fault.List != "rules" || fault.Index != 0 || fault.Field != "allow" || fault.Item != 0 || !strings.Contains(fault.Problem, tt.want) {
				t.Errorf("%v, want %q", fault, tt.want)
			}
			if len(fault.Error()) > 400 {
				t.Errorf("an error of %d bytes, want at most 400", len(fault.Error()))
			}
		})
	}
}

func TestCompileFaults(t *testing.T) {
	good := func() access.Rule {
		return access.Rule{Name: "good", Clients: []string{"mail"}, Allow: []string{"GET /a/{x}", "POST /b/"}}
	}
	other := func(change func(*access.Rule)) []access.Rule {
		r := access.Rule{Name: "other", Clients: []string{"social"}, Allow: []string{"GET /a/{x}"}}
		change(&r)
		return []access.Rule{good(), r}
	}
	tests := []struct {
		name   string
		rules  []access.Rule
		denied []access.Denied
		want   string // "" means no error
	}{
		{"valid", other(func(*access.Rule) {}), nil, ""},
		{"no name", other(func(r *access.Rule) { r.Name = "" }), nil, "rules[1].name: want a name of 1 to 64 characters, found 0"},
		{"long name", other(func(r *access.Rule) { r.Name = strings.Repeat("n", 65) }), nil, "rules[1].name: want a name of 1 to 64 characters, found 65"},
		{"line break in name", other(func(r *access.Rule) { r.Name = "a\nb" }), nil, "rules[1].name: want a name of printable"},
		{"name twice", other(func(r *access.Rule) { r.Name = "good" }), nil, `rules[1].name: want a name that no other rule has, found "good" again`},
		{"no clients", other(func(r *access.Rule) { r.Clients = nil }), nil, "rules[1].clients: want at least one client"},
		{"client with a space at the end", other(func(r *access.Rule) { r.Clients = []string{"a", "social "} }), nil, `rules[1].clients[1]: client "social ": want a letter or digit at the end`},
		{"wildcard in a client", other(func(r *access.Rule) { r.Clients = []string{"soc*"} }), nil, `rules[1].clients[0]: client "soc*": want only ASCII`},
		{"empty client", other(func(r *access.Rule) { r.Clients = []string{""} }), nil, `rules[1].clients[0]: client "": want 1 to 64`},
		{"no patterns", other(func(r *access.Rule) { r.Allow = nil }), nil, "rules[1].allow: want at least one pattern"},
		{"bad pattern", other(func(r *access.Rule) { r.Allow = []string{"GET /x", "/y"} }), nil, "rules[1].allow[1]: pattern"},
		{"denied client's rule", other(func(*access.Rule) {}), []access.Denied{{Client: "social"}}, ""},
		{"denied twice", other(func(*access.Rule) {}), []access.Denied{{Client: "social"}, {Client: "social"}}, ""},
		{"denied unknown client", other(func(*access.Rule) {}), []access.Denied{{Client: "x"}}, ""},
		{"denied without client", other(func(*access.Rule) {}), []access.Denied{{Client: "x"}, {}}, "deny[1].client: client"},
		{"denied invalid name", other(func(*access.Rule) {}), []access.Denied{{Client: "social "}}, "deny[0].client: client"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := access.Compile(tt.rules, tt.denied)
			if tt.want == "" {
				if err != nil {
					t.Errorf("Compile: %v, want no error", err)
				}
				return
			}
			if err == nil || !strings.HasPrefix(err.Error(), tt.want) || len(faults(t, err)) != 1 {
				t.Errorf("Compile: %v\nwant only %s", err, tt.want)
			}
		})
	}
}

// TestCompileRefusesRulesWithoutEffect checks that a rule is refused if and only if an
// earlier rule grants all of its requests.
func TestCompileRefusesRulesWithoutEffect(t *testing.T) {
	tests := []struct {
		name                     string
		firstClient, firstAllow  string
		secondClient, secondRule string
		effect                   bool
	}{
		{"the same", "mail", "GET /a", "mail", "GET /a", false},
		{"another wildcard name", "mail", "GET /a/{x}", "mail", "GET /a/{y}", false},
		{"another client", "mail", "GET /a", "social", "GET /a", true},
		{"another method", "mail", "GET /a", "mail", "POST /a", true},
		{"everyone before one", "*", "GET /a", "mail", "GET /a", false},
		{"one before everyone", "mail", "GET /a", "*", "GET /a", true},
		{"GET before HEAD", "mail", "GET /a", "mail", "HEAD /a", false},
		{"HEAD before GET", "mail", "HEAD /a", "mail", "GET /a", true},
		{"wildcard before literal", "mail", "GET /a/{x}", "mail", "GET /a/b", false},
		{"literal before wildcard", "mail", "GET /a/b", "mail", "GET /a/{x}", true},
		{"subtree before literal", "mail", "GET /a/", "mail", "GET /a/b/c", false},
		{"subtree before its root", "mail", "GET /a/", "mail", "GET /a", true},
		{"subtree before its slash", "mail", "GET /a/", "mail", "GET /a/{$}", false},
		{"subtree before wildcard", "mail", "GET /a/", "mail", "GET /a/{x}", false},
		{"subtree before rest", "mail", "GET /a/", "mail", "GET /a/{x...}", false},
		{"rest before subtree", "mail", "GET /a/{x...}", "mail", "GET /a/", false},
		{"rest before subtree below", "mail", "GET /{x...}", "mail", "GET /a/", false},
		{"subtree below before subtree", "mail", "GET /a/b/", "mail", "GET /a/", true},
		{"slash before subtree", "mail", "GET /a/{$}", "mail", "GET /a/", true},
		{"wildcard before slash", "mail", "GET /a/{x}", "mail", "GET /a/{$}", true},
		{"wildcard before subtree", "mail", "GET /a/{x}", "mail", "GET /a/", true},
		{"wildcard before literal with slash", "mail", "GET /{x}", "mail", "GET /a/{$}", true},
		{"the same, encoded", "mail", "GET /a", "mail", "GET /%61", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := access.Compile([]access.Rule{
				{Name: "unrelated", Clients: []string{"mail"}, Allow: []string{"DELETE /a"}},
				{Name: "first", Clients: []string{tt.firstClient}, Allow: []string{tt.firstAllow}},
				{Name: "second", Clients: []string{tt.secondClient}, Allow: []string{tt.secondRule}},
			}, nil)
			const want = `rules[2]: want a rule that grants something new, found only what earlier rules grant, the first of them "first"`
			switch {
			case tt.effect && err != nil:
				t.Errorf("Compile: %v, want no error", err)
			case !tt.effect && (err == nil || err.Error() != want):
				t.Errorf("Compile: %v, want %s", err, want)
			}
		})
	}
}

// TestCompileAcceptsRulesWithSomeEffect checks that one new pattern for one client is
// enough.
func TestCompileAcceptsRulesWithSomeEffect(t *testing.T) {
	first := access.Rule{Name: "first", Clients: []string{"mail", "social"}, Allow: []string{"GET /a", "GET /b"}}
	for _, second := range []access.Rule{
		{Name: "second", Clients: []string{"mail", "web-client"}, Allow: []string{"GET /a"}},
		{Name: "second", Clients: []string{"mail"}, Allow: []string{"GET /a", "GET /c"}},
	} {
		if _, err := access.Compile([]access.Rule{first, second}, nil); err != nil {
			t.Errorf("%v: %v", second, err)
		}
	}
}

func TestCompileReportsEveryFault(t *testing.T) {
	_, err := access.Compile([]access.Rule{
		{Name: "a", Clients: []string{"mail", "ma il "}, Allow: []string{"GET /a", "GET b"}},
		{Name: "a", Allow: []string{"GET /a"}},
		{Name: "c", Clients: []string{"mail"}, Allow: []string{"GET /a"}},
	}, []access.Denied{{Client: "-"}})
	var places []string
	for _, fault := range faults(t, err) {
		place, _, _ := strings.Cut(fault.Error(), ":")
		places = append(places, place)
	}
	const want = "rules[0].clients[1] rules[0].allow[1] rules[1].name rules[1].clients rules[2] deny[0].client"
	if got := strings.Join(places, " "); got != want {
		t.Errorf("faults at %s\nwant %s", got, want)
	}
}
