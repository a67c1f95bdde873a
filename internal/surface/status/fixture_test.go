package status

import (
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

// now is the time of every status in the tests.
func now() time.Time { return time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC) }

const day = 24 * time.Hour

// sample returns a status with something in every part.
func sample() Status {
	half := 0.42
	return Status{
		Time: now(), Version: "v9.9.9", Commit: "abc123", Started: now().Add(-30 * day), Ready: true,
		Configuration: Configuration{
			Digest: "00d1935700000000",
			Sources: []Source{
				{Name: "keys", Variable: "AUTH_PUBLIC_KEY_FILE", Files: []string{"/etc/certgate/keys.pem"}, Parts: []Part{{"keys", 2, "aaaa000000000001"}}, Loaded: now().Add(-2 * day), Tried: now().Add(-2 * day), Result: "ok"},
				{Name: "rules", Variable: "ACCESS_RULES_FILE", Files: []string{"/etc/certgate/rules.yaml"}, Parts: []Part{{"rules", 2, "aaaa000000000002"}, {"denials", 1, "aaaa000000000003"}}, Loaded: now().Add(-5 * time.Hour), Tried: now().Add(-time.Minute), Result: "failed", Error: "rules.yaml:7: want a pattern, found \"GET\""},
				{Name: "upstream_certificate", Variable: "UPSTREAM_CERT_FILE", Files: []string{"/etc/certgate/gateway.pem", "/etc/certgate/gateway.key"}, Loaded: now().Add(-30 * day), Tried: now().Add(-30 * day), Result: "ok", Expires: now().Add(200 * day)},
			},
			CRLs:     []CRL{{KeyID: "0000000000000002", Count: 12, ThisUpdate: now().Add(-8 * day), NextUpdate: now().Add(-day)}},
			Rules:    []Rule{{Name: "events", Clients: []string{"mail", "social"}, Allow: []string{"GET /events", "POST /events"}, Rate: "200/s", Burst: "400", Proof: "require", Uses: 12345, LastUse: now().Add(-time.Second)}, {Name: "reports", Clients: []string{"*"}, Allow: []string{"GET /reports/{year}"}, Proof: "off"}},
			Deny:     []Denial{{`client "spam"`, "key leaked"}},
			Settings: []Setting{{"LISTEN_ADDR", "listeners", ":8080", true}, {"ADMIN_ADDR", "listeners", "", false}, {"REDIS_URL", "signatures", "redis://redis.internal:6379/0", false}},
		},
		Observation: Observation{Since: now().Add(-30 * day), Replicas: 1},
		Keys: []Key{
			{ID: "0000000000000001", Algorithm: "RSA-2048", Since: now().Add(-30 * day), FirstUse: now().Add(-29 * day), LastUse: now().Add(-9 * day), Clients: 1, ClientNames: []string{"social"}},
			{ID: "0000000000000002", Algorithm: "P-256", Subject: "CN=certgate CA", NotBefore: now().Add(-day), NotAfter: now().Add(300 * day), Since: now().Add(-2 * day), FirstUse: now().Add(-day), LastUse: now(), Clients: 1, ClientNames: []string{"mail"}},
		},
		Clients: []Client{
			{Name: "mail", LastSeen: now().Add(-time.Second), Signed: now(), Bearer: now().Add(-day), Certificates: []Certificate{{Serial: "4f3a09", KeyID: "0000000000000002", NotAfter: now().Add(90 * day)}}, Allowed: 12000, Refused: 3, LastRefusal: now().Add(-time.Hour), LastReason: "access_denied", Rules: []ClientRule{{"events", 12000, &half}}},
			{Name: "social", LastSeen: now().Add(-9 * day), Bearer: now().Add(-9 * day), Certificates: []Certificate{{Serial: "17", KeyID: "0000000000000001", NotAfter: now().Add(5 * day), SharedKey: true}}, Allowed: 345},
		},
		Refusals: []Refusal{
			{Time: now().Add(-time.Hour), RequestID: "8d3b2e89c10503ed", Client: "mail", Source: "192.0.2.7", Method: "DELETE", Path: "/events/1", Status: 403, Reason: "access_denied", Detail: `no rule allows client "mail" to DELETE /events/1`},
			{Time: now().Add(-2 * time.Hour), RequestID: "77aa", TraceID: "0af7651916cd43dd8448eb211c80319c", SpanID: "b7ad6b7169203331", Source: "192.0.2.9", Method: "GET", Path: "/", Status: 401, Reason: "credential_missing"},
		},
		NextRules: &NextRules{Since: now().Add(-3 * time.Hour), Changes: []NextChange{
			{Client: "social", Change: "refuse", Requests: 1234, Last: now().Add(-time.Minute), RequestID: "19aa", Method: "POST", Path: "/events"},
			{Client: "web", Change: "allow", Requests: 2, Last: now().Add(-time.Hour), RequestID: "20bb", Method: "GET", Path: "/"},
		}, Dropped: 7},
		Upstream: []Address{{Name: "schedule:8081", Up: true, InFlight: 3, Attempts: 512, Median: 0.0012, P99: 0.034}, {Name: "schedule:8082", Failures: 5}},
		Limits:   []Limit{{"certgate_upstream_requests_in_flight", "", 3, 1024}, {"certgate_connections", "public", 9000, 10000}},
		Redis:    &Redis{Server: "redis://redis.internal:6379/0", Up: true},
	}
}

// withClients returns a sample with n clients, sorted by name.
func withClients(n int) Status {
	s := sample()
	template := s.Clients
	s.Clients = nil
	for i := range n {
		c := template[0]
		if i%50 == 0 {
			c = template[1]
		}
		c.Name = fmt.Sprintf("team-%d/service-%d", i%100, i)
		s.Clients = append(s.Clients, c)
	}
	slices.SortFunc(s.Clients, func(a, b Client) int { return strings.Compare(a.Name, b.Name) }) // as the inventory is
	return s
}

// get returns the response of the page or of the JSON.
func get(tb testing.TB, s func() Status, target string) *httptest.ResponseRecorder {
	tb.Helper()
	h, res := New(s), httptest.NewRecorder()
	r := httptest.NewRequestWithContext(tb.Context(), "GET", target, nil)
	if r.URL.Path == "/status" {
		h.JSON(res, r)
	} else {
		h.Page(res, r)
	}
	return res
}
