package simulation_test

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/audit"
	"github.com/certgate/certgate/internal/core/access"
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/tool/simulation"
)

// FuzzReplay records the decision of rules about any request, as the gateway does, among other
// text. A replay with the same rules finds the request and no change. The same log compressed
// has the same report.
func FuzzReplay(f *testing.F) {
	rules := parse(f, `
rules:
  - {name: apps, clients: [mail], allow: ["POST /events", "GET /events/{id}"]}
  - {name: everybody, clients: ["*"], allow: ["GET /files/{rest...}", "DELETE /{$}"]}
deny: [{client: social}]
`)
	log := newGatewayLog()
	f.Add("mail", "POST", "/events", "not JSON\n{}\n")
	f.Add("social", "GET", "/events/\\x41", "{\"msg\":\"request\"")
	f.Add("web", "DELETEDELETEDELETEDELETE", "/é", strings.Repeat("x", simulation.MaxLine+1))
	f.Fuzz(func(t *testing.T, client, method, target, other string) {
		if strings.Contains(other, "decision") || strings.HasPrefix(other, "\x1f\x8b") {
			t.Skip("other may be a request or compressed")
		}
		rec := audit.Record{RequestID: "id", Client: client, Auth: "bearer", Method: method, Path: audit.PathWithoutQuery(target), Decision: audit.Allowed}
		verdict := rules.Decide(simulation.Request{Client: client, Method: method, Target: target})
		if verdict.Refusal != nil {
			rec.Decision, rec.Reason = audit.Refused, verdict.Refusal.Reason
		}
		if rec.Reason == refusal.IdentityInvalid || rec.Reason == refusal.PathAmbiguous {
			rec.Client, rec.Auth = "", ""
		}
		rec.Rule = verdict.Rule()
		text := other + "\n" + log.line(rec) + "\n"
		report := replay(t, rules, text)
		unknown := 0
		for _, u := range report.Unknown {
			unknown += u.Requests
		}
		if report.Requests != 1 || report.Refuse+report.Allow != 0 || report.Allowed+report.Refused+report.Undecided+unknown != 1 {
			t.Fatalf("found %+v for %s", report, text)
		}
		if _, err := access.ParseTarget(target); err == nil && len(target) <= 256 && len(method) <= 16 && isPrintable(method) && rec.Client != "" && unknown != 0 {
			t.Fatalf("want a decision about %q %q, found %+v", method, target, report.Unknown)
		}
		p := simulation.NewReplay(rules)
		if err := p.Read(bytes.NewReader(compressed(t, text)), proceed); err != nil {
			t.Fatal(err)
		}
		if compressed := p.Report(); !reflect.DeepEqual(compressed, report) {
			t.Fatalf("plain log %+v, compressed log %+v, want the same", report, compressed)
		}
	})
}

// isPrintable reports whether the log has the text unchanged, and without a backslash.
func isPrintable(text string) bool {
	return strings.IndexFunc(text, func(r rune) bool { return r < ' ' || r > '~' || r == '\\' }) < 0
}
