package httpsig_test

import (
	"crypto/elliptic"
	"testing"

	"github.com/certgate/certgate/internal/core/httpsig"
	"github.com/certgate/certgate/internal/core/identity"
	"github.com/certgate/certgate/internal/core/refusal"
)

// TestCheckKey asserts that CheckKey returns the error that Check returns for the client's key.
func TestCheckKey(t *testing.T) {
	i := newIssuer(t)
	v, _ := newVerifier()
	for _, k := range kinds() {
		v.LegacyRSA = k.legacy
		if err := v.CheckKey(i.issue(k.key(t)).client); err != nil {
			t.Errorf("%s: %v, want a supported key", k.name, err)
		}
	}
	v.LegacyRSA = false
	wantReason(t, v.CheckKey(i.issue(i.key).client), refusal.ProofImpossible)
	wantReason(t, v.CheckKey(i.issue(ec(t, elliptic.P521())).client), refusal.ProofImpossible)
	wantReason(t, v.CheckKey(identity.Client{}), refusal.ProofInvalid)
	if refused := refusal.Of(v.CheckKey(i.issue(i.key).client)); refused.Hint == "" {
		t.Error("want a hint, found none")
	}
	wantReason(t, new(httpsig.Verifier).CheckKey(i.issue(i.key).client), refusal.ProofImpossible)
}
