package simulation_test

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/audit"
	"github.com/certgate/certgate/internal/core/access"
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/tool/simulation"
)

const newRules = `
anchors:
  - {key: 00000000000000bb, clients: ["partner-*"]}
  - {key: 00000000000000cc, identity: uri}
rules:
  - {name: apps, clients: [mail], allow: ["POST /events"]}
  - {name: everybody, clients: ["*"], allow: ["GET /events/{id}"], rate: 5/s}
  - {name: signed, clients: [mail], allow: ["PUT /events/{id}"], proof: require}
  - {name: watched, clients: [mail], allow: ["PATCH /events/{id}"], proof: observe}
deny:
  - {client: leaked}
  - {serial: "0B"}
  - {spki: "sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}
`

// TestReplayDecides checks the decision about one line of each kind: unchanged, or a change
// with both causes, or the cause for which it is not known.
func TestReplayDecides(t *testing.T) {
	t.Parallel()
	allowed := audit.Record{Client: "mail", Auth: "bearer", Method: "POST", Path: "/events", KeyID: "00000000000000aa", Serial: "0a", Rule: "old", Decision: audit.Allowed}
	with := func(change func(*audit.Record)) audit.Record {
		rec := allowed
		change(&rec)
		return rec
	}
	refused := func(reason refusal.Reason, change func(*audit.Record)) audit.Record {
		rec := with(change)
		rec.Decision, rec.Reason = audit.Refused, reason
		return rec
	}
	put := func(rec *audit.Record) { rec.Method, rec.Path = "PUT", "/events/1" }
	withoutRule := func(rec *audit.Record) { rec.Rule = "" }
	const unverified = "unknown: the rules require a signature, and the gateway did not verify signatures of this request"
	tests := []struct {
		name string
		rec  audit.Record
		want string
	}{
		{"allowed by both", allowed, "allowed"},
		{"failed after a rule allowed it", with(func(r *audit.Record) { r.Decision, r.Reason = audit.Failed, refusal.UpstreamFailed }), "allowed"},
		{"rate exceeded", refused(refusal.RateLimited, func(*audit.Record) {}), "allowed"},
		{"no rule now", with(func(r *audit.Record) { r.Client = "social" }), "refuse: old -> access_denied: no rule"},
		{"no rule now, and rate exceeded", refused(refusal.RateLimited, func(r *audit.Record) { r.Client = "social" }), "refuse: old -> access_denied: no rule"},
		{"denied now", with(func(r *audit.Record) { r.Client, r.Method, r.Path = "leaked", "GET", "/events/1" }), "refuse: old -> access_denied: client on the deny list"},
		{"serial denied now", with(func(r *audit.Record) { r.Serial = "0b" }), "refuse: old -> certificate_revoked: serial on the deny list"},
		{"name outside the scope now", with(func(r *audit.Record) { r.KeyID = "00000000000000bb" }), "refuse: old -> identity_out_of_scope"},
		{"name inside the scope", with(func(r *audit.Record) {
			r.KeyID, r.Client, r.Method, r.Path = "00000000000000bb", "partner-a", "GET", "/events/1"
		}), "allowed"},
		{"name of another source", with(func(r *audit.Record) { r.KeyID = "00000000000000cc" }), "unknown: the client's name is in another part of the certificate"},
		{"access_denied by both", refused(refusal.AccessDenied, func(r *audit.Record) { r.Rule, r.Client = "", "social" }), "refused"},
		{"access_denied before", refused(refusal.AccessDenied, withoutRule), "allow: access_denied -> apps"},

		{"signature required now, not verified before", with(put), unverified},
		{"signature required now, verified before", with(func(r *audit.Record) { put(r); r.Auth = "signed" }), "allowed"},
		{"signature required now, mutual TLS", with(func(r *audit.Record) { put(r); r.Auth = "mtls" }), "allowed"},
		{"signature required now, observed before", with(func(r *audit.Record) { put(r); r.WouldRefuse = refusal.ProofExpired }), "refuse: old -> proof_expired"},
		{"signature required by both", refused(refusal.ProofMissing, put), "refused"},
		{"signature not required now", refused(refusal.ProofMissing, func(*audit.Record) {}), "allow: proof_missing -> apps"},
		{"signature observed now", refused(refusal.ProofMissing, func(r *audit.Record) { r.Method, r.Path = "PATCH", "/events/1" }), "allow: proof_missing -> watched"},

		{"revoked by its serial in both", refused(refusal.CertificateRevoked, func(r *audit.Record) { r.Rule, r.Serial = "", "0b" }), "refused"},
		{"revoked for an unknown cause", refused(refusal.CertificateRevoked, withoutRule), "unknown: the certificate was revoked, possibly by its key, which is not in the log"},
		{"name that was not accepted", refused(refusal.IdentityOutOfScope, func(r *audit.Record) { r.Rule, r.Client = "", "" }), "unknown: the log does not have the client's name"},
		{"expired", refused(refusal.CertificateExpired, withoutRule), "undecided"},
		{"no credential", audit.Record{Method: "GET", Path: "/", Decision: audit.Refused, Reason: refusal.CredentialMissing}, "undecided"},
		{"ambiguous path", audit.Record{Method: "GET", Path: "//", Decision: audit.Refused, Reason: refusal.PathAmbiguous}, "undecided"},
		{"served by the gateway itself", with(withoutRule), "undecided"},

		{"path cut in the log", with(func(r *audit.Record) { r.Path = "/events/" + strings.Repeat("a", 300) }), "unknown: the log has only a part of the path or method"},
		{"path of the greatest length", with(func(r *audit.Record) { r.Method, r.Path = "GET", "/events/"+strings.Repeat("a", 248) }), "allowed"},
		{"method cut in the log", with(func(r *audit.Record) { r.Method = strings.Repeat("A", 17) }), "unknown: the log has only a part of the path or method"},
		{"path escaped in the log", with(func(r *audit.Record) { r.Path = "/events/\x80" }), "unknown: the log has only a part of the path or method"},
	}
	rules, log := parse(t, newRules), newGatewayLog()
	for _, test := range tests {
		if found := outcome(t, replay(t, rules, log.line(test.rec))); found != test.want {
			t.Errorf("%s: found %q, want %q", test.name, found, test.want)
		}
	}
	rules.Proof = access.ProofRequire
	if found := outcome(t, replay(t, rules, log.line(allowed))); found != unverified {
		t.Errorf("required by the default: found %q, want %q", found, unverified)
	}
}

// outcome returns the only count of a report.
func outcome(t *testing.T, r simulation.Report) string {
	t.Helper()
	var all []string
	for _, c := range r.Changes {
		all = append(all, fmt.Sprintf("%s: %s -> %s", c.Change, c.Was, c.Now))
	}
	for _, u := range r.Unknown {
		all = append(all, "unknown: "+u.Cause)
	}
	for text, n := range map[string]int{"allowed": r.Allowed, "refused": r.Refused, "undecided": r.Undecided} {
		if n > 0 {
			all = append(all, text)
		}
	}
	if r.Requests != 1 || len(all) != 1 {
		t.Fatalf("want one outcome of one request, found %q of %d", all, r.Requests)
	}
	return all[0]
}

// TestReport checks the rows, their order and their routes, and the totals.
func TestReport(t *testing.T) {
	t.Parallel()
	log := newGatewayLog()
	line := func(id, client, method, path string) string {
		return log.line(audit.Record{RequestID: id, Client: client, Auth: "bearer", Method: method, Path: path, Rule: "old", Decision: audit.Allowed})
	}
	r := replay(t, parse(t, `
rules:
  - {name: apps, clients: [mail], allow: ["POST /events", "GET /events/{id}", "GET /status"], rate: 5/s}
deny: [{serial: "0b"}, {spki: "sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}]
`),
		line("1", "social", "GET", "/events/1"), line("2", "web", "HEAD", "/events/2"), line("3", "social", "GET", "/events/3"),
		line("4", "web", "GET", "/v1/users/17/01a20097-e638-74f5-bd10-61111c7891ea/long-word"), line("5", "web", "GET", "/v1/users/18/0123456789ab/long-word"),
		line("6", "mail", "GET", "/status"), "{}",
	)
	want := []simulation.Change{
		{"refuse", "social", "GET", "/events/{id}", 2, "old", "access_denied: no rule", "1"},
		{"refuse", "web", "GET", "/v1/users/{id}/{id}/long-word", 2, "old", "access_denied: no rule", "4"},
		{"refuse", "web", "HEAD", "/events/{id}", 1, "old", "access_denied: no rule", "2"},
	}
	if !slices.Equal(r.Changes, want) {
		t.Errorf("changes %+v, want %+v", r.Changes, want)
	}
	if r.Requests != 6 || r.Refuse != 5 || r.Allow != 0 || r.Allowed != 1 || r.Rated != 1 || r.KeyDenials != 1 || r.Skipped.Other != 1 {
		t.Errorf("found the totals %+v", r)
	}
	if r.From == "" || r.From > r.To {
		t.Errorf("found the time from %q to %q", r.From, r.To)
	}
}

// TestReportIsBounded checks that many routes of one client, and many clients, are counted in
// rows for others, and that no request is lost.
func TestReportIsBounded(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	requests := 0
	add := func(client, path string) {
		requests++
		fmt.Fprintf(&log, `{"msg":"request","client":"%s","method":"GET","path":"%s","decision":"allowed","rule":"old"}`+"\n", client, path)
	}
	for i := range 300 {
		add("many-routes", fmt.Sprintf("/%c%c", 'a'+i/26, 'a'+i%26))
	}
	for i := range 11_000 {
		add(fmt.Sprintf("client-%d", i), "/a")
	}
	r := simulation.NewReplay(parse(t, `rules: [{name: a, clients: [mail], allow: ["GET /x"]}]`))
	if err := r.Read(&log, proceed); err != nil {
		t.Fatal(err)
	}
	report := r.Report()
	counted, others := 0, map[string]int{}
	for _, c := range report.Changes {
		counted += c.Requests
		if c.Route == simulation.Others {
			others[c.Client] = c.Requests
		}
	}
	if len(report.Changes) != 10_001 || counted != requests || report.Refuse != requests {
		t.Errorf("found %d rows with %d of %d requests, want 10001 rows with all", len(report.Changes), counted, requests)
	}
	if want := (map[string]int{"many-routes": 100, simulation.Others: 11_000 - (10_000 - 201)}); !maps.Equal(others, want) {
		t.Errorf("found rows for others %v, want %v", others, want)
	}
}
