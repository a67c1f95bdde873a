package gateway

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/core/gate"
	"github.com/certgate/certgate/internal/core/refusal"
)

// TestRequiredSignatures checks that AUTH_PROOF is the default of the rules, and that a
// request without a certificate gets the same refusal with every setting.
func TestRequiredSignatures(t *testing.T) {
	const unset, require, off = "", ", proof: require", ", proof: off"
	credential := newCredentials(t).header
	for _, tt := range []struct {
		setting, rule string
		want          refusal.Reason
	}{
		{"require", unset, refusal.ProofMalformed},
		{"require", off, ""},
		{"off", require, refusal.ProofMalformed},
		{"off", unset, ""},
		{"observe", unset, ""},
	} {
		t.Run(tt.setting+tt.rule, func(t *testing.T) {
			rules := `rules: [{name: a, clients: [mail], allow: ["GET /a"]` + tt.rule + `}]`
			r := start(t, load(t, hello(t), map[string]string{"AUTH_PROOF": tt.setting, "ACCESS_RULES": rules}))
			request := gate.Request{
				Time: time.Now(), Credential: []string{credential}, Method: http.MethodGet, Target: "/a",
				Header: http.Header{"Signature-Input": {"?"}, "Signature": {"?"}},
			}
			wantDecision(t, r.gate.Load().Decide(request), tt.want)
			request.Credential = nil
			wantDecision(t, r.gate.Load().Decide(request), refusal.CredentialMissing)
		})
	}
}

// wantDecision checks the reason of a refusal; "" means a grant.
func wantDecision(t *testing.T, d gate.Decision, want refusal.Reason) {
	t.Helper()
	var reason refusal.Reason
	if d.Refusal != nil {
		reason = d.Refusal.Reason
	}
	if reason != want || d.Grant.Valid() != (want == "") {
		t.Errorf("%v, want reason %q", d.Refusal, want)
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
		if d.Refusal != nil || d.WouldRefuse == nil {
			t.Fatalf("%v, %v on record, want it to pass with a refusal on record", d.Refusal, d.WouldRefuse)
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
