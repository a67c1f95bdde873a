package rules_test

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/config/rules"
	"github.com/certgate/certgate/internal/core/identity"
)

const example = `# the articles' system
rules:
  - name: apps-add-events
    clients: [mail, social]
    allow: ["POST /events"]
  - name: dashboards-read
    clients:
      - web-client
    allow:
      - GET /events
      - GET /events/{id}
deny:
  - client: social
    reason: key leaked 2026-11-02
  - serial: "4f3a09"
  - spki: "sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
  - certificate: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
`

func TestParse(t *testing.T) {
	tests := []struct {
		name       string
		text       string
		rule, deny int
	}{
		{"the example", example, 2, 4},
		{"carriage returns", strings.ReplaceAll(example, "\n", "\r\n"), 2, 4},
		{"byte order mark", "\ufeff" + example, 2, 4},
		{"document markers", "---\n" + example + "...\n", 2, 4},
		{"comments behind the end", example + "...\n# end\n", 2, 4},
		{"flow style, which is JSON", `{"rules": [{"name": "r", "clients": ["*"], "allow": ["GET /"]}]}`, 1, 0},
		{"deny as an empty list", rule("") + "deny: []\n", 1, 0},
		{"serial that is an integer to YAML", rule("") + "deny: [{serial: 123}]\n", 1, 1},
		{"serial that is a float to YAML", rule("") + "deny: [{serial: 1e5}]\n", 1, 1},
		{"serial with colons", rule("") + "deny:\n  - serial: 4f:3a:09\n", 1, 1},
		{"certificate that is an integer to YAML", rule("") + "deny: [{certificate: " + strings.Repeat("12", 32) + "}]\n", 1, 1},
		{"certificate in capitals, with colons", rule("") + "deny:\n  - certificate: " + strings.Repeat("E3:", 31) + "B0\n", 1, 1},
		{"reason without value", rule("") + "deny:\n  - client: mail\n    reason:\n", 1, 1},
		{"client that is a boolean to YAML", strings.Replace(rule(""), "mail", "yes", 1), 1, 0},
		{"name that is a date to YAML", strings.Replace(rule(""), "name: r", "name: 2026-11-02", 1), 1, 0},
		{"rate", rule("    rate: 200/s\n"), 1, 0},
		{"rate and burst, quoted", rule("    rate: '200/m'\n    burst: \"400\"\n"), 1, 0},
		{"rate behind burst", rule("    burst: 1\n    rate: 1/h\n"), 1, 0},
		{"proof required", rule("    proof: require\n"), 1, 0},
		{"proof behind a rate", rule("    rate: 1/h\n    proof: observe\n"), 1, 0},
		{"proof that is a boolean to YAML", rule("    proof: off\n"), 1, 0},
		{"deny before rules", "deny: [{client: mail}]\n" + rule(""), 1, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			doc, err := rules.Parse("rules.yaml", []byte(tt.text), identity.OU)
			if err != nil {
				t.Fatalf("Parse: %v", err)
			}
			if doc.RuleCount != tt.rule || doc.DenyCount != tt.deny || doc.Policy == nil || doc.Revocations == nil {
				t.Errorf("Parse = %d rules and %d denied, want %d and %d", doc.RuleCount, doc.DenyCount, tt.rule, tt.deny)
			}
		})
	}
}

// rule returns a valid document of four lines, followed by more.
func rule(more string) string {
	return "rules:\n  - name: r\n    clients: [mail]\n    allow: [GET /a]\n" + more
}

// TestParseFaults parses documents that differ from a valid one in one respect and
// compares all faults.
func TestParseFaults(t *testing.T) {
	edit := func(old, replacement string) string {
		if !strings.Contains(rule(""), old) {
			t.Fatalf("nothing to edit: %q", old)
		}
		return strings.Replace(rule(""), old, replacement, 1)
	}
	tests := []struct {
		name string
		text string
		want []string // "LINE: beginning of the problem"
	}{
		{"nothing", "", []string{"1: want the fields rules and deny, found nothing"}},
		{"blank", " \n\n", []string{"1: want the fields rules and deny, found nothing"}},
		{"only a comment", "# rules\n", []string{"1: want the fields rules and deny, found nothing"}},
		{"empty document", "---\n", []string{"1: want the fields rules and deny, found nothing"}},
		{"a scalar", "allow all\n", []string{`1: want the fields rules and deny, found "allow all"`}},
		{"a list", "- rules\n", []string{"1: want the fields rules and deny, found a list"}},
		{"no rules", "deny: [{client: mail}]\n", []string{"1: want the field rules with a list of at least one rule, found none"}},
		{"rules without value", "deny: []\nrules:\n", []string{"2: want a list of at least one rule, found nothing"}},
		{"empty rules", "\nrules: []\n", []string{"2: want a list of at least one rule, found none"}},
		{"rules as a mapping", "rules: {name: r}\n", []string{"1: want a list of at least one rule, found a mapping"}},

		{"unknown field", rule("allow: all\n"), []string{`5: want only the fields rules, groups, anchors, deny, found "allow"`}},
		{"unknown field of a rule", edit("clients", "client"), []string{`3: want only the fields name, clients, allow, rate, burst, proof, found "client"`}},
		{"field in capitals", edit("name", "Name"), []string{`2: want only the fields name, clients, allow, rate, burst, proof, found "Name"`}},
		{"unknown field of a denied entry", rule("deny:\n  - cliant: mail\n"), []string{`6: want only the fields client, serial, spki, certificate, reason, found "cliant"`}},
		{"repeated field", rule("rules: []\n"), []string{"5: want the field rules once, found it again after line 1"}},
		{"repeated field of a rule", edit("name: r\n", "name: r\n    name: s\n"), []string{"3: want the field name once, found it again after line 2"}},
		{"merge key", rule("<<: {deny: []}\n"), []string{`5: want only the fields rules, groups, anchors, deny, found "<<"`}},
		{"field name that is a list", rule("[deny]: []\n"), []string{"5: want only the fields rules, groups, anchors, deny, found a list"}},

		{"second document", rule("---\n" + rule("")), []string{"5: want one YAML document, found a second"}},
		{"second document that is empty", rule("---\n"), []string{"5: want one YAML document, found a second"}},
		{"second document after an end", rule("...\ndeny: []\n"), []string{"6: want one YAML document, found a second"}},
		{"second document that is broken", rule("---\n[\n"), []string{"7: want YAML: did not find expected node content"}},
		{"no YAML", rule("deny: [\n"), []string{"6: want YAML: did not find expected node content"}},
		{"tab as indentation", rule("deny:\n\t- client: mail\n"), []string{"6: want YAML: found character that cannot start any token"}},
		{"not UTF-8", rule("# caf\xe9\n"), []string{"5: want text in UTF-8, found byte 0xe9"}},
		{"UTF-16", "\xff\xfer\x00", []string{"1: want text in UTF-8, found byte 0xff"}},
		{"NUL", rule("#\x00\n"), []string{"5: want text in UTF-8, found byte 0x00"}},
		{"very deep", strings.Repeat("[", 100_000), []string{"1: want YAML: exceeded max depth"}},

		{"anchor", edit("[mail]", "&apps [mail]"), []string{"3: want no anchors, found &apps"}},
		{"alias", edit("[mail]", "[mail, *apps]"), []string{"3: want YAML: unknown anchor 'apps' referenced"}},
		{"anchor and alias", edit("[mail]", "[&a mail, *a]"), []string{"3: want no anchors, found &a", "3: want the value itself, found the alias *a"}},
		{"anchor at a field's name", rule("&d deny: []\n"), []string{"5: want no anchors, found &d"}},
		{"anchor at a rule", edit("- name", "- &r\n    name"), []string{"2: want no anchors, found &r"}},
		{"anchor at a scalar", edit("name: r", "name: &n r"), []string{"2: want no anchors, found &n"}},
		{"alias of itself", edit("[mail]", "&a [*a]"), []string{"3: want no anchors, found &a"}},
		{"alias bomb", rule(bomb()), []string{`5: want only the fields rules, groups, anchors, deny, found "a0"`, `6: want only`, `7: want only`, `8: want only`, `9: want only`, `10: want only`, `11: want only`, `12: want only`}},
		{"tag", edit("name: r", "name: !!binary cg=="), []string{`2: want no tags, found "!!binary"`}},
		{"tag of a string", edit("name: r", "name: !!str r"), []string{`2: want no tags, found "!!str"`}},
		{"own tag", edit("[mail]", "[!env mail]"), []string{`3: want no tags, found "!env"`}},

		{"rule that is a scalar", edit("- name: r\n", "- r\n  - name: r\n"), []string{`2: want a rule with the fields name, clients and allow, found "r"`}},
		{"rule without value", rule("  -\n"), []string{"5: want a rule with the fields name, clients and allow, found nothing"}},
		{"name missing", edit("name: r\n    ", ""), []string{"2: want a name of 1 to 64 characters, found 0"}},
		{"name without value", edit("name: r", "name:"), []string{"2: want the rule's name, found nothing"}},
		{"name that is null", edit("name: r", "name: ~"), []string{"2: want the rule's name, found nothing"}},
		{"name empty", edit("name: r", `name: ""`), []string{`2: want the rule's name, found ""`}},
		{"name that is a list", edit("name: r", "name: [r]"), []string{"2: want the rule's name, found a list"}},
		{"clients missing", edit("    clients: [mail]\n", ""), []string{"2: want at least one client"}},
		{"clients empty", edit("[mail]", "[]"), []string{"3: want at least one client"}},
		{"clients a scalar", edit("[mail]", "mail"), []string{`3: want a list of client names such as [mail, social], found "mail"`}},
		{"client null", edit("[mail]", "[mail, ~]"), []string{"3: want a list of client names such as [mail, social], found nothing"}},
		{"client a mapping", edit("[mail]", "[{mail: 1}]"), []string{"3: want a list of client names such as [mail, social], found a mapping"}},
		{"client's name", edit("[mail]", "\n      - mail\n      - 'mail '"), []string{`5: client "mail ": want a letter or digit at the end, found ' '`}},
		{"allow missing", edit("    allow: [GET /a]\n", ""), []string{"2: want at least one pattern"}},
		{"allow a scalar", edit("[GET /a]", "GET /a"), []string{`4: want a list of patterns such as ["GET /events"], found "GET /a"`}},
		{"pattern", edit("[GET /a]", "\n      - GET /a\n      - GET a"), []string{`6: pattern "GET a": want a path that begins with "/"`}},
		{"useless rule", rule("  - name: s\n    clients: [mail]\n    allow: [GET /a]\n"), []string{`5: want a rule that grants something new, found only what earlier rules grant, the first of them "r"`}},
		{"name twice", rule("  - clients: [x]\n    name: r\n    allow: [GET /a]\n"), []string{`6: want a name that no other rule has, found "r" again`}},

		{"rate without unit", rule("    rate: 200\n"), []string{`5: want a rate such as 200/s, 200/m or 200/h with a whole number from 1 to 1000000, found "200"`}},
		{"rate in words", rule("    rate: 200 per second\n"), []string{`5: want a rate such as 200/s, 200/m or 200/h with a whole number from 1 to 1000000, found "200 per second"`}},
		{"rate without value", rule("    rate:\n"), []string{"5: want a rate such as 200/s, found nothing"}},
		{"rate a list", rule("    rate: [200/s]\n"), []string{"5: want a rate such as 200/s, found a list"}},
		{"rate twice", rule("    rate: 1/s\n    rate: 2/s\n"), []string{"6: want the field rate once, found it again after line 5"}},
		{"rate of the document", rule("rate: 200/s\n"), []string{`5: want only the fields rules, groups, anchors, deny, found "rate"`}},
		{"burst that is zero", rule("    rate: 200/s\n    burst: 0\n"), []string{`6: want a burst that is a whole number from 1 to 1000000, found "0"`}},
		{"burst that is a float to YAML", rule("    rate: 200/s\n    burst: 4e2\n"), []string{`6: want a burst that is a whole number from 1 to 1000000, found "4e2"`}},
		{"burst without value", rule("    rate: 200/s\n    burst:\n"), []string{"6: want a whole number, found nothing"}},
		{"burst without rate", rule("    burst: 400\n"), []string{"2: want a rate beside burst, found none"}},
		{"burst beside a broken rate", rule("    rate: ~\n    burst: 400\n"), []string{"5: want a rate such as 200/s, found nothing"}},
		{"burst beside a misspelt rate", rule("    rates: 1/s\n    burst: 400\n"), []string{`5: want only the fields name, clients, allow, rate, burst, proof, found "rates"`}},
		{"proof in capitals", rule("    proof: Require\n"), []string{`5: want proof to be require, observe or off, found "Require"`}},
		{"proof that is a boolean", rule("    proof: false\n"), []string{`5: want proof to be require, observe or off, found "false"`}},
		{"proof without value", rule("    proof:\n"), []string{"5: want require, observe or off, found nothing"}},
		{"proof empty", rule("    proof: ''\n"), []string{`5: want require, observe or off, found ""`}},
		{"proof a list", rule("    proof: [require]\n"), []string{"5: want require, observe or off, found a list"}},
		{"proof twice", rule("    proof: off\n    proof: require\n"), []string{"6: want the field proof once, found it again after line 5"}},
		{"proof of the document", rule("proof: require\n"), []string{`5: want only the fields rules, groups, anchors, deny, found "proof"`}},
		{"rule that differs in proof only", rule("    proof: require\n  - name: s\n    clients: [mail]\n    allow: [GET /a]\n    proof: off\n"), []string{"6: want a rule that grants something new, found only what earlier rules grant"}},
		{"rate and burst, both wrong", rule("    burst: -1\n    rate: -1/s\n"), []string{`5: want a burst that is a whole number from 1 to 1000000, found "-1"`, `6: want a rate such as`}},

		{"deny without value", rule("deny:\n"), []string{"5: want at least one entry below deny, or deny: [] for none, found nothing"}},
		{"deny without value, before rules", "deny:\n" + rule(""), []string{"1: want at least one entry below deny"}},
		{"deny with its entries in comments", rule("deny:\n  # - client: social\n"), []string{"5: want at least one entry below deny"}},
		{"deny that is null", rule("deny: ~\n"), []string{"5: want at least one entry below deny"}},
		{"deny with an anchor and without value", rule("deny: &d\n"), []string{"5: want no anchors, found &d"}},
		{"deny a scalar", rule("deny: mail\n"), []string{`5: want a list of clients, serials, spkis and certificates to deny, found "mail"`}},
		{"denied scalar", rule("deny: [mail]\n"), []string{`5: want an entry with one of the fields client, serial, spki and certificate, found "mail"`}},
		{"denied reason only", rule("deny:\n  - reason: x\n"), []string{"6: want exactly one of the fields client, serial, spki and certificate, found 0"}},
		{"denied client and serial", rule("deny:\n  - client: mail\n    serial: 4f\n"), []string{"6: want exactly one of the fields client, serial, spki and certificate, found 2"}},
		{"denied serial and spki", rule("deny:\n  - serial: 4f\n    spki: sha256/x\n"), []string{"6: want exactly one of the fields client, serial, spki and certificate, found 2"}},
		{"denied client without value", rule("deny:\n  - client:\n"), []string{"6: want a client's name, found nothing"}},
		{"denied client's name", rule("deny:\n  - reason: x\n    client: .mail\n"), []string{`7: client ".mail": want a letter or digit at the beginning`}},
		{"denied serial", rule("deny:\n  - reason: x\n    serial: 4g\n"), []string{`7: want a serial number in hex such as 4f3a09, found "4g"`}},
		{"denied serial empty", rule("deny:\n  - serial: ''\n"), []string{`6: want a serial number in hex such as 4f3a09, found ""`}},
		{"denied spki", rule("deny:\n  - client: x\n  - spki: sha256/AAAA\n"), []string{`7: want sha256/ and the base64 of 32 bytes, found "sha256/AAAA"`}},
		{"denied spki and certificate", rule("deny:\n  - spki: sha256/x\n    certificate: e3\n"), []string{"6: want exactly one of the fields client, serial, spki and certificate, found 2"}},
		{"denied client and certificate", rule("deny:\n  - client: mail\n    certificate: e3\n"), []string{"6: want exactly one of the fields client, serial, spki and certificate, found 2"}},
		{"denied certificate too short", rule("deny:\n  - reason: x\n    certificate: " + strings.Repeat("e3", 31) + "\n"), []string{`7: want the SHA-256 of the signed part of a certificate, 64 hex digits as certgate inspect shows them, found "e3e3`}},
		{"denied certificate too long", rule("deny:\n  - certificate: " + strings.Repeat("e3", 33) + "\n"), []string{`6: want the SHA-256 of the signed part of a certificate, 64 hex digits as certgate inspect shows them, found "e3e3`}},
		{"denied certificate no hex", rule("deny:\n  - certificate: " + strings.Repeat("e3", 31) + "g0\n"), []string{`6: want the SHA-256 of the signed part of a certificate, 64 hex digits as certgate inspect shows them, found "e3e3`}},
		{"denied certificate without value", rule("deny:\n  - certificate:\n"), []string{"6: want the SHA-256 of the signed part of a certificate, 64 hex digits, found nothing"}},
		{"denied certificate a list", rule("deny:\n  - certificate: [e3]\n"), []string{"6: want the SHA-256 of the signed part of a certificate, 64 hex digits, found a list"}},
		{"reason that is a list", rule("deny:\n  - client: mail\n    reason: [x]\n"), []string{"7: want the reason, found a list"}},

		{"every fault at once", "rules:\n  - name: r\n    clients: [mail, ' x']\n    allow: [GET]\n    rate: 0/s\n    proof: on\n  - name: r\n    clients: x\n    allow: [GET /]\n    more: 1\ndeny:\n  - serial: zz\n  - client: ''\n  - spki: q\n  - {}\n  - certificate: q\n", []string{
			`3: client " x": want a letter or digit at the beginning`,
			`4: pattern "GET": want a path`,
			"5: want a rate such as",
			`6: want proof to be require, observe or off, found "on"`,
			"7: want a name that no other rule has",
			"8: want a list of client names",
			`10: want only the fields name, clients, allow, rate, burst, proof, found "more"`,
			"12: want a serial number",
			"13: want a client's name",
			"14: want sha256/",
			"15: want exactly one of the fields",
			"16: want the SHA-256 of the signed part",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			doc, err := rules.Parse("rules.yaml", []byte(tt.text), identity.OU)
			if err == nil {
				t.Fatal("Parse: no error")
			}
			if !reflect.DeepEqual(doc, rules.Document{}) {
				t.Errorf("an error came with %+v", doc)
			}
			lines := strings.Split(err.Error(), "\n")
			if len(lines) != len(tt.want) {
				t.Fatalf("Parse: %d faults, want %d:\n%v", len(lines), len(tt.want), err)
			}
			for i, want := range tt.want {
				if !strings.HasPrefix(lines[i], "rules.yaml:"+want) {
					t.Errorf("fault %q\nwant  %q", lines[i], "rules.yaml:"+want)
				}
			}
		})
	}
}

// bomb expands to 10⁷ words if aliases are expanded.
func bomb() string {
	var b strings.Builder
	b.WriteString("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n")
	for i := 1; i < 8; i++ {
		fmt.Fprintf(&b, "a%d: &a%d [%s*a%d]\n", i, i, strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 9), i-1)
	}
	return b.String()
}

// TestParseErrorType checks that a caller can inspect the faults.
func TestParseErrorType(t *testing.T) {
	_, err := rules.Parse("ACCESS_RULES", []byte(rule("deny: [{serial: zz}]\n")), identity.OU)
	fault, ok := errors.AsType[*rules.Error](err)
	if !ok {
		t.Fatalf("Parse: %v is no *rules.Error", err)
	}
	want := rules.Error{Name: "ACCESS_RULES", Line: 5, Problem: `want a serial number in hex such as 4f3a09, found "zz"`}
	if *fault != want {
		t.Errorf("error %+v, want %+v", *fault, want)
	}
}

// TestErrorsQuoteLittle checks that no error contains a long part of the document, which
// may be a secret if the operator sets a wrong file name.
func TestErrorsQuoteLittle(t *testing.T) {
	long := strings.Repeat("s", 500)
	for _, text := range []string{
		long,
		long + ": 1\n",
		"? " + long + "\n: 1\n",
		"'" + long,
		"*" + long,
		"rules: " + long,
		"rules: &" + long + " []",
		"rules: !" + long + " []",
		"rules: [*" + long + "]",
		"rules: [" + long + "]",
		"rules: [{" + long + ": 1}]",
		rule("  - {name: " + long + ", clients: [" + long + "], allow: [GET " + long + ", " + long + "], rate: " + long + ", burst: " + long + ", proof: " + long + "}\n"),
		rule("  - {name: s, clients: [*" + long + "], allow: [GET /{" + long + "}{, 'GET /../" + long + "']}\n"),
		rule("deny: [{client: " + long + "}, {serial: " + long + "}, {spki: " + long + "}, {certificate: " + long + "}, {" + long + ": x}]\n"),
	} {
		_, err := rules.Parse("rules.yaml", []byte(text), identity.OU)
		if err == nil {
			t.Errorf("%.60q: no error", text)
			continue
		}
		for line := range strings.SplitSeq(err.Error(), "\n") {
			if n := strings.Count(line, "s"); n > 80+20 { // the error's own text contains some
				t.Errorf("%.60q: %q", text, line)
			}
		}
	}
}

// FuzzParse parses any text. Parse must not panic, an accepted document has a rule, a
// second call has the same result, and every error has an existing line.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		example, rule(""), "", "---\n---\n", "rules: [{}]\n", rule("deny: [{serial: 1e5}]\n"), bomb(), "rules: &a [*a]", "? [a]\n: {}\n", "rules: !!set {a}\n",
		rule("    rate: 200/s\n    burst: 400\n"), rule("    rate: 1e3/h\n"), rule("    burst: 1\n"),
		rule("    proof: require\n"), rule("    proof: off\n    rate: 1/s\n"), rule("    proof: no\n"),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		doc, err := rules.Parse("f", text, identity.OU)
		again, errAgain := rules.Parse("f", text, identity.OU)
		if fmt.Sprint(err) != fmt.Sprint(errAgain) || doc.RuleCount != again.RuleCount || doc.DenyCount != again.DenyCount {
			t.Fatalf("%q is read in two ways: %v, then %v", text, err, errAgain)
		}
		if err == nil {
			if doc.RuleCount < 1 || doc.Policy == nil || doc.Revocations == nil {
				t.Fatalf("%q is accepted as %+v", text, doc)
			}
			return
		}
		fault, ok := errors.AsType[*rules.Error](err)
		if !ok || fault.Line < 1 || fault.Line > len(text)+1 || !reflect.DeepEqual(doc, rules.Document{}) {
			t.Fatalf("%q: %v", text, err)
		}
	})
}
