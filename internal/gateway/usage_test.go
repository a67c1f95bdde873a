package gateway

import (
	"net/http"
	"strings"
	"testing"

	auth "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/testkit/rawhttp"
	"github.com/certgate/certgate/internal/testkit/redisserver"
	"github.com/certgate/certgate/internal/usage"
)

// onlyClient returns the entry of the client mail, which must be the only one.
func onlyClient(t *testing.T, snap usage.Snapshot) usage.Client {
	t.Helper()
	if len(snap.Clients) != 1 || snap.Clients[0].Name != "mail" {
		t.Fatalf("want the client mail, found %+v", snap.Clients)
	}
	return snap.Clients[0]
}

// TestUsageOfEverySurface checks that requests of each listener are part of the inventory,
// with the key, the certificate and the use of the rate.
func TestUsageOfEverySurface(t *testing.T) {
	r := start(t, load(t, hello(t), map[string]string{
		"AUTHZ_ADDR": "127.0.0.1:0", "AUTHZ_GRPC_ADDR": "127.0.0.1:0", "AUTHZ_PEERS": "127.0.0.1",
		"ACCESS_RULES": `rules: [{name: events, clients: [mail], allow: ["GET /events"], rate: 4/h, burst: 4}]`,
	}))
	want(t, r, r.Addr(), "/events", http.StatusOK, "hello")
	want(t, r, r.Addr(), "/other", http.StatusForbidden, "access_denied")
	c := rawhttp.Dial(t, r.AuthzAddr().String())
	c.Send(verifyRequest(t))
	if res := c.Response(t, http.MethodGet); res.StatusCode != http.StatusOK {
		t.Fatalf("/verify: status %d, want 200", res.StatusCode)
	}
	envoy, err := grpc.NewClient("passthrough:///"+r.AuthzGRPCAddr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer envoy.Close()
	res, err := auth.NewAuthorizationClient(envoy).Check(t.Context(), &auth.CheckRequest{Attributes: &auth.AttributeContext{
		Request: &auth.AttributeContext_Request{Http: &auth.AttributeContext_HttpRequest{
			Method: "GET", Path: "/events", Headers: map[string]string{"x-ssl-auth": newCredentials(t).header},
		}},
	}})
	if err != nil || res.GetOkResponse() == nil {
		t.Fatalf("ext_authz: %v, %v, want an OK response", res, err)
	}
	// The record of a request is written after its response.
	eventually(t, "four requests", func() bool {
		snap := r.usage.Snapshot()
		return len(snap.Clients) == 1 && snap.Clients[0].Allowed+snap.Clients[0].Refused == 4
	})
	snap := r.usage.Snapshot()
	mail := onlyClient(t, snap)
	if mail.Allowed != 3 || mail.Refused != 1 || mail.LastReason != refusal.AccessDenied || mail.Bearer.IsZero() {
		t.Errorf("want three granted requests and one refused, found %+v", mail)
	}
	if len(mail.Rules) != 1 || !mail.Rules[0].HasRate || mail.Rules[0].RateUsed < 0.7 || mail.Rules[0].RateUsed > 0.75 {
		t.Errorf("want three of four tokens used, found %+v", mail.Rules)
	}
	keyID := r.config.Keyring.Anchors()[0].ID().Short()
	if len(snap.Keys) != 1 || snap.Keys[0].ID != keyID || snap.Keys[0].Clients != 1 || mail.Latest().KeyID != keyID || mail.EarliestEnd.IsZero() {
		t.Errorf("want the key %s in use, found %+v with %+v", keyID, snap.Keys, mail.Certificates)
	}
	if len(snap.Refusals) != 1 || snap.Refusals[0].Path != "/other" || snap.Refusals[0].Client != "mail" {
		t.Errorf("want the refusal of /other, found %+v", snap.Refusals)
	}
}

// TestUsageSurvivesReload checks that a reload of keys and rules keeps the inventory.
func TestUsageSurvivesReload(t *testing.T) {
	t.Parallel()
	f := newFiles(t)
	r := f.start(t)
	first := r.usage.Snapshot().Keys[0].FirstUse
	write(t, f.rules, strings.Replace(allowsMail, "rules:", "rules:\n  - {name: more, clients: [web], allow: [\"GET /more\"]}", 1))
	eventually(t, "new rules", func() bool { return len(r.usage.Snapshot().Rules) == 2 })
	want(t, r, r.Addr(), "/events", http.StatusOK, "hello")
	eventually(t, "two requests", func() bool { return r.usage.Snapshot().Rules[1].Uses == 2 })
	snap := r.usage.Snapshot()
	if mail := onlyClient(t, snap); mail.Allowed != 2 || !snap.Keys[0].FirstUse.Equal(first) {
		t.Errorf("want both requests, found %+v and %+v", mail, snap.Keys)
	}
}

// TestUsageIsShared checks that a gateway shows the requests of another one that has ended,
// and that a gateway whose Redis is gone serves requests and logs that it is not shared.
func TestUsageIsShared(t *testing.T) {
	redis := redisserver.Start(t)
	up, set := hello(t), map[string]string{"REDIS_URL": redis.URL("")}
	first := start(t, load(t, up, set))
	want(t, first, first.Addr(), "/events", http.StatusOK, "hello")
	eventually(t, "the first exchange", func() bool { return first.usage.Snapshot().SyncError == "" })
	first.client.CloseIdleConnections()
	first.cancel()
	if err := <-first.done; err != nil {
		t.Fatal(err)
	}
	second := start(t, load(t, up, set))
	var snap usage.Snapshot
	eventually(t, "the request to the first gateway", func() bool { // keys and rules are exchanged after the clients
		snap = second.usage.Snapshot()
		return len(snap.Clients) == 1 && snap.SyncError == ""
	})
	if mail := onlyClient(t, snap); mail.Allowed != 1 || mail.EarliestEnd.IsZero() || snap.Keys[0].LastUse.IsZero() || snap.Rules[0].Uses != 1 {
		t.Errorf("want the request with its key and rule, found %+v", snap)
	}
	redis.Kill()
	third := start(t, load(t, up, set))
	eventually(t, "a warning", func() bool {
		return strings.Contains(third.log.String(), "the inventory is not shared with other replicas")
	})
	want(t, third, third.Addr(), "/events", http.StatusOK, "hello")
	want(t, third, third.AdminAddr(), "/metrics", http.StatusOK, "certgate_inventory_shared 0")
}
