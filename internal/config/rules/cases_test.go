package rules_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/config/rules"
	"github.com/certgate/certgate/internal/core/identity"
)

// TestParseCases checks the values of cases. Every fault has a line in the script
// check_tests of cmd/certgate.
func TestParseCases(t *testing.T) {
	t.Parallel()
	found, err := rules.ParseCases("cases.yaml", []byte(`cases:
  - name: mail adds
    client: mail
    method: POST
    path: /events?x=1
    expect: allow
    rule: apps
  - {name: denied, client: "spiffe://a.example/b", method: get, path: //, expect: refuse, reason: path_ambiguous}
  - {name: 1e3, client: 17, method: GET, path: /, expect: refuse}
`))
	if err != nil {
		t.Fatal(err)
	}
	want := []rules.Case{
		{Line: 2, Name: "mail adds", Client: "mail", Method: "POST", Path: "/events?x=1", Allow: true, Rule: "apps"},
		{Line: 8, Name: "denied", Client: "spiffe://a.example/b", Method: "get", Path: "//", Reason: "path_ambiguous"},
		{Line: 9, Name: "1e3", Client: "17", Method: "GET", Path: "/"},
	}
	if !slices.Equal(found, want) {
		t.Errorf("cases %+v, want %+v", found, want)
	}
}

// TestParseCasesFaults checks faults of the document as a whole, and aliases, which could give a
// case another meaning than it shows.
func TestParseCasesFaults(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, text, want string }{
		{"empty", "", "c.yaml:1: want the field cases, found nothing"},
		{"null", "~", "c.yaml:1: want the field cases, found nothing"},
		{"a list", "- a", "c.yaml:1: want the field cases, found a list"},
		{"another field", "rules: []", `c.yaml:1: want only the fields cases, found "rules"`},
		{"no case", "cases: []", "c.yaml:1: want a list of at least one case, found none"},
		{"cut off", "cases:", "c.yaml:1: want a list of at least one case, found nothing"},
		{"second document", "cases: []\n---\ncases: []", "c.yaml:2: want one YAML document, found a second"},
		{"alias", "cases:\n - &a {name: a, client: a, method: GET, path: /, expect: allow}\n - *a", "c.yaml:2: want no anchors, found &a"},
		{"null name", "cases: [{name: , client: a, method: GET, path: /, expect: allow}]", "want the name of the case, found nothing"},
		{"expectation in capitals", "cases: [{name: a, client: a, method: GET, path: /, expect: Allow}]", `want allow or refuse, found "Allow"`},
	}
	for _, test := range tests {
		found, err := rules.ParseCases("c.yaml", []byte(test.text))
		if err == nil || !strings.Contains(err.Error(), test.want) || found != nil {
			t.Errorf("%s: found %v, %v, want %s", test.name, found, err, test.want)
		}
	}
}

// FuzzParseCases checks that accepted cases are complete, that their names differ, and that a
// rule or reason belongs to its expectation.
func FuzzParseCases(f *testing.F) {
	f.Add("cases: [{name: a, client: mail, method: GET, path: /, expect: allow, rule: b}]")
	f.Add("cases:\n- name: a\n  client: mail\n  method: GET\n  path: /\n  expect: refuse\n  reason: access_denied\n")
	f.Add("cases: [{name: a, name: b}, &x 1, *x]\n---\n")
	f.Fuzz(func(t *testing.T, text string) {
		cases, err := rules.ParseCases("c.yaml", []byte(text))
		if (err == nil) != (len(cases) > 0) {
			t.Fatalf("found %d cases and %v", len(cases), err)
		}
		seen := map[string]bool{}
		for _, c := range cases {
			if c.Name == "" || seen[c.Name] || c.Method == "" || c.Path == "" || identity.CheckAny(c.Client) != nil || c.Line < 1 || c.Line > 1+strings.Count(text, "\n")+strings.Count(text, "\r") {
				t.Fatalf("found the case %+v", c)
			}
			if c.Allow && c.Reason != "" || !c.Allow && c.Rule != "" {
				t.Fatalf("found the case %+v", c)
			}
			seen[c.Name] = true
		}
	})
}
