package proof_test

import (
	"crypto/elliptic"
	"testing"

	"github.com/certgate/certgate/internal/denial"
	"github.com/certgate/certgate/internal/identity"
	"github.com/certgate/certgate/internal/proof"
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
	wantReason(t, v.Able(i.issue(i.key).client), denial.ProofImpossible)
	wantReason(t, v.Able(i.issue(ec(t, elliptic.P521())).client), denial.ProofImpossible)
	wantReason(t, v.Able(identity.Client{}), denial.ProofInvalid)
	if refusal := denial.Of(v.Able(i.issue(i.key).client)); refusal.Hint == "" {
		t.Error("want a hint what to do, found none")
	}
	wantReason(t, new(proof.Verifier).Able(i.issue(i.key).client), denial.ProofImpossible)
}
