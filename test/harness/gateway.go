package harness

import (
	"cmp"
	"os"
	"sync"
	"testing"
)

// SignatureRequiredOnAddress returns the settings with which every request must be signed
// for the address of the gateway.
func SignatureRequiredOnAddress() Env { return Env{"AUTH_PROOF": "require"} }

// AuthzEnabled holds the settings with which other proxies on loopback may send /verify and
// ext_authz requests.
var AuthzEnabled = Env{"AUTHZ_ADDR": "127.0.0.1:0", "AUTHZ_GRPC_ADDR": "127.0.0.1:0", "AUTHZ_PEERS": "127.0.0.1/32", "TRUSTED_PROXIES": "127.0.0.1/32"}

// AllowAllRules allow every client to GET and POST every path.
const AllowAllRules = `rules:
  - name: everybody
    clients: ["*"]
    allow: ["GET /{rest...}", "POST /{rest...}"]
`

// Gateway is a running certgate serve.
type Gateway struct {
	*Process
	Addr, Admin string
	Authz       AuthzAddrs
	Upstream    *Upstream

	checksAtEnd bool // set by CheckLogAtEnd
	mu          sync.Mutex
	lineChecks  []lineCheck
}

// AuthzAddrs are the addresses of the listeners for /verify and ext_authz.
type AuthzAddrs struct{ HTTP, GRPC string }

// GatewayEnv returns the settings of a gateway that allows every request of a client. The
// failure limit is off, because most tests send more bad requests than it allows without
// delay.
func GatewayEnv(publicKey string, u *Upstream) Env {
	return Env{
		"LISTEN_ADDR":       "127.0.0.1:0",
		"ADMIN_ADDR":        "127.0.0.1:0",
		"AUTH_PUBLIC_KEY":   publicKey,
		"ACCESS_RULES":      AllowAllRules,
		"UPSTREAM_URL":      u.URL,
		"AUTH_FAILURE_RATE": "0",
		// scripts/check.sh runs the tests a second time with net/http only.
		"HTTP_FAST_PATH": cmp.Or(os.Getenv("TEST_HTTP_FAST_PATH"), "true"),
	}
}

// StartGateway starts a gateway that forwards to u.
func StartGateway(t *testing.T, u *Upstream, env Env) *Gateway {
	t.Helper()
	p := Start(t, "certgate", env, "serve")
	l := p.WaitListening(t)
	return &Gateway{Process: p, Addr: l.Addr, Admin: l.AdminAddr, Authz: AuthzAddrs{l.AuthzAddr, l.GRPCAddr}, Upstream: u}
}

// NewGateway starts a gateway that trusts m, with an upstream that responds with 200.
func NewGateway(t *testing.T, m *MasterKey, more Env) *Gateway {
	t.Helper()
	u := NewUpstream(t, nil)
	return StartGateway(t, u, GatewayEnv(m.PublicKey, u).With(more))
}

// SignatureRequired returns the settings with which every request must be signed for
// app.example.
func SignatureRequired() Env {
	return Env{"AUTH_PROOF": "require", "PUBLIC_AUTHORITY": "app.example"}
}

// SendAdmin sends a request to the operator's port, which accepts its own names only.
func (g *Gateway) SendAdmin(t *testing.T, r Request) Response {
	t.Helper()
	r.Host = "localhost"
	return Send(t, g.Admin, r)
}
