package access_test

import (
	"bufio"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/certgate/certgate/internal/core/access"
	"github.com/certgate/certgate/internal/core/identity"
)

// Patterns have the meaning of net/http.ServeMux, so these tests compare each pattern with a
// ServeMux that has only this pattern.

// muxMatches reports whether a ServeMux with only this pattern calls the handler for the
// request. A redirect does not count.
func muxMatches(t rapid.TB, pattern, method, target string) bool {
	t.Helper()
	request, err := http.ReadRequest(bufio.NewReader(strings.NewReader(method + " " + target + " HTTP/1.1\r\nHost: schedule\r\n\r\n")))
	if err != nil {
		t.Fatalf("net/http refuses the accepted target %q: %v", target, err)
	}
	matched := false
	mux := http.NewServeMux()
	mux.HandleFunc(pattern, func(http.ResponseWriter, *http.Request) { matched = true })
	mux.ServeHTTP(httptest.NewRecorder(), request)
	return matched
}

func rule(name string, patterns ...string) access.Rule {
	return access.Rule{Name: name, Clients: []string{"mail"}, Allow: patterns}
}

func genPattern(t *rapid.T) string {
	var b strings.Builder
	b.WriteString(rapid.SampledFrom([]string{"GET", "HEAD", "POST"}).Draw(t, "method"))
	b.WriteByte(' ')
	for i := range rapid.IntRange(0, 4).Draw(t, "depth") {
		literal := rapid.SampledFrom([]string{"a", "b", "a.b", "%61", "a b", "a%20b", "é", "100%", "a;b", "", ""})
		if s := literal.Draw(t, "literal"); s != "" {
			b.WriteString("/" + s)
		} else {
			fmt.Fprintf(&b, "/{w%d}", i)
		}
	}
	end := rapid.SampledFrom([]string{"", "/", "/{$}", "/{rest...}"}).Draw(t, "end")
	if strings.HasSuffix(b.String(), " ") && end == "" {
		end = "/"
	}
	return b.String() + end
}

func genTarget(t *rapid.T) string {
	segment := rapid.SampledFrom([]string{"a", "b", "%61", "c", "a.b", "a%20b", "%C3%A9", "100%25", "a;b", "{w0}", "%7Bw0%7D", "$", "A"})
	target := "/" + strings.Join(rapid.SliceOfN(segment, 0, 5).Draw(t, "segments"), "/")
	if target != "/" {
		target += rapid.SampledFrom([]string{"", "/"}).Draw(t, "slash")
	}
	return target + rapid.SampledFrom([]string{"", "?", "?a=/b/"}).Draw(t, "query")
}

// TestMatchesLikeServeMux compares random patterns and targets with ServeMux.
func TestMatchesLikeServeMux(t *testing.T) {
	mail := client(t, "mail")
	rapid.Check(t, func(t *rapid.T) {
		pattern, raw := genPattern(t), genTarget(t)
		method := rapid.SampledFrom([]string{"GET", "HEAD", "POST"}).Draw(t, "request method")
		policy, err := access.Compile([]access.Rule{rule("r", pattern)}, nil)
		if err != nil {
			t.Fatalf("Compile: %v", err)
		}
		agree(t, policy, mail, pattern, method, raw)
	})
}

// agree compares the policy, which has only this pattern, with ServeMux.
func agree(t rapid.TB, policy *access.Policy, mail identity.Client, pattern, method, raw string) {
	t.Helper()
	parsed, err := access.ParseTarget(raw)
	if err != nil {
		return
	}
	grant, _ := policy.Decide(mail, method, parsed)
	if want := muxMatches(t, pattern, method, raw); grant.Valid() != want {
		t.Fatalf("pattern %q, request %q %q: granted %v, ServeMux matches %v", pattern, method, raw, grant.Valid(), want)
	}
}

// TestGrantsByFirstMatchingRule checks that a grant has the first rule with a pattern that
// ServeMux matches. The compiled rules lack those that Compile refuses as without effect,
// so the test also checks that they have none.
func TestGrantsByFirstMatchingRule(t *testing.T) {
	mail := client(t, "mail")
	rapid.Check(t, func(t *rapid.T) {
		var rules []access.Rule
		for i := range rapid.IntRange(1, 12).Draw(t, "rules") {
			rules = append(rules, rule(fmt.Sprintf("r%d", i), genPattern(t), genPattern(t)))
		}
		policy := compileUseful(t, rules)
		raw := genTarget(t)
		method := rapid.SampledFrom([]string{"GET", "HEAD", "POST"}).Draw(t, "request method")
		parsed, err := access.ParseTarget(raw)
		if err != nil {
			t.Fatalf("ParseTarget: %v", err)
		}
		want := ""
		if i := slices.IndexFunc(rules, func(r access.Rule) bool {
			return slices.ContainsFunc(r.Allow, func(p string) bool { return muxMatches(t, p, method, raw) })
		}); i >= 0 {
			want = rules[i].Name
		}
		grant, err := policy.Decide(mail, method, parsed)
		if grant.Rule() != want {
			t.Fatalf("%s %s: rule %q (%v), want %q of %v", method, raw, grant.Rule(), err, want, rules)
		}
	})
}

func compileUseful(t *rapid.T, rules []access.Rule) *access.Policy {
	rules = slices.Clone(rules)
	for {
		policy, err := access.Compile(rules, nil)
		if err == nil {
			return policy
		}
		fault, ok := errors.AsType[*access.RuleError](err)
		if !ok || fault.Field != "" {
			t.Fatalf("Compile: %v", err)
		}
		rules = slices.Delete(rules, fault.Index, fault.Index+1)
	}
}

// FuzzServeMux checks that ServeMux accepts every pattern that Compile accepts, and that
// both match the same targets.
func FuzzServeMux(f *testing.F) {
	for _, seed := range [][3]string{
		{"GET /a/{x}", "HEAD", "/a/b"},
		{"GET /a/", "GET", "/a"},
		{"GET /a/{$}", "GET", "/a/"},
		{"POST /{r...}", "POST", "/"},
		{"GET /é/100%", "GET", "/%c3%a9/100%25"},
		{"GET  /a b", "GET", "/a%20b?x"},
		{"GET /%zz%41", "GET", "/%25zz%2541"},
	} {
		f.Add(seed[0], seed[1], seed[2])
	}
	mail := client(f, "mail")
	f.Fuzz(func(t *testing.T, pattern, method, raw string) {
		policy, err := access.Compile([]access.Rule{rule("r", pattern)}, nil)
		if err != nil {
			return
		}
		http.NewServeMux().HandleFunc(pattern, http.NotFound) // panics if it refuses the pattern
		if !slices.Contains([]string{"GET", "HEAD", "POST", "PUT", "OPTIONS"}, method) {
			method = "GET"
		}
		agree(t, policy, mail, pattern, method, raw)
	})
}
