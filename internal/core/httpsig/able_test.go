package httpsig_test

import (
	"crypto/elliptic"
	"testing"

	"github.com/certgate/certgate/internal/core/httpsig"
	"github.com/certgate/certgate/internal/core/identity"
	"github.com/certgate/certgate/internal/core/refusal"
)

// TestAble is what Check would say of the key alone.
func TestAble(t *testing.T) {
	i := newIssuer(t)
	v, _ := newVerifier()
	for _, k := range kinds() {
		v.LegacyRSA = k.legacy
		if err := v.Able(i.issue(k.key(t)).client); err != nil {
			t.Errorf("%s: %v, want it able", k.name, err)
		}
	}
	v.LegacyRSA = false
	wantReason(t, v.Able(i.issue(i.key).client), refusal.ProofImpossible)
	wantReason(t, v.Able(i.issue(ec(t, elliptic.P521())).client), refusal.ProofImpossible)
	wantReason(t, v.Able(identity.Client{}), refusal.ProofInvalid)
	if refused := refusal.Of(v.Able(i.issue(i.key).client)); refused.Hint == "" {
		t.Error("want a hint what to do, found none")
	}
	wantReason(t, new(httpsig.Verifier).Able(i.issue(i.key).client), refusal.ProofImpossible)
}
