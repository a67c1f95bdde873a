package httpsig_test

import (
	"crypto/elliptic"
	"testing"

	"github.com/certgate/certgate/internal/core/httpsig"
	"github.com/certgate/certgate/internal/core/identity"
	"github.com/certgate/certgate/internal/core/refusal"
)

// TestAble asserts that Able returns the error that Check returns for the client's key.
func TestAble(t *testing.T) {
	i := newIssuer(t)
	v, _ := newVerifier()
	for _, k := range kinds() {
		v.LegacyRSA = k.legacy
		if err := v.Able(i.issue(k.key(t)).client); err != nil {
			t.Errorf("%s: %v, want a supported key", k.name, err)
		}
	}
	v.LegacyRSA = false
	wantReason(t, v.Able(i.issue(i.key).client), refusal.ProofImpossible)
	wantReason(t, v.Able(i.issue(ec(t, elliptic.P521())).client), refusal.ProofImpossible)
	wantReason(t, v.Able(identity.Client{}), refusal.ProofInvalid)
	if refused := refusal.Of(v.Able(i.issue(i.key).client)); refused.Hint == "" {
		t.Error("want a hint, found none")
	}
	wantReason(t, new(httpsig.Verifier).Able(i.issue(i.key).client), refusal.ProofImpossible)
}
