package e2e

import (
	"encoding/json"
	"net/http"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/surface/status"
	"github.com/certgate/certgate/test/harness"
)

// statusOf returns the document of GET /status.
func statusOf(t *testing.T, g *harness.Gateway) (s status.Status) {
	t.Helper()
	response := g.SendAdmin(t, harness.PlainGet("/status"))
	if err := json.Unmarshal([]byte(response.Body), &s); response.Status != http.StatusOK || err != nil {
		t.Fatalf("/status: %d, %v", response.Status, err)
	}
	return s
}

// TestReplicasShareThePage sends a client of the old key with a certificate that ends soon to
// one replica, and a client of the new key to another one, which ends. The page, the status
// and the metrics of a third replica show both.
func TestReplicasShareThePage(t *testing.T) {
	t.Parallel()
	older, newer := harness.NewMasterKey(t, "p256"), harness.NewMasterKey(t, "p256")
	addr := harness.FreeAddress(t)
	startRedis(t, addr)
	env := sharing(addr).With(harness.Env{
		"AUTH_PUBLIC_KEY": older.PublicKey + newer.PublicKey,
		"AUTH_PROOF":      "off",
		"ACCESS_RULES":    harness.AllowAllRules,
	})
	r := newReplicas(t, older, env)
	mail := older.Issue(t, harness.CertificateOptions{Subject: "/OU=mail", NotAfter: time.Now().Add(72 * time.Hour)})
	social := newer.Issue(t, harness.CertificateOptions{Subject: "/OU=social", NotAfter: time.Now().Add(2000 * time.Hour)})
	for g, request := range map[*harness.Gateway]harness.Request{r.a: harness.Get("/events", mail), r.b: harness.Get("/events", social)} {
		g.AuditLineOf(t, harness.Send(t, g.Addr, request).Header.Get("X-Request-Id"))
		g.Stop(t, syscall.SIGTERM) // the inventory is exchanged at the end of a process
	}
	third := newReplicas(t, older, env).a
	for deadline := time.Now().Add(harness.Timeout); len(statusOf(t, third).Clients) < 2; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("clients %+v, want those of the other replicas", statusOf(t, third).Clients)
		}
	}
	s := statusOf(t, third)
	if !s.Observation.Shared || s.Clients[0].Name != "mail" || s.Clients[0].Certificates[0].Serial != mail.Serial() || s.Clients[1].Name != "social" {
		t.Errorf("observation %+v, clients %+v: want mail, whose certificate ends soon, before social", s.Observation, s.Clients)
	}
	names := [][]string{s.Keys[0].ClientNames, s.Keys[1].ClientNames}
	if want := [][]string{{"mail"}, {"social"}}; !reflect.DeepEqual(names, want) {
		t.Errorf("clients of the keys %q, want %q", names, want)
	}
	page := third.SendAdmin(t, harness.PlainGet("/")).Body
	for _, want := range []string{"expires in 2 days", "old key"} {
		if !strings.Contains(page, want) {
			t.Errorf("want %q on the page, found %s", want, page)
		}
	}
	exported := metrics(t, third)
	if n := len(exported["certgate_client_certificate_not_after_timestamp_seconds"].GetMetric()); n != 2 {
		t.Errorf("%d ends of certificates in the metrics, want 2", n)
	}
	used := counter(exported["certgate_key_last_used_timestamp_seconds"], map[string]string{"key_id": harness.KeyID(t, older.PublicKey)[:16]})
	if age := time.Since(time.Unix(int64(used), 0)); age < 0 || age > time.Hour {
		t.Errorf("the old key was last used %s ago in the metrics, want a few seconds", age)
	}
}
