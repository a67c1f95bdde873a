package test

import (
	"cmp"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/core/refusal"
)

const everybodyReadsAndAdds = `rules:
  - name: everybody
    clients: ["*"]
    allow: ["GET /{rest...}", "POST /{rest...}"]
`

// gateway is a running certgate serve.
type gateway struct {
	*process
	addr, admin string
	authz       authz
	upstream    *upstream
}

// authz is where other proxies ask.
type authz struct{ http, grpc string }

// listening is what a process says when it can be asked.
type listening struct {
	Msg       string `json:"msg"`
	Addr      string `json:"addr"`
	AdminAddr string `json:"admin_addr"`
	AuthzAddr string `json:"authz_addr"`
	GRPCAddr  string `json:"authz_grpc_addr"`
}

// ready waits for the process to listen.
func (p *process) ready(t *testing.T) listening {
	t.Helper()
	var l listening
	_, err := p.stderr.line(func(line string) bool {
		l = listening{}
		return json.Unmarshal([]byte(line), &l) == nil && l.Msg == "listening"
	})
	if err != nil {
		t.Fatalf("%s: want it to listen: %v", p.name, err)
	}
	return l
}

// settings are what every gateway of these tests is started with. The tests send
// more bad requests than the guard against a flood lets pass unslowed; those of
// the guard turn it on.
func settings(publicKey string, u *upstream) environment {
	return environment{
		"LISTEN_ADDR":       "127.0.0.1:0",
		"ADMIN_ADDR":        "127.0.0.1:0",
		"AUTH_PUBLIC_KEY":   publicKey,
		"ACCESS_RULES":      everybodyReadsAndAdds,
		"UPSTREAM_URL":      u.url,
		"AUTH_FAILURE_RATE": "0",
		// scripts/check.sh runs the tests a second time without the fast lane.
		"HTTP_FAST_PATH": cmp.Or(os.Getenv("TEST_HTTP_FAST_PATH"), "true"),
	}
}

// serve starts a gateway before u.
func serve(t *testing.T, u *upstream, env environment) *gateway {
	t.Helper()
	p := start(t, "certgate", env, "serve")
	l := p.ready(t)
	return &gateway{p, l.Addr, l.AdminAddr, authz{l.AuthzAddr, l.GRPCAddr}, u}
}

// newGateway is a gateway that trusts m, before an upstream that answers 200.
func newGateway(t *testing.T, m *master, more environment) *gateway {
	t.Helper()
	u := newUpstream(t, nil)
	return serve(t, u, settings(m.publicKey, u).with(more))
}

// auditLine is the log's line on one request.
type auditLine struct {
	Msg       string `json:"msg"`
	Level     string `json:"level"`
	Surface   string `json:"surface"`
	RequestID string `json:"request_id"`
	Client    string `json:"client"`
	Auth      string `json:"auth"`
	Method    string `json:"method"`
	Path      string `json:"path"`
	Decision  string `json:"decision"`
	Reason    string `json:"reason"`
	Detail    string `json:"detail"`
	Rule      string `json:"rule"`
	KeyID     string `json:"key_id"`
	Serial    string `json:"serial"`
	NotAfter  string `json:"not_after"`
	Source    string `json:"source"`
	Upstream  string `json:"upstream"`
	SharedKey bool   `json:"legacy_shared_key"`
	Status    int    `json:"status"`

	WouldRefuse string `json:"would_refuse"`
}

// audit waits for the line that match accepts.
func (g *gateway) audit(t *testing.T, match func(auditLine) bool) auditLine {
	t.Helper()
	var found auditLine
	_, err := g.stderr.line(func(line string) bool {
		found = auditLine{}
		return json.Unmarshal([]byte(line), &found) == nil && found.Msg == "request" && match(found)
	})
	if err != nil {
		t.Fatalf("want an audit line: %v", err)
	}
	return found
}

func (g *gateway) auditOf(t *testing.T, requestID string) auditLine {
	t.Helper()
	return g.audit(t, func(l auditLine) bool { return l.RequestID == requestID })
}

// wantAllowed sends r and wants it at the upstream, once. It returns the header
// that arrived there.
func (g *gateway) wantAllowed(t *testing.T, r request) []string {
	t.Helper()
	a := send(t, g.addr, r)
	if a.status != 200 {
		t.Fatalf("want 200, found %d and %s", a.status, a.body)
	}
	line := g.auditOf(t, a.header.Get("X-Request-Id"))
	if line.Decision != "allowed" || line.Reason != "" || line.Status != 200 {
		t.Errorf("want an allowed request in the log, found %+v", line)
	}
	return g.upstream.wantOne(t)
}

// wantRefused sends r and wants the reason, in the answer and in the log, and
// nothing at the upstream.
func (g *gateway) wantRefused(t *testing.T, r request, reason refusal.Reason) answer {
	t.Helper()
	a := send(t, g.addr, r)
	g.upstream.wantNothing(t)
	g.wantProblem(t, a, reason)
	return a
}

// wantProblem checks the answer to a refused request and its audit line.
func (g *gateway) wantProblem(t *testing.T, a answer, reason refusal.Reason) {
	t.Helper()
	p := a.problem(t)
	want := problem{"urn:certgate:" + string(reason), reason.Title(), p.Detail, reason.Status(), string(reason), p.RequestID}
	if p != want || a.status != reason.Status() {
		t.Errorf("want %+v, found %+v with status %d", want, p, a.status)
	}
	if p.RequestID == "" || a.header.Get("X-Request-Id") != p.RequestID {
		t.Errorf("want the request id in the header, too, found %q and %q", p.RequestID, a.header.Get("X-Request-Id"))
	}
	challenge := a.header.Get("WWW-Authenticate")
	if a.status == 401 && !strings.Contains(challenge, string(reason)) || a.status != 401 && challenge != "" {
		t.Errorf("status %d: want a challenge with 401 and only then, found %q", a.status, challenge)
	}
	if found := a.header.Values("Cache-Control"); !slices.Equal(found, []string{"no-store"}) {
		t.Errorf("want a refusal that no cache keeps, found Cache-Control %q", found)
	}
	line := g.auditOf(t, p.RequestID)
	if line.Reason != string(reason) || line.Status != a.status || line.Decision == "allowed" || line.Detail == "" {
		t.Errorf("want %s with a detail in the log, found %+v", reason, line)
	}
	found, hint, _ := strings.Cut(line.Detail, ". ")
	if strings.Contains(a.body, found) || p.Detail != "" && p.Detail != hint {
		t.Errorf("want of the detail %q a hint in the answer at most, found %q", line.Detail, p.Detail)
	}
}
