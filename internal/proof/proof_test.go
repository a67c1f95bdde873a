package proof_test

import (
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/denial"
	"github.com/certgate/certgate/internal/proof"
)

// TestSignedIsProven: for every algorithm, with and without a body, what a Signer
// signs a Verifier accepts, once.
func TestSignedIsProven(t *testing.T) {
	i := newIssuer(t)
	for _, k := range kinds() {
		t.Run(k.name, func(t *testing.T) {
			p := i.issue(k.key(t))
			for _, m := range []proof.Message{post(p), get(p)} {
				v, _ := newVerifier()
				v.LegacyRSA = k.legacy
				made := terms()
				made.LegacyRSA = k.legacy
				signed := p.sign(t, m, made)
				proven, err := prove(v, signed, p.client, now)
				if err != nil || !proven.Valid() {
					t.Fatalf("%s: want it proven, found %v", m.Method, err)
				}
				proven, err = prove(v, signed, p.client, now)
				wantReason(t, err, denial.ProofReplayed)
				if proven.Valid() {
					t.Error("want nothing proven beside the refusal")
				}
			}
		})
	}
}

// TestUnsignedIsMissing: what carries no signature for certgate is told what to
// sign.
func TestUnsignedIsMissing(t *testing.T) {
	p := newParty(t)
	v, _ := newVerifier()
	_, err := v.Read(post(p), now)
	wantReason(t, err, denial.ProofMissing)
	refusal := denial.Of(err)
	const want = `sig1=("@method" "@authority" "@path" "@query" "x-ssl-auth" "content-digest");created;expires;tag="certgate"`
	if refusal.AcceptSignature != want || refusal.Hint == "" {
		t.Errorf("want %s and a hint, found %s and %q", want, refusal.AcceptSignature, refusal.Hint)
	}
}

// TestChangedIsRefused: a change after signing shows, at the step whose it is.
func TestChangedIsRefused(t *testing.T) {
	p := newParty(t)
	signed := p.sign(t, post(p), terms())
	tests := []struct {
		name   string
		change func(m *proof.Message)
		want   denial.Reason
	}{
		{"nothing", func(*proof.Message) {}, ""},
		{"method", func(m *proof.Message) { m.Method = "PUT" }, denial.ProofInvalid},
		{"authority", func(m *proof.Message) { m.Authority = "mail.example.com" }, denial.ProofInvalid},
		{"path", func(m *proof.Message) { m.Target = strings.Replace(target, "/events", "/event", 1) }, denial.ProofInvalid},
		{"query", func(m *proof.Message) { m.Target = strings.Replace(target, "draft=1", "draft=2", 1) }, denial.ProofInvalid},
		{"body", func(m *proof.Message) { m.Body = content(event + " ") }, denial.ProofDigest},
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
