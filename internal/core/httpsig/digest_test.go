package httpsig_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/core/refusal"
)

// TestContentDigest asserts that Content-Digest needs at least one supported digest, that
// each supported digest must match, and that the field must be in canonical form. The
// values are from RFC 9530, section 2 and appendix B, and from RFC 9421.
func TestContentDigest(t *testing.T) {
	const (
		world   = "{\"hello\": \"world\"}"
		worldLF = world + "\n"
		s256    = "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:"
		s512    = "sha-512=:YMAam51Jz/jOATT6/zvHrLVgOYTGFy1d6GJiOHTohq4yP+pgk4vf2aCsyRZOtw8MjkM7iw7yZ/WkppmM44T3qg==:"
		empty   = "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:"
		brotli  = "sha-256=:d435Qo+nKZ+gLcUHn7GQtQ72hiBVAgqoLsZnZPiTGPk=:"
	)
	tests := []struct {
		name, body string
		lines      []string
		want       refusal.Reason
	}{
		{"RFC 9530, B.1", worldLF, []string{s256}, ""},
		{"RFC 9530, B.2", "", []string{empty}, ""},
		{"RFC 9530, B.3", "\"world\"}\n", []string{"sha-256=:jjcgBDWNAtbYUXI37CVG3gRuGOAjaaDRGpIUFsdyepQ=:"}, ""},
		{"RFC 9530, section 2", worldLF, []string{s512}, ""},
		{"RFC 9421, B.2", world, []string{"sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:"}, ""},
		// The two digests in this RFC example are computed over different bytes.
		{"RFC 9530, section 2, two digests", worldLF, []string{brotli + "," + s512}, digest},
		{"both", worldLF, []string{s256 + ", " + s512}, ""},
		{"both without a space", worldLF, []string{s512 + "," + s256}, ""},
		{"both on two lines", worldLF, []string{s256, s512}, ""},
		{"another body", world, []string{s256}, digest},
		{"another body, sha-512", world, []string{s512}, digest},
		{"the first of another body", worldLF, []string{empty + ", " + s512}, digest},
		{"the second of another body", worldLF, []string{s256 + ", " + "sha-512=:" + strings.Repeat("A", 86) + "==:"}, digest},
		{"with an unknown digest", worldLF, []string{"md5=:AAAAAAAAAAAAAAAAAAAAAA==:, " + s256}, ""},
		{"with an unknown string", worldLF, []string{`x="y", ` + s256}, ""},
		{"only an unknown digest", worldLF, []string{"md5=:AAAAAAAAAAAAAAAAAAAAAA==:"}, digest},
		{"only sha", worldLF, []string{"sha=:AAAAAAAAAAAAAAAAAAAAAAAAAAA=:"}, digest},
		{"empty", worldLF, []string{""}, digest},
		{"uppercase", worldLF, []string{strings.Replace(s256, "sha", "SHA", 1)}, malformed},
		{"as in RFC 3230", worldLF, []string{"sha-256=RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg="}, malformed},
		{"a string", worldLF, []string{`sha-256="RK"`}, malformed},
		{"a flag", worldLF, []string{"sha-256"}, malformed},
		{"a list", worldLF, []string{"sha-256=(" + strings.TrimPrefix(s256, "sha-256=") + ")"}, malformed},
		{"no bytes", worldLF, []string{"sha-256=::"}, malformed},
		{"a byte short", worldLF, []string{"sha-256=:" + strings.Repeat("A", 40) + "AA==:"}, malformed},
		{"the length of sha-512", worldLF, []string{strings.Replace(s512, "512", "256", 1)}, malformed},
		{"twice", worldLF, []string{s256 + ", " + s256}, malformed},
		{"twice on two lines", worldLF, []string{empty, s256}, malformed},
		{"RFC 9530, B.5, too much padding", worldLF, []string{strings.Replace(s256, "=:", "==:", 2)}, malformed},
		{"too little padding", worldLF, []string{strings.TrimSuffix(s256, "=:") + ":"}, malformed},
		{"nonzero padding bits", worldLF, []string{strings.Replace(s256, "Dg=", "Dh=", 1)}, malformed},
		{"field too long", worldLF, []string{s256 + `, x="` + strings.Repeat("a", 8<<10) + `"`}, malformed},
	}
	p := newParty(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := with(p.sign(t, post(p), terms()), http.Header{"Content-Digest": tt.lines})
			m.Body = content(tt.body)
			m = p.resign(t, m, m.Header.Get("Signature-Input"))
			v, n := newVerifier()
			_, err := prove(v, m, p.client, now)
			wantReason(t, err, tt.want)
			if (n.calls > 0) != (tt.want == "") {
				t.Errorf("%d calls of the nonce store", n.calls)
			}
		})
	}
}
