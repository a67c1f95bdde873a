package certcache_test

import (
	"crypto"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/core/gate"
	"github.com/certgate/certgate/internal/core/identity"
	"github.com/certgate/certgate/internal/guard/certcache"
	"github.com/certgate/certgate/internal/testkit/ca"
	"github.com/certgate/certgate/internal/tool/pki"
)

// TestMemory checks that the weight of entries is not less than the memory that they need,
// and less than twice as much. The header values and the parsed certificates need several
// times the memory: an entry must not keep them.
func TestMemory(t *testing.T) {
	for _, algorithm := range []pki.Algorithm{pki.Ed25519, pki.P256, pki.RSA2048} {
		t.Run(string(algorithm), func(t *testing.T) {
			if testing.Short() && algorithm != pki.P256 {
				t.Skip("-short: this test issues 1,000 certificates")
			}
			o := newTestCA(t, pki.Ed25519, 24*time.Hour)
			key := newKey(t, algorithm)
			id := certcache.New(gate.Verification{Verifier: verifier(t, o), Names: identity.OU.Reader(), MaxCredentialBytes: limit})
			before := heap()
			const count = 1000
			for n := range count {
				cert, err := o.Issue(pki.Request{Client: fmt.Sprintf("client-%d", n), PublicKey: key.Public(), Lifetime: time.Hour, Now: start})
				if err != nil {
					t.Fatal(err)
				}
				check(t, id.Identify(claim(encode(cert)), start), fmt.Sprintf("client-%d", n), "")
			}
			if n := id.Len(); n != count {
				t.Fatalf("%d cached, want %d", n, count)
			}
			weight, used := id.Weight(), heap()-before
			runtime.KeepAlive(id)
			t.Logf("%d bytes per entry, weight %d", used/count, weight/count)
			if used > weight || used < weight/2 {
				t.Errorf("%d bytes per entry, want at most the weight %d and at least half of it", used/count, weight/count)
			}
		})
	}
}

// heap returns the size of all reachable objects.
func heap() uint64 {
	runtime.GC()
	runtime.GC() // the first one ends the finalizers' and pools' hold on objects
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// newKey returns a key of an algorithm. The RSA key is a fixed one, which takes no time.
func newKey(t *testing.T, algorithm pki.Algorithm) crypto.Signer {
	t.Helper()
	if algorithm == pki.RSA2048 {
		return ca.RSAKey(t, 2048, 0)
	}
	key, err := algorithm.Generate()
	if err != nil {
		t.Fatal(err)
	}
	return key
}
