package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/certgate/certgate/test/harness"
)

// assertionVerifier verifies the signatures of assertions as a service does: with a cached key
// set, which it fetches again for an unknown key id.
type assertionVerifier struct {
	url string // of the key set; set before the first request

	mu     sync.Mutex
	set    jose.JSONWebKeySet
	bySign map[string]int // accepted requests by key id
	faults []string
}

func (v *assertionVerifier) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	v.mu.Lock()
	defer v.mu.Unlock()
	kid, err := v.verify(r.Header.Get("X-Client-Assertion"))
	if err != nil {
		v.faults = append(v.faults, err.Error())
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	v.bySign[kid]++
}

// verify returns the id of the key that signed the assertion.
func (v *assertionVerifier) verify(token string) (string, error) {
	signed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.EdDSA})
	if err != nil {
		return "", fmt.Errorf("assertion %q: %w", token, err)
	}
	kid := signed.Signatures[0].Header.KeyID
	if len(v.set.Key(kid)) == 0 {
		if err := v.fetch(); err != nil {
			return "", err
		}
	}
	keys := v.set.Key(kid)
	if len(keys) != 1 {
		return "", fmt.Errorf("want one key with the id %s, found %d", kid, len(keys))
	}
	_, err = signed.Verify(keys[0])
	return kid, err
}

func (v *assertionVerifier) fetch() error {
	res, err := http.Get(v.url)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(text, &set); err != nil {
		return fmt.Errorf("key set %q: %w", text, err)
	}
	v.set = set
	return nil
}

// assertionLoad sends requests without a pause and counts the responses.
type assertionLoad struct {
	mu       sync.Mutex
	finished sync.Cond
	count    int
	faults   []string
}

// send sends requests over one connection until ctx is done.
func (l *assertionLoad) send(ctx context.Context, addr string, as harness.Certificate) {
	k := keepAlive{addr: addr}
	defer k.close()
	text := harness.Get("/events", as).String()
	for ctx.Err() == nil {
		status, reason, err := k.do(context.WithoutCancel(ctx), text)
		l.mu.Lock()
		l.count++
		if err != nil || status != http.StatusOK {
			l.faults = append(l.faults, fmt.Sprintf("status %d %s, %v: want 200", status, reason, err))
		}
		l.finished.Broadcast()
		l.mu.Unlock()
	}
}

// wait returns after n more responses.
func (l *assertionLoad) wait(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for target := l.count + n; l.count < target; {
		l.finished.Wait()
	}
}

// TestAssertionKeyRotation replaces the key of assertions with an overlap while requests run,
// and expects that the service refuses none.
func TestAssertionKeyRotation(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	mail := m.Issue(t, harness.OU("mail"))
	first, second := harness.NewAssertionKey(t), harness.NewAssertionKey(t)
	file := harness.WriteFile(t, first, t.TempDir(), "assertion.key")
	v := &assertionVerifier{bySign: map[string]int{}}
	u := harness.NewUpstream(t, v.ServeHTTP)
	g := harness.StartGateway(t, u, harness.GatewayEnv(m.PublicKey, u).With(harness.AssertionEnabled(t)).With(harness.Env{"ASSERTION_KEY_FILE": file}))
	v.url = "http://" + g.Addr + "/.well-known/jwks.json"
	waitWatching(t, g, "assertion_keys")

	l := &assertionLoad{}
	l.finished.L = &l.mu
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var workers sync.WaitGroup
	for range loadWorkers {
		workers.Go(func() { l.send(ctx, g.Addr, mail) })
	}
	l.wait(loadWorkers * loadBefore)
	for _, content := range []string{first + second, second + first, second} {
		wantReloaded(t, g, "assertion_keys", func() { replaceFile(t, file, content) })
		l.wait(loadWorkers * loadBefore)
	}
	stop()
	workers.Wait()

	for _, fault := range append(l.faults, v.faults...) {
		t.Error(fault)
	}
	if len(v.bySign) != 2 {
		t.Errorf("accepted requests by key %v, want both keys", v.bySign)
	}
	if err := v.fetch(); err != nil || len(v.set.Keys) != 1 || v.bySign[v.set.Keys[0].KeyID] == 0 {
		t.Errorf("key set %v and %v, want the second key only", v.set.Keys, err)
	}
}
