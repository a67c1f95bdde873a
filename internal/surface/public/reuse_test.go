package public

import (
	"net/http"
	"testing"
)

// TestRecordsAreIndependent checks that the record of a request contains nothing of the
// previous request, whose memory it uses.
func TestRecordsAreIndependent(t *testing.T) {
	w := newCertificates(t)
	b := newFixture(t, nil)
	const requests = 10
	for range requests {
		if res := b.send(t, request("GET /events/ HTTP/1.1", "X-SSL-Auth: "+encode(w.mail))); res.StatusCode != http.StatusOK {
			t.Fatalf("status %d, want 200", res.StatusCode)
		}
		<-b.requests
		if res := b.send(t, request("GET /events/ HTTP/1.1")); res.StatusCode != http.StatusUnauthorized {
			t.Fatalf("status %d, want 401", res.StatusCode)
		}
	}
	records := b.lines(t)
	if len(records) != 2*requests {
		t.Fatalf("%d records, want %d", len(records), 2*requests)
	}
	for _, r := range records {
		if r["status"] != float64(http.StatusUnauthorized) {
			continue
		}
		for _, key := range []string{"client", "auth", "rule", "key_id", "serial", "not_after", "upstream"} {
			if r[key] != nil {
				t.Errorf("the record of a request without a certificate has %s %v", key, r[key])
			}
		}
	}
}
