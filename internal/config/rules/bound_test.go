package rules_test

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/config/rules"
	"github.com/certgate/certgate/internal/core/access"
	"github.com/certgate/certgate/internal/core/identity"
)

// TestFaultsAreLimited checks that the first 20 faults are reported in the order of
// lines, with the number of further faults.
func TestFaultsAreLimited(t *testing.T) {
	for _, tt := range []struct{ name, text, last string }{
		{"found while reading", "rules:\n" + strings.Repeat("  - x\n", 50), "r: 30 more faults"},
		{"found by the deny list", rule("deny:\n" + strings.Repeat("  - serial: x\n", 21)), "r: 1 more faults"},
		{"20", rule("deny:\n" + strings.Repeat("  - serial: x\n", 20)), `r:25: want a serial number in hex such as 4f3a09, found "x"`},
		{"late ones before early ones", rule("deny:\n" + strings.Repeat("  - serial: x\n", 20) + "  - cliant: x\n"), "r: 1 more faults"},
	} {
		_, err := rules.Parse("r", []byte(tt.text), identity.OU)
		lines := strings.Split(fmt.Sprint(err), "\n")
		if len(lines) < rules.MaxFaults || len(lines) > rules.MaxFaults+1 || lines[len(lines)-1] != tt.last {
			t.Errorf("%s: want %q at the end, found %d faults:\n%v", tt.name, tt.last, len(lines), err)
		}
		var places []int
		for _, e := range errorsOf(err)[:rules.MaxFaults] {
			if fault, ok := errors.AsType[*rules.Error](e); ok {
				places = append(places, fault.Line)
			}
		}
		for i := range places[1:] {
			if places[i+1] != places[0]+i+1 {
				t.Errorf("%s: want the first faults in the order of lines, found %v", tt.name, places)
				break
			}
		}
	}
}

func errorsOf(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	return []error{err}
}

// TestMemoryIsLimited checks that a faulty text of 8 MiB with too many elements is
// refused before it is parsed, and that parsing the largest number of elements has a
// limited cost, including the faults.
func TestMemoryIsLimited(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: this test parses files of 8 MiB")
	}
	const size = 8 << 20
	fill := func(piece string, size int) string { return strings.Repeat(piece, size/len(piece)) }
	shapes := map[string]struct{ before, piece string }{
		"items of one letter":           {"rules: [", "a,"},
		"mappings in one line":          {"rules: [", "{},"},
		"entries without value":         {"rules:\n", "-\n"},
		"nested entries":                {"rules:\n", "- - - - - - - - a\n"},
		"entries, carriage returns":     {"rules:\n", "-\r"},
		"entries, line separators":      {"rules:\n", "-\u2028"},
		"unknown fields":                {"", "a:\n"},
		"fields, carriage returns":      {"", "a:\r"},
		"empty clients":                 {"rules:\n- name: a\n  allow: [GET /]\n  clients: [", "'',"},
		"clients that cannot be":        {"rules:\n- name: a\n  allow: [GET /]\n  clients: [", "' ',"},
		"serial numbers that cannot be": {rule("deny:\n"), "- serial: x\n"},
	}
	const elements = 500_000 // the limit
	for name, s := range shapes {
		perPiece := strings.Count(s.piece, "\n") + strings.Count(s.piece, ",") + strings.Count(s.piece, "{") +
			strings.Count(s.piece, "-") + strings.Count(s.piece, ":")
		for what, test := range map[string]struct {
			text string
			most uint64
		}{
			"8 MiB":             {s.before + fill(s.piece, size), 1 << 20},
			"just small enough": {s.before + strings.Repeat(s.piece, (elements-20)/perPiece), 450 << 20},
		} {
			allocated := allocatedBy(func() {
				if _, err := rules.Parse("r", []byte(test.text), identity.OU); err == nil {
					t.Errorf("%s, %s: want faults", name, what)
				} else if len(err.Error()) > 10_000 {
					t.Errorf("%s, %s: want a short error, found %d bytes", name, what, len(err.Error()))
				}
			}) - uint64(len(test.text))
			t.Logf("%s, %s: %d MiB", name, what, allocated>>20)
			if allocated > test.most {
				t.Errorf("%s, %s: want at most %d MiB allocated, found %d", name, what, test.most>>20, allocated>>20)
			}
		}
	}
}

// allocatedBy returns the number of bytes that f allocates, including freed memory.
func allocatedBy(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestManyRules checks that the limit admits far more rules than installations use.
func TestManyRules(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: this test parses 20,000 rules")
	}
	var b strings.Builder
	b.WriteString("rules:\n")
	for i := range 20_000 {
		fmt.Fprintf(&b, "  - name: rule-%d\n    clients: [client-%d, mail]\n    allow: [\"GET /events/%d\", \"POST /events/%d\"]\n", i, i, i, i)
	}
	if doc, err := rules.Parse("r", []byte(b.String()), identity.OU); err != nil || doc.RuleCount != 20_000 {
		t.Errorf("want 20,000 rules, found %d and %v", doc.RuleCount, err)
	}
}

// TestDigests checks that the digest of the rules depends only on their meaning, and
// that the deny list has a canonical form.
func TestDigests(t *testing.T) {
	parse := func(text string) rules.Document {
		t.Helper()
		doc, err := rules.Parse("r", []byte(text), identity.OU)
		if err != nil {
			t.Fatal(err)
		}
		return doc
	}
	base := parse(rule(""))
	for name, text := range map[string]string{
		"comment":   "# rules\n" + rule(""),
		"quotes":    strings.Replace(rule(""), "[mail]", "['mail']", 1),
		"deny list": rule("deny: [{client: social}]\n"),
	} {
		if found := parse(text).RulesDigest; found != base.RulesDigest || len(found) != 64 {
			t.Errorf("%s: want the same digest, found %q and %q", name, base.RulesDigest, found)
		}
	}
	for name, text := range map[string]string{
		"name":           strings.Replace(rule(""), "name: r", "name: s", 1),
		"client":         strings.Replace(rule(""), "[mail]", "[web]", 1),
		"two clients":    strings.Replace(rule(""), "[mail]", "[mail, web]", 1),
		"pattern":        strings.Replace(rule(""), "/a", "/b", 1),
		"method":         strings.Replace(rule(""), "GET", "POST", 1),
		"rate":           rule("    rate: 1/s\n"),
		"rate and burst": rule("    rate: 1/s\n    burst: 2\n"),
		"proof":          rule("    proof: require\n"),
		"another rule":   rule("  - {name: s, clients: [mail], allow: [GET /b]}\n"),
	} {
		if parse(text).RulesDigest == base.RulesDigest {
			t.Errorf("%s: want another digest", name)
		}
	}
	denied := parse(rule("deny:\n  - serial: '4F:3A:09'\n  - client: social\n    reason: leaked\n  - client: mail\n  - certificate: " +
		strings.Repeat("E3", 32) + "\n  - client: social\n  - serial: 004f3a09\n  - spki: sha256/" + strings.Repeat("A", 43) + "=\n"))
	want := []string{
		"certificate " + strings.Repeat("e3", 32), `client "mail"`, `client "social"`, "serial 4f3a09", "spki sha256/" + strings.Repeat("A", 43) + "=",
	}
	if !slices.Equal(denied.Denials, want) {
		t.Errorf("denials %q, want %q", denied.Denials, want)
	}
}

// TestDocumentDisplay checks what a document tells operators about rules and deny list.
func TestDocumentDisplay(t *testing.T) {
	doc, err := rules.Parse("rules.yaml", []byte(`groups:
  apps: [mail, social]
rules:
  - {name: events, clients: ["@apps", calendar], allow: ["GET /events"], rate: 20/s, burst: 40, proof: require}
deny:
  - {client: social, reason: key leaked}
  - {client: social, reason: second entry}
  - {serial: "4F:3A", reason: laptop lost}
  - {client: mail}
`), identity.OU)
	if err != nil {
		t.Fatal(err)
	}
	want := []access.Rule{{Name: "events", Clients: []string{"mail", "social", "calendar"}, Allow: []string{"GET /events"}, Rate: "20/s", Burst: "40", Proof: "require"}}
	if !reflect.DeepEqual(doc.Rules, want) {
		t.Errorf("rules %+v, want %+v", doc.Rules, want)
	}
	reasons := map[string]string{`client "social"`: "key leaked", "serial 4f3a": "laptop lost", `client "mail"`: ""}
	if !maps.Equal(doc.Reasons, reasons) {
		t.Errorf("reasons %q, want %q", doc.Reasons, reasons)
	}
	if denials := []string{`client "mail"`, `client "social"`, "serial 4f3a"}; !slices.Equal(doc.Denials, denials) {
		t.Errorf("denials %q, want %q", doc.Denials, denials)
	}
}
