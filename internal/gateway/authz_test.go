package gateway

import (
	"errors"
	"io"
	"maps"
	"net/http"
	"os"
	"strings"
	"testing"

	auth "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/certgate/certgate/internal/testkit/rawhttp"
)

// verifyRequest returns the request of a proxy for a decision on GET /events of mail.
func verifyRequest(t *testing.T) string {
	t.Helper()
	return "GET /verify HTTP/1.1\r\nHost: h\r\nX-Original-Method: GET\r\nX-Original-URI: /events\r\nX-SSL-Auth: " + newCredentials(t).header + "\r\n\r\n"
}

func startAuthz(t *testing.T, set map[string]string) *running {
	t.Helper()
	all := map[string]string{"AUTHZ_ADDR": "127.0.0.1:0", "AUTHZ_PEERS": "127.0.0.1"}
	maps.Copy(all, set)
	return start(t, load(t, "http://127.0.0.1:1", all))
}

// TestAuthzRawRequests checks that the listener for other proxies has the limits of the
// public one.
func TestAuthzRawRequests(t *testing.T) {
	t.Parallel()
	good := verifyRequest(t)
	tests := []struct {
		name, request string
		status        int
		want          string
	}{
		{"allowed", strings.Replace(good, "Host: h", "Host: h\r\nConnection: close", 1), http.StatusOK, "X-Client-Id: mail"},
		{"two lengths", "POST /verify HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", http.StatusForbidden, "request_ambiguous"},
		{"HTTP/2 in cleartext", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", http.StatusForbidden, "X-Certgate-Reason: "},
		{"headers over the limit", "GET /verify HTTP/1.1\r\nHost: h\r\nX-A: " + strings.Repeat("a", 64<<10) + "\r\n\r\n", http.StatusForbidden, "X-Certgate-Reason: credential_too_large"},
		{"a credential over the limit", strings.Replace(good, "X-SSL-Auth: ", "Connection: close\r\nX-SSL-Auth: "+strings.Repeat("M", 2049), 1), http.StatusForbidden, "credential_too_large"},
		{"no HTTP", "GET /verify HTTP/1.1\r\nHost : h\r\n\r\n", http.StatusForbidden, "request_malformed"},
	}
	r := startAuthz(t, map[string]string{"MAX_CREDENTIAL_BYTES": "2KiB"})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := rawhttp.Dial(t, r.AuthzAddr().String())
			c.Send(tt.request)
			// The server closes each of these connections.
			have, err := io.ReadAll(c)
			status := "HTTP/1.1 403 "
			if tt.status == http.StatusOK {
				status = "HTTP/1.1 200 "
			}
			if errors.Is(err, os.ErrDeadlineExceeded) || !strings.HasPrefix(string(have), status) || !strings.Contains(string(have), tt.want) {
				t.Errorf("response %.300q, %v: want %d, %q and the end", have, err, tt.status, tt.want)
			}
		})
	}
	if !strings.Contains(r.log.String(), `"authz_addr":"`+r.AuthzAddr().String()) {
		t.Error("want the address in the log")
	}
}

// TestAuthzDrain checks that a request on an open connection gets a response with
// Connection: close while the gateway drains.
func TestAuthzDrain(t *testing.T) {
	r := startAuthz(t, nil)
	c := rawhttp.Dial(t, r.AuthzAddr().String())
	for _, draining := range []bool{false, true} {
		if draining {
			r.drainIdle = rawhttp.Timeout // otherwise the idle connection may be closed first
			r.cancel()
			eventually(t, "draining", r.draining.Load)
		}
		c.Send(verifyRequest(t))
		res := c.Response(t, http.MethodGet)
		if res.StatusCode != http.StatusOK || res.Close != draining {
			t.Errorf("draining %t: status %d, close %t: want 200, and the end only then", draining, res.StatusCode, res.Close)
		}
	}
	if err := <-r.done; err != nil {
		t.Errorf("Run: %v, want nil", err)
	}
	if !isFree(r.AuthzAddr().String()) {
		t.Error("want the address free after Run")
	}
}

func TestWithoutAuthz(t *testing.T) {
	r := start(t, load(t, "http://127.0.0.1:1", nil))
	if a, b := r.AuthzAddr(), r.AuthzGRPCAddr(); a != nil || b != nil {
		t.Errorf("addresses %v and %v, want none", a, b)
	}
}

// TestEnvoyListener checks the gRPC listener alone, from the configuration to the end of
// the drain.
func TestEnvoyListener(t *testing.T) {
	r := start(t, load(t, "http://127.0.0.1:1", map[string]string{
		"AUTHZ_GRPC_ADDR": "127.0.0.1:0", "AUTHZ_PEERS": "127.0.0.1", "MAX_CREDENTIAL_BYTES": "2KiB", "MAX_BODY_BYTES": "4KiB",
	}))
	c, err := grpc.NewClient("passthrough:///"+r.AuthzGRPCAddr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	check := func(credential string) (*auth.CheckResponse, error) {
		return auth.NewAuthorizationClient(c).Check(t.Context(), &auth.CheckRequest{Attributes: &auth.AttributeContext{
			Request: &auth.AttributeContext_Request{Http: &auth.AttributeContext_HttpRequest{
				Method: "GET", Path: "/events", Headers: map[string]string{"x-ssl-auth": credential},
			}},
		}})
	}
	if res, err := check(newCredentials(t).header); err != nil || res.GetOkResponse() == nil {
		t.Errorf("response %v, %v: want an OK response", res, err)
	}
	if res, err := check(strings.Repeat("M", 30<<10)); err != nil || res.GetDeniedResponse().GetStatus().GetCode() != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("response %v, %v: want 431", res, err)
	}
	if _, err := check(strings.Repeat("M", 80<<10)); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("a check over the limit: %v, want it refused", err)
	}
	if !strings.Contains(r.log.String(), `"authz_grpc_addr":"`+r.AuthzGRPCAddr().String()) {
		t.Error("want the address in the log")
	}
	r.cancel()
	if err := <-r.done; err != nil {
		t.Errorf("Run: %v, want nil", err)
	}
	if !isFree(r.AuthzGRPCAddr().String()) {
		t.Error("want the address free after Run")
	}
}

// TestAuthzForeignPeers checks that both listeners refuse a connection from outside of
// AUTHZ_PEERS before they read: over HTTP with a response, over gRPC without.
func TestAuthzForeignPeers(t *testing.T) {
	r := startAuthz(t, map[string]string{"AUTHZ_GRPC_ADDR": "127.0.0.1:0", "AUTHZ_PEERS": "192.0.2.1", "READ_HEADER_TIMEOUT": "1h"})
	for _, tt := range []struct {
		name, addr, want string
	}{
		{"HTTP", r.AuthzAddr().String(), "X-Certgate-Reason: peer_untrusted\r\n"},
		{"gRPC", r.AuthzGRPCAddr().String(), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			response, err := io.ReadAll(rawhttp.Dial(t, tt.addr)) // nothing is sent
			if err != nil || (len(response) == 0) != (tt.want == "") || !strings.Contains(string(response), tt.want) {
				t.Errorf("response %q, %v: want %q and the end", response, err, tt.want)
			}
		})
	}
	eventually(t, "two records", func() bool { return strings.Count(r.log.String(), `"reason":"peer_untrusted"`) == 2 })
}
