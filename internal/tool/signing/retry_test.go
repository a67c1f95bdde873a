package signing_test

import (
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/tool/signing"
)

// TestLostResponse checks requests that the gateway accepted before the connection
// failed. net/http repeats a GET with the same signature; the gateway refuses it and
// the transport signs it again. net/http repeats a POST only if it has an
// Idempotency-Key, and the gateway does not accept it twice.
func TestLostResponse(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	for _, test := range []struct {
		name, method, key string
		accepted          int
		refused           []refusal.Reason
		status            int // 0 for an error
	}{
		{"GET", "GET", "", 2, []refusal.Reason{refusal.ProofReplayed}, 200},
		{"HEAD", "HEAD", "", 2, []refusal.Reason{refusal.ProofReplayed}, 200},
		{"POST", "POST", "", 1, nil, 0},
		{"POST with Idempotency-Key", "POST", "8e03978e", 1, []refusal.Reason{refusal.ProofReplayed}, 401},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			g := newGateway(t, ca).start()
			transport := g.transport(t, newCredential(t, ca))
			drain(t, get(t, transport, g.URL)) // leaves an idle connection
			g.requests()
			lose := true
			g.handler = func(w http.ResponseWriter, _ *http.Request) {
				if lose {
					lose = false
					panic(http.ErrAbortHandler)
				}
			}
			r := newRequest(t, test.method, g.URL+"/events", nil)
			if test.method == "POST" {
				r = newRequest(t, test.method, g.URL+"/events", strings.NewReader(event))
			}
			if test.key != "" {
				r.Header.Set("Idempotency-Key", test.key)
			}
			status := 0
			if res, err := transport.RoundTrip(r); err == nil {
				status = res.StatusCode
				_ = res.Body.Close()
			}
			accepted, refused := g.requests()
			if len(accepted) != test.accepted || !reflect.DeepEqual(refused, test.refused) || status != test.status {
				t.Errorf("want %d accepted, %v and status %d; found %d, %v and %d", test.accepted, test.refused, test.status, len(accepted), refused, status)
			}
		})
	}
}

func drain(t *testing.T, res *http.Response) {
	t.Helper()
	_ = must[[]byte](t)(io.ReadAll(res.Body))
	_ = res.Body.Close()
}

// TestReplayedTwice checks that the transport signs a request again only once.
func TestReplayedTwice(t *testing.T) {
	t.Parallel()
	sent := 0
	base := roundTripper(func(*http.Request) (*http.Response, error) {
		sent++
		return &http.Response{StatusCode: http.StatusUnauthorized, Body: http.NoBody, Header: http.Header{"Www-Authenticate": {`Certificate error="proof_replayed"`}}}, nil
	})
	res := get(t, &signing.Transport{Credential: newCredential(t, newAuthority(t)), Origin: "https://app.example", Base: base}, "https://app.example/")
	if res.StatusCode != http.StatusUnauthorized || sent != 2 {
		t.Errorf("want 401 after two attempts, found %d after %d", res.StatusCode, sent)
	}
}
