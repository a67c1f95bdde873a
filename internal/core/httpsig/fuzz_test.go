package httpsig_test

import (
	"bytes"
	"crypto/ed25519"
	"net/http"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/core/httpsig"
	"github.com/certgate/certgate/internal/core/refusal"
)

// deterministicClient returns a client whose key and certificate are the same in each
// process, so the signatures of the seeds are valid in all fuzz workers.
func deterministicClient(tb testing.TB) testClient {
	tb.Helper()
	seed := func(b byte) ed25519.PrivateKey {
		return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{b}, ed25519.SeedSize))
	}
	return newIssuerOf(tb, seed(1)).issue(seed(2))
}

// inputSeeds returns valid and invalid values of Signature-Input.
func inputSeeds(good string) []string {
	return []string{
		good, "", "sig1", "sig1=()", `a=("b";c;d=?0);e=1.5;f=:AA==:;g=x/y;h="\"\\";i=@1;j=%"%c3%bc"`,
		strings.Replace(good, "(", "(  ", 1), strings.ReplaceAll(good, ";", " ; "), strings.ReplaceAll(good, ";", ";  "),
		good + ", " + good, good + `;tag="certgate"`, strings.Replace(good, `"@path"`, `"@path" "@path"`, 1),
		`other=("@status";req);tag="x"` + ",\t" + good, `a=();tag="x", a=();tag="x"`, `a=("";b;b)`, `a=();b="; c; c"`,
		strings.Replace(good, `"@query"`, `"@query" "@query-param";name="draft"`, 1), `a=%"\";b=" "`,
	}
}

// FuzzSignatureInput asserts for any value of Signature-Input: the parser does not panic;
// the canonical form of an accepted value parses to itself; an accepted value has no
// duplicate key or parameter; and the division into lines makes no difference.
func FuzzSignatureInput(f *testing.F) {
	p := deterministicClient(f)
	signed := p.sign(f, post(p), terms())
	for _, seed := range inputSeeds(signed.Header.Get("Signature-Input")) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, input string) {
		v, _ := newVerifier()
		_, readErr := v.Read(with(signed, http.Header{"Signature-Input": {input}}), now)
		if refused := refusal.Of(readErr); readErr != nil && (refused == nil || refused.AcceptSignature == "") {
			t.Fatalf("want a refusal with Accept-Signature, found %v", readErr)
		}
		only, label, err := httpsig.ReadInput(input)
		if err != nil {
			if readErr == nil {
				t.Fatalf("Read accepts the input, but ReadInput returns %v", err)
			}
			return
		}
		if strings.Join(strings.Fields(only), "") != strings.Join(strings.Fields(input), "") {
			t.Fatalf("%q is read as %q", input, only)
		}
		again, sameLabel, err := httpsig.ReadInput(only)
		if err != nil || again != only || sameLabel != label {
			t.Fatalf("%q reads as %q, %v", only, again, err)
		}
		if twice := doubled(input); twice != "" {
			t.Fatalf("%q has %q twice", input, twice)
		}
		if first, rest, ok := strings.Cut(only, ", "); ok && !strings.Contains(only, `"`) {
			if lines, _, err := httpsig.ReadInput(first, rest); err != nil || lines != only {
				t.Fatalf("%q on two lines is %q, %v", only, lines, err)
			}
		}
	})
}

// doubled returns a key or parameter that occurs twice, or "". It is independent of the
// parser: it looks for names after delimiters outside quoted strings.
func doubled(input string) string {
	keys, params := map[string]bool{}, map[string]bool{}
	for i := 0; i < len(input); i++ {
		c := input[i]
		switch {
		case c == '"':
			i += lengthOfString(input[i:], i > 0 && input[i-1] == '%')
		case c == ';':
			name := nameAt(input[i+1:])
			if params[name] {
				return name
			}
			params[name] = true
		case c == ',' || i == 0:
			params = map[string]bool{}
			name := nameAt(strings.TrimPrefix(input[i:], ","))
			if keys[name] {
				return name
			}
			keys[name] = true
		case c == '(' || c == ')' || c == ' ' && !strings.HasSuffix(strings.TrimRight(input[:i], " "), ";"):
			params = map[string]bool{}
		}
	}
	return ""
}

// nameAt returns the key or parameter name at the start of the text.
func nameAt(text string) string {
	text = strings.TrimLeft(text, " \t")
	return text[:len(text)-len(strings.TrimLeft(text, "abcdefghijklmnopqrstuvwxyz0123456789_-.*"))]
}

// lengthOfString returns the index of the closing quote of the string at the start of the
// text. Display strings (RFC 9651, section 3.3.8) have no backslash escapes.
func lengthOfString(text string, display bool) int {
	for i := 1; i < len(text); i++ {
		switch {
		case text[i] == '\\' && !display:
			i++
		case text[i] == '"':
			return i
		}
	}
	return len(text)
}

// FuzzProof asserts for any request: the Verifier does not panic; it accepts only the
// signed request, with the same bytes in every covered component; and it accepts that
// request once.
func FuzzProof(f *testing.F) {
	p := deterministicClient(f)
	good := p.sign(f, post(p), terms())
	get := func(name string) string { return good.Header.Get(name) }
	add := func(method, target, host, input, signature, digest, body string) {
		f.Add(method, target, host, get("X-Ssl-Auth"), input, signature, digest, []byte(body))
	}
	input, signature, digest := get("Signature-Input"), get("Signature"), get("Content-Digest")
	add("POST", target, "schedule.example.com", input, signature, digest, event)
	add("POST", target, "Schedule.example.com:443", input+" ", " "+signature, digest, event)
	add("PUT", target, "schedule.example.com", input, signature, digest, event)
	add("POST", target, "schedule.example.com", input, signature, digest+", md5=:AA==:", event)
	add("POST", "/?a=%zz&draft", "", strings.Replace(input, `"@query"`, `"@query" "@query-param";name="draft"`, 1), signature, "sha-256=:AA==:", "")
	add("POST", target, "schedule.example.com", strings.ReplaceAll(input, " ", "  "), signature, digest, event)
	f.Fuzz(func(t *testing.T, method, target, host, credential, input, signature, digest string, body []byte) {
		v, n := newVerifier()
		m := with(good, http.Header{
			"X-Ssl-Auth": {credential}, "Signature-Input": {input}, "Signature": {signature}, "Content-Digest": {digest},
		})
		m.Method, m.Target, m.Authority, m.Body = method, target, host, content(string(body))
		verified, err := prove(v, m, p.client, now)
		if err != nil {
			if verified.Valid() || n.calls > 0 || refusal.Of(err) == nil {
				t.Fatalf("want only a refusal, found %v", err)
			}
			return
		}
		host = strings.TrimSuffix(strings.TrimSuffix(strings.ToLower(host), ":443"), ":80")
		trim := func(s string) string { return strings.Trim(s, " \t") }
		switch {
		case method != good.Method, target != good.Target, host != good.Authority, string(body) != event,
			trim(credential) != get("X-Ssl-Auth"), trim(digest) != get("Content-Digest"):
			t.Fatal("want only the signed request accepted, found another accepted")
		}
		if _, err := prove(v, m, p.client, now); err == nil {
			t.Fatal("want the request accepted once, found it accepted twice")
		}
	})
}
