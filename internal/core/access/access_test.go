package access_test

import (
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/core/access"
	"github.com/certgate/certgate/internal/core/identity"
	"github.com/certgate/certgate/internal/core/refusal"
)

// schedule returns the rules of the example service: two apps add events, a dashboard reads
// them.
func schedule() []access.Rule {
	return []access.Rule{
		{Name: "apps-add-events", Clients: []string{"mail", "social"}, Allow: []string{"POST /events"}},
		{Name: "dashboards-read", Clients: []string{"web-client"}, Allow: []string{"GET /events", "GET /events/{id}"}},
	}
}

func compile(tb testing.TB, rules []access.Rule, denied ...access.Denied) *access.Policy {
	tb.Helper()
	policy, err := access.Compile(rules, denied)
	if err != nil {
		tb.Fatalf("Compile: %v", err)
	}
	return policy
}

func target(tb testing.TB, raw string) access.Target {
	tb.Helper()
	parsed, err := access.ParseTarget(raw)
	if err != nil {
		tb.Fatalf("ParseTarget: %v", err)
	}
	return parsed
}

// refused checks that err is an access_denied refusal whose detail contains the text.
func refused(t *testing.T, g access.Grant, err error, detail string) {
	t.Helper()
	refused := refusal.Of(err)
	if refused == nil || refused.Reason != refusal.AccessDenied || !strings.Contains(refused.Detail, detail) {
		t.Errorf("Decide = %v, want %s with %q", err, refusal.AccessDenied, detail)
	}
	if g.Valid() || g != (access.Grant{}) {
		t.Errorf("want no grant with a refusal, found one of rule %q", g.Rule())
	}
}

func TestDecide(t *testing.T) {
	clients := map[string]identity.Client{}
	for _, name := range []string{"mail", "social", "web-client", "Mail", "report"} {
		clients[name] = client(t, name)
	}
	everyone := append(schedule(), access.Rule{Name: "all-ping", Clients: []string{"*"}, Allow: []string{"GET /ping"}})
	leaked := access.Denied{Client: "social", Reason: "key leaked"}
	tests := []struct {
		name                   string
		rules                  []access.Rule
		denied                 []access.Denied
		client, method, target string
		rule                   string // of the grant; "" is refused
		detail                 string // of the refusal
	}{
		{"allowed", schedule(), nil, "mail", "POST", "/events", "apps-add-events", ""},
		{"query", schedule(), nil, "mail", "POST", "/events?a=/../b", "apps-add-events", ""},
		{"another client of the rule", schedule(), nil, "social", "POST", "/events", "apps-add-events", ""},
		{"another method", schedule(), nil, "mail", "GET", "/events", "", `no rule allows client "mail" to "GET" "/events"`},
		{"method in lower case", schedule(), nil, "mail", "post", "/events", "", "no rule allows"},
		{"another path", schedule(), nil, "mail", "POST", "/event", "", "no rule allows"},
		{"path in capitals", schedule(), nil, "mail", "POST", "/Events", "", "no rule allows"},
		{"slash at the end", schedule(), nil, "mail", "POST", "/events/", "", "no rule allows"},
		{"additional segment", schedule(), nil, "mail", "POST", "/events/1", "", "no rule allows"},
		{"another client's path", schedule(), nil, "mail", "GET", "/events/1", "", "no rule allows"},
		{"name in capitals", schedule(), nil, "Mail", "POST", "/events", "", `no rule names client "Mail"`},
		{"a client without rule", schedule(), nil, "report", "POST", "/events", "", `no rule names client "report"`},
		{"no rules", nil, nil, "mail", "POST", "/events", "", "no rule names"},

		{"wildcard segment", schedule(), nil, "web-client", "GET", "/events/1", "dashboards-read", ""},
		{"GET allows HEAD", schedule(), nil, "web-client", "HEAD", "/events", "dashboards-read", ""},
		{"GET does not allow OPTIONS", schedule(), nil, "web-client", "OPTIONS", "/events", "", "no rule allows"},
		{"percent-encoded as literal", schedule(), nil, "mail", "POST", "/%65vents", "apps-add-events", ""},

		{"everyone, client without other rule", everyone, nil, "report", "GET", "/ping", "all-ping", ""},
		{"everyone, client with other rule", everyone, nil, "mail", "GET", "/ping", "all-ping", ""},
		{"everyone, another path", everyone, nil, "report", "POST", "/events", "", "no rule allows"},

		{"denied", schedule(), []access.Denied{leaked}, "social", "POST", "/events", "", `client "social" is on the deny list: "key leaked"`},
		{"denied, allowed to everyone", everyone, []access.Denied{leaked}, "social", "GET", "/ping", "", "deny list"},
		{"another client is denied", schedule(), []access.Denied{leaked}, "mail", "POST", "/events", "apps-add-events", ""},
		{"everyone is denied", everyone, []access.Denied{{Client: "*", Reason: "stop"}}, "mail", "POST", "/events", "", `deny list: "stop"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			policy := compile(t, tt.rules, tt.denied...)
			grant, err := policy.Decide(clients[tt.client], tt.method, target(t, tt.target))
			if tt.rule == "" {
				refused(t, grant, err, tt.detail)
				return
			}
			if err != nil || !grant.Valid() || grant.Rule() != tt.rule {
				t.Fatalf("Decide = rule %q, %v; want rule %q", grant.Rule(), err, tt.rule)
			}
			if grant.Client() != clients[tt.client] || grant.Method() != tt.method || grant.Target().String() != tt.target {
				t.Errorf("grant for %q %q %q, want the request", grant.Client(), grant.Method(), grant.Target())
			}
		})
	}
}

// TestDecideNamesTheFirstRule checks that a grant has the first rule that matches, even if
// the pattern of another rule is more specific.
func TestDecideNamesTheFirstRule(t *testing.T) {
	mail := client(t, "mail")
	wide := access.Rule{Name: "wide", Clients: []string{"mail"}, Allow: []string{"GET /a/{x}", "GET /z/"}}
	narrow := access.Rule{Name: "narrow", Clients: []string{"mail", "social"}, Allow: []string{"GET /a/b", "GET /z/{$}"}}
	all := access.Rule{Name: "all", Clients: []string{"*"}, Allow: []string{"GET /{x...}"}}
	tests := []struct {
		rules  []access.Rule
		target string
		want   string
	}{
		{[]access.Rule{wide, narrow, all}, "/a/b", "wide"},
		{[]access.Rule{narrow, wide, all}, "/a/b", "narrow"},
		{[]access.Rule{narrow, wide, all}, "/a/c", "wide"},
		{[]access.Rule{narrow, wide, all}, "/z/", "narrow"},
		{[]access.Rule{wide, narrow, all}, "/z/", "wide"},
		{[]access.Rule{narrow, wide, all}, "/q", "all"},
	}
	for _, tt := range tests {
		grant, err := compile(t, tt.rules).Decide(mail, "GET", target(t, tt.target))
		if err != nil || grant.Rule() != tt.want {
			t.Errorf("%s with %q first: rule %q, %v; want %q", tt.target, tt.rules[0].Name, grant.Rule(), err, tt.want)
		}
	}
}

func TestZeroValuesAreRefused(t *testing.T) {
	const zero = "found a zero value"
	policy := compile(t, []access.Rule{{Name: "all", Clients: []string{"*"}, Allow: []string{"GET /"}}})
	mail, root := client(t, "mail"), target(t, "/")

	var none *access.Policy
	grant, err := none.Decide(mail, "GET", root)
	refused(t, grant, err, zero)
	grant, err = new(access.Policy).Decide(mail, "GET", root)
	refused(t, grant, err, "no rule names")
	grant, err = policy.Decide(identity.Client{}, "GET", root)
	refused(t, grant, err, zero)
	grant, err = policy.Decide(mail, "GET", access.Target{})
	refused(t, grant, err, zero)
	grant, err = policy.Decide(mail, "", root)
	refused(t, grant, err, "no rule allows")
	if new(access.Grant).Valid() {
		t.Error("the zero Grant is valid")
	}
	if grant, err = policy.Decide(mail, "GET", root); err != nil || !grant.Valid() {
		t.Errorf("without a zero value: %v, want a grant", err)
	}
}

// TestAdmit checks that Admit checks the deny list only.
func TestAdmit(t *testing.T) {
	policy := compile(t, schedule(), access.Denied{Client: "social", Reason: "key leaked"})
	closed := compile(t, nil, access.Denied{Client: "*"})
	if err := policy.Admit(client(t, "report")); err != nil {
		t.Errorf("a client without a rule: %v, want no refusal", err)
	}
	for name, err := range map[string]error{
		"denied": policy.Admit(client(t, "social")), "everyone denied": closed.Admit(client(t, "mail")),
		"no client": policy.Admit(identity.Client{}), "no policy": (*access.Policy)(nil).Admit(client(t, "mail")),
	} {
		if refused := refusal.Of(err); refused == nil || refused.Reason != refusal.AccessDenied {
			t.Errorf("%s: %v, want %s", name, err, refusal.AccessDenied)
		}
	}
}
