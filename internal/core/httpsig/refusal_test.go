package httpsig_test

import (
	"strings"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/core/httpsig"
	"github.com/certgate/certgate/internal/core/refusal"
)

// TestHints asserts that each refusal has a constant hint and the Accept-Signature value
// for the request.
func TestHints(t *testing.T) {
	i := newIssuer(t)
	p := i.issue(p256(t))
	used, _ := newVerifier()
	const (
		withBody = `sig1=("@method" "@authority" "@path" "@query" "x-ssl-auth" "content-digest");created;expires;tag="certgate"`
		without  = `sig1=("@method" "@authority" "@path" "@query" "x-ssl-auth");created;expires;tag="certgate"`
	)
	tests := []struct {
		reason refusal.Reason
		m      httpsig.Message
		change func(m *httpsig.Message)
		accept string
	}{
		{missing, post(p), func(*httpsig.Message) {}, withBody},
		{missing, get(p), func(*httpsig.Message) {}, without},
		{malformed, post(p), func(m *httpsig.Message) { m.Header.Set("Signature", "x") }, withBody},
		{incomplete, get(p), func(m *httpsig.Message) { m.HasBody = true }, withBody},
		{expired, get(p), func(*httpsig.Message) {}, without},
		{invalid, get(p), func(m *httpsig.Message) { m.Method = "HEAD" }, without},
		{digest, post(p), func(m *httpsig.Message) { m.Body = content("") }, withBody},
		{digest, post(p), func(m *httpsig.Message) { m.Body = nil }, withBody},
		{refusal.ProofReplayed, get(p), func(m *httpsig.Message) { _, _ = prove(used, *m, p.client, now) }, without},
	}
	for _, tt := range tests {
		t.Run(string(tt.reason), func(t *testing.T) {
			m, at := with(tt.m, nil), now
			if tt.reason != missing {
				m = p.sign(t, m, terms())
			}
			if tt.reason == expired {
				at = now.Add(time.Hour)
			}
			tt.change(&m)
			_, err := prove(used, m, p.client, at)
			wantReason(t, err, tt.reason)
			refused := refusal.Of(err)
			if refused.AcceptSignature != tt.accept {
				t.Errorf("want %s, found %s", tt.accept, refused.AcceptSignature)
			}
			if refused.Hint == "" || !strings.Contains(refused.Detail, refused.Hint) {
				t.Errorf("hint %q, detail %q", refused.Hint, refused.Detail)
			}
		})
	}
}
