package gateway

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/core/gate"
	"github.com/certgate/certgate/internal/core/refusal"
)

// TestSignaturesRequiredEverywhere checks that a malformed signature is refused before the
// certificate is read if and only if every rule requires signatures.
func TestSignaturesRequiredEverywhere(t *testing.T) {
	const require = `rules: [{name: a, clients: [mail], allow: ["GET /a"], proof: require}]`
	for _, tt := range []struct {
		setting, rules string
		want           refusal.Reason
	}{
		{"require", `rules: [{name: a, clients: [mail], allow: ["GET /a"]}]`, refusal.ProofMalformed},
		{"off", require, refusal.ProofMalformed},
		{"off", `rules: [{name: a, clients: [mail], allow: ["GET /a"]}]`, refusal.CredentialMissing},
		{"observe", `rules: [{name: a, clients: [mail], allow: ["GET /a"]}]`, refusal.CredentialMissing},
		{"require", `rules: [{name: a, clients: [mail], allow: ["GET /a"]}, {name: b, clients: [mail], allow: ["GET /b"], proof: observe}]`, refusal.CredentialMissing},
	} {
		t.Run(tt.setting+" "+tt.rules, func(t *testing.T) {
			r := start(t, load(t, hello(t), map[string]string{"AUTH_PROOF": tt.setting, "ACCESS_RULES": tt.rules}))
			d := r.gate.Load().Decide(gate.Request{
				Time: time.Now(), Method: http.MethodGet, Target: "/a", Header: http.Header{"Signature-Input": {"what?"}, "Signature": {"what?"}},
			})
			if d.Denial == nil || d.Denial.Reason != tt.want {
				t.Errorf("%v, want %s", d.Denial, tt.want)
			}
		})
	}
}

// TestObservedSignatures checks that requests with invalid signatures are allowed with
// AUTH_PROOF=observe, and that the number of verifications is limited.
func TestObservedSignatures(t *testing.T) {
	r := start(t, load(t, hello(t), map[string]string{"AUTH_PROOF": "observe", "AUTH_FAILURE_RATE": "1"}))
	now := time.Now()
	header := newCredentials(t).header
	wrong := gate.Request{
		Time: now, Credential: []string{header}, Method: http.MethodGet, Target: "/events", Authority: "app.example",
		Header: http.Header{
			"X-Ssl-Auth": {header}, "Signature": {"sig1=:AAAA:"},
			"Signature-Input": {fmt.Sprintf(`sig1=("@method" "@authority" "@path" "@query" "x-ssl-auth");created=%d;expires=%d;nonce="n";keyid="k";tag="certgate"`, now.Unix(), now.Unix()+60)},
		},
	}
	seen := map[refusal.Reason]bool{}
	eventually(t, "a signature that is not verified", func() bool {
		d := r.gate.Load().Decide(wrong)
		if d.Denial != nil || d.WouldRefuse == nil {
			t.Fatalf("%v, %v on record, want it to pass with a refusal on record", d.Denial, d.WouldRefuse)
		}
		seen[d.WouldRefuse.Reason] = true
		return seen[refusal.RateLimited]
	})
	if len(seen) != 2 || !seen[refusal.ProofInvalid] {
		t.Errorf("%v on record, want %s first", seen, refusal.ProofInvalid)
	}
	if n := r.throttle.Delayed(); n != 0 {
		t.Errorf("%d delayed, want none", n)
	}
}
