package e2e

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/test/harness"
)

// TestSignedRequestsWithEveryKey sends requests signed with each kind of key.
func TestSignedRequestsWithEveryKey(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "rsa")
	g := harness.NewGateway(t, m, harness.SignatureRequired())
	g.CheckLogAtEnd(t)
	for _, key := range []string{"p256", "p384", "ed25519", "rsa", "rsa4096"} {
		t.Run(key, func(t *testing.T) {
			c := NewSigner(t, m, harness.CertificateOptions{Subject: "/OU=mail", Key: key})
			for _, r := range []harness.Request{
				harness.PlainRequest("GET", "/events"), harness.PlainRequest("GET", "/events?from=2013-08-01&%20="), harness.PlainRequest("HEAD", "/events"),
				harness.PlainRequest("POST", "/events").Post(harness.EventJSON("Meeting")), harness.PlainRequest("POST", "/events"),
				harness.PlainRequest("POST", "/events").Post(strings.Repeat("a", 200<<10)),
			} {
				head := g.WantAllowed(t, c.Sign(t, r, harness.SignatureOptions{}))
				if found := harness.HeaderValues(head, "X-Client-Auth"); !slices.Equal(found, []string{"signed"}) {
					t.Errorf("%s %s: want X-Client-Auth: signed, found %q", r.Method, r.Target, found)
				}
				for _, name := range []string{"Signature", "Signature-Input", "X-SSL-Auth"} {
					if found := harness.HeaderValues(head, name); len(found) != 0 {
						t.Errorf("want no %s at the upstream, found %d", name, len(found))
					}
				}
			}
		})
	}
}

// TestSignedChunkedBody checks that a signed body arrives unchanged however it was framed.
func TestSignedChunkedBody(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	g := harness.NewGateway(t, m, harness.SignatureRequired())
	c := NewSigner(t, m, harness.OU("mail"))
	body := strings.Repeat("0123456789", 20<<10)
	r := c.Sign(t, harness.PlainRequest("POST", "/events").Post(body), harness.SignatureOptions{}).With("Transfer-Encoding: chunked")
	r.Body = harness.Chunked(body, 7777)
	a := harness.Send(t, g.Addr, r)
	if a.Status != 200 {
		t.Fatalf("want 200, found %d and %s", a.Status, a.Body)
	}
	if found := g.Upstream.Take(); !strings.HasSuffix(found, "\r\n\r\n"+body) {
		t.Errorf("want the body whole at the upstream, found %d bytes", len(found))
	}
	other := c.Sign(t, harness.PlainRequest("POST", "/events").Post(body), harness.SignatureOptions{}).With("Transfer-Encoding: chunked")
	other.Body = harness.Chunked(body[1:]+"x", 7777)
	g.WantRefused(t, other, refusal.ProofDigest)
}

// TestSignedRequestReplays sends one signed request on many connections at once and expects
// exactly one accepted.
func TestSignedRequestReplays(t *testing.T) {
	t.Parallel()
	const times, connections = 10_000, 32
	m := harness.NewMasterKey(t, "p256")
	g := harness.NewGateway(t, m, harness.SignatureRequired())
	r := NewSigner(t, m, harness.OU("mail")).Sign(t, harness.PlainRequest("POST", "/events").Post(harness.EventJSON("Meeting")), harness.SignatureOptions{})
	var allowed, replayed atomic.Int64
	var senders sync.WaitGroup
	for range connections {
		c := harness.Dial(t, g.Addr)
		senders.Go(func() {
			for range times / connections {
				if _, err := c.Write([]byte(r.String())); err != nil {
					t.Error(err)
					return
				}
				switch a := c.ReadResponse(t, r.Method); {
				case a.Status == 200:
					allowed.Add(1)
				case a.Status == 401 && strings.Contains(a.Body, string(refusal.ProofReplayed)):
					replayed.Add(1)
				default:
					t.Errorf("want 200 or proof_replayed, found %d and %s", a.Status, a.Body)
					return
				}
			}
		})
	}
	senders.Wait()
	if allowed.Load() != 1 || replayed.Load() != times/connections*connections-1 {
		t.Errorf("want 1 allowed and all others replayed, found %d and %d", allowed.Load(), replayed.Load())
	}
	g.Upstream.WantOne(t)
}

// TestRefusedRequestKeepsNonce checks that a refused request does not use up its nonce.
func TestRefusedRequestKeepsNonce(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	g := harness.NewGateway(t, m, harness.SignatureRequired().With(harness.Env{
		"ACCESS_RULES": "rules:\n  - {name: add, clients: [mail], allow: [\"POST /events\"], rate: 1/h, burst: 1}\n",
	}))
	c := NewSigner(t, m, harness.OU("mail"))
	r := c.Sign(t, harness.PlainRequest("POST", "/events").Post("body"), harness.SignatureOptions{})
	g.WantRefused(t, flipped(t, r), refusal.ProofInvalid)
	g.WantRefused(t, changed(r, func(r *harness.Request) { r.Body = "ydob" }), refusal.ProofDigest)
	g.WantRefused(t, changed(r, func(r *harness.Request) { r.Target = "/other" }), refusal.AccessDenied)
	g.WantAllowed(t, r)
	// And a replay takes no token of the rate either: it is the replay that is named.
	g.WantRefused(t, r, refusal.ProofReplayed)
	g.WantRefused(t, c.Sign(t, harness.PlainRequest("POST", "/events").Post("body"), harness.SignatureOptions{}), refusal.RateLimited)
}
