package httpsig_test

import (
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/core/httpsig"
	"github.com/certgate/certgate/internal/core/refusal"
)

// TestSignedIsProven asserts for each algorithm, with and without a body, that a Verifier
// accepts the signature of a Signer exactly once.
func TestSignedIsProven(t *testing.T) {
	i := newIssuer(t)
	for _, k := range kinds() {
		t.Run(k.name, func(t *testing.T) {
			p := i.issue(k.key(t))
			for _, m := range []httpsig.Message{post(p), get(p)} {
				v, _ := newVerifier()
				v.LegacyRSA = k.legacy
				made := terms()
				made.LegacyRSA = k.legacy
				signed := p.sign(t, m, made)
				verified, err := prove(v, signed, p.client, now)
				if err != nil || !verified.Valid() {
					t.Fatalf("%s: want a valid Verified, found %v", m.Method, err)
				}
				verified, err = prove(v, signed, p.client, now)
				wantReason(t, err, refusal.ProofReplayed)
				if verified.Valid() {
					t.Error("want an invalid Verified with the refusal")
				}
			}
		})
	}
}

// TestUnsignedIsMissing asserts that the refusal of an unsigned request has a hint and an
// Accept-Signature value.
func TestUnsignedIsMissing(t *testing.T) {
	p := newParty(t)
	v, _ := newVerifier()
	_, err := v.Read(post(p), now)
	wantReason(t, err, refusal.ProofMissing)
	refused := refusal.Of(err)
	const want = `sig1=("@method" "@authority" "@path" "@query" "x-ssl-auth" "content-digest");created;expires;tag="certgate"`
	if refused.AcceptSignature != want || refused.Hint == "" {
		t.Errorf("want %s and a hint, found %s and %q", want, refused.AcceptSignature, refused.Hint)
	}
}

// TestChangedIsRefused asserts that a request changed after signing is refused, with the
// reason of the step that detects the change.
func TestChangedIsRefused(t *testing.T) {
	p := newParty(t)
	signed := p.sign(t, post(p), terms())
	tests := []struct {
		name   string
		change func(m *httpsig.Message)
		want   refusal.Reason
	}{
		{"nothing", func(*httpsig.Message) {}, ""},
		{"method", func(m *httpsig.Message) { m.Method = "PUT" }, refusal.ProofInvalid},
		{"authority", func(m *httpsig.Message) { m.Authority = "mail.example.com" }, refusal.ProofInvalid},
		{"path", func(m *httpsig.Message) { m.Target = strings.Replace(target, "/events", "/event", 1) }, refusal.ProofInvalid},
		{"query", func(m *httpsig.Message) { m.Target = strings.Replace(target, "draft=1", "draft=2", 1) }, refusal.ProofInvalid},
		{"body", func(m *httpsig.Message) { m.Body = content(event + " ") }, refusal.ProofDigest},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v, _ := newVerifier()
			m := signed
			tt.change(&m)
			_, err := prove(v, m, p.client, now)
			wantReason(t, err, tt.want)
		})
	}
}
