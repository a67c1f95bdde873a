package httpsig_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/core/httpsig"
)

// TestSignerIsCanonical checks that the fast path parses the fields of the Signer.
func TestSignerIsCanonical(t *testing.T) {
	p := newParty(t)
	for _, m := range []httpsig.Message{post(p), get(p)} {
		signed := p.sign(t, m, terms())
		if fast, err := httpsig.CompareCanonical(signed.Header); !fast || err != nil {
			t.Errorf("want %s accepted by the fast path, found %v, %v", m.Method, fast, err)
		}
	}
	signed := p.sign(t, post(p), terms())
	if fast, err := httpsig.CompareCanonicalDigest(signed.Header["Content-Digest"]); !fast || err != nil {
		t.Errorf("want Content-Digest accepted by the fast path, found %v, %v", fast, err)
	}
}

// inputChanges are replacements in a valid Signature-Input that make it invalid, or a form
// that only the general parser reads.
var inputChanges = []string{
	`sig1`, `sig2`,
	`"@path"`, `"@path" "@path"`, `"@path"`, `"@path" "content-type" "content-type"`, `"@path"`, `"@status"`,
	`"@path"`, `"@PATH"`, `"@path"`, `""`, `"@path"`, `@path`, `"@path"`, `"Content-Type"`, `"@path"`, `"signature"`,
	`"@path"`, `"@path";req`, `"@path"`, `"@query-param"`, `"@path" `, `"@path"`, `"@path" `, `"@path"  `, `"@path" `, "\"@path\"\t",
	`(`, `( `, `(`, ``, `)`, ` )`, `)`, `));`, `)`, `;`,
	`created=1`, `created=01`, `created=1`, `created=-1`, `created=1`, `created=1000001`, `created=1`, `created=`, `created=1`, `created=1.`,
	`expires=1`, `expires=2`, `created=1`, `created="1`, `created=`, `created=@`, `created=`, `created`, `;created=`, `;createdx=`,
	`nonce="`, `nonce="\"`, `nonce="`, `nonce="\\`, `nonce="`, "nonce=\"\x7f", `nonce="`, "nonce=\"\t", `nonce="`, "nonce=\"é",
	`nonce="`, `nonce="";b="`, `nonce="`, `nonce="";nonce="`, `nonce="`, `nonce="` + strings.Repeat("x", 128), `nonce="`, `nonce="` + strings.Repeat(",", 300),
	`nonce="`, `nonce="a";nonce="`, `keyid="`, `keyid="a";keyid="`, `expires=`, `expires=1;expires=`, `;tag=`, `;tag="x";tag=`, `;tag=`, `;tag="certgate";tag=`,
	`;tag=`, `;alg="ed25519";tag=`, `;tag=`, `;alg="";tag=`, `;tag=`, `;alg="a";alg="b";tag=`, `;tag=`, `;alg;tag=`, `;tag=`, `;other;tag=`, `;tag=`, `; tag=`,
	`"certgate"`, `"other"`, `"certgate"`, `certgate`, `"certgate"`, `"certgate" `, `"certgate"`, `"certgate", b=()`, `"certgate"`, `"certgate`,
	`;tag="certgate"`, ``, `;keyid=`, `;x=`, `;nonce=`, `;x=`, `;expires=`, `;x=`, `;created=`, `;x=`, `nonce="`, `nonce="` + strings.Repeat("x", 8<<10),
}

// FuzzCanonical checks that the general parser accepts each field that the fast path accepts,
// that both return the same values, and that the fast path accepts canonical fields only.
func FuzzCanonical(f *testing.F) {
	p := deterministicClient(f)
	h := p.sign(f, post(p), terms()).Header
	input, signature, digest := h.Get("Signature-Input"), h.Get("Signature"), h.Get("Content-Digest")
	f.Add(input, signature, digest)
	for i := 0; i < len(inputChanges); i += 2 {
		f.Add(strings.Replace(input, inputChanges[i], inputChanges[i+1], 1), signature, digest)
	}
	for _, label := range []string{"", "Sig1", "1sig", "sIg", "*a_-.9", "a/", "-a", " a"} {
		f.Add(strings.Replace(input, "sig1", label, 1), strings.Replace(signature, "sig1", label, 1), digest)
	}
	f.Add(strings.Replace(input, ")", strings.Join(numbered(` "x-%d"`, 64), "")+")", 1), signature, digest)
	f.Add(`sig1=("a");created=9999999999999990;expires=9999999999999999;nonce="a";keyid="a";tag="certgate"`, signature, digest)
	for _, value := range []string{
		"", ":", "sig1=::", "sig1=:AA==:", "sig1=:AB==:", "sig1=:AA=:", "sig1=:AAA:", "sig1=:A\nA==:", "sig1=:AA\r==:", "sig1=:AA==", "sig1=:A_==:",
		"sig1=:AA==: ", "sig1=:AA==:;a", "sig1=:AA==:, sig1=:AA==:", "sig1=:AA==:, b=:AA==:", "sig2=:AA==:", "sig1x=:AA==:", "sig1=AA", "sig1=:" + strings.Repeat("A", 8<<10) + ":",
	} {
		f.Add(input, value, digest)
		f.Add(input, signature, strings.Replace(value, "sig1", "sha-256", 1))
	}
	f.Fuzz(func(t *testing.T, input, signature, digest string) {
		if _, err := httpsig.CompareCanonical(http.Header{"Signature-Input": {input}, "Signature": {signature}}); err != nil {
			t.Error(err)
		}
		if _, err := httpsig.CompareCanonicalDigest([]string{digest}); err != nil {
			t.Error(err)
		}
	})
}
