package httpsig_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/core/refusal"
)

const (
	missing    = refusal.ProofMissing
	malformed  = refusal.ProofMalformed
	incomplete = refusal.ProofIncomplete
	invalid    = refusal.ProofInvalid
	expired    = refusal.ProofExpired
	digest     = refusal.ProofDigest
)

// change is one difference from a valid Signature-Input. The changed input is signed
// again, so only the difference can cause a refusal.
type change struct {
	name, old, new string
	want           refusal.Reason
}

// TestSignatureInput tests the parameters, the covered components and the form of
// Signature-Input.
func TestSignatureInput(t *testing.T) {
	p := newParty(t)
	good := p.sign(t, post(p), terms())
	good.Header["X-Other"] = []string{"1"}
	input := good.Header.Get("Signature-Input")
	created := now.Unix()
	window := fmt.Sprintf("created=%d;expires=%d", created, created+60)
	keyID := `keyid="` + p.client.Certificate().OwnKeyID().String() + `"`
	nonce := `nonce="` + terms().Nonce + `"`
	groups := map[string][]change{
		"parameters": parameterChanges(window, keyID, nonce, created),
		"components": componentChanges(),
		"coverage":   coverageChanges(),
		"spelling":   spellingChanges(window, nonce),
		"tags":       tagChanges(input),
	}
	for group, changes := range groups {
		for _, tt := range changes {
			t.Run(group+"/"+tt.name, func(t *testing.T) {
				if !strings.Contains(input, tt.old) {
					t.Fatalf("want %s in the valid input, found none", tt.old)
				}
				v, _ := newVerifier()
				m := p.resign(t, good, strings.Replace(input, tt.old, tt.new, 1))
				_, err := prove(v, m, p.client, now)
				wantReason(t, err, tt.want)
			})
		}
	}
}

func parameterChanges(window, keyID, nonce string, created int64) []change {
	period := func(format string, offsets ...any) string {
		for i, offset := range offsets {
			if n, ok := offset.(int); ok {
				offsets[i] = created + int64(n)
			}
		}
		return fmt.Sprintf(format, offsets...)
	}
	return []change{
		{"unchanged", "", "", ""},
		{"created missing", window, period("expires=%d", 60), incomplete},
		{"expires missing", window, period("created=%d", 0), incomplete},
		{"nonce missing", ";" + nonce, "", incomplete},
		{"keyid missing", ";" + keyID, "", incomplete},
		{"created is a decimal", window, period("created=%d.0;expires=%d", 0, 60), malformed},
		{"created is a string", window, period(`created="%d";expires=%d`, 0, 60), malformed},
		{"created is a date", window, period("created=@%d;expires=%d", 0, 60), malformed},
		{"created is a flag", window, period("created;expires=%d", 60), malformed},
		{"created has too many digits", window, period("created=9999999999999999;expires=%d", 60), malformed},
		{"created is the largest integer", window, "created=999999999999999;expires=999999999999999", malformed},
		{"the latest possible period", window, "created=999999999999998;expires=999999999999999", expired},
		{"the earliest possible period", window, "created=-999999999999999;expires=-999999999999998", expired},
		{"the longest possible period", window, "created=-999999999999999;expires=999999999999999", malformed},
		{"created is negative", window, period("created=-1;expires=%d", 60), malformed},
		{"expires is a token", window, period("created=%d;expires=never", 0), malformed},
		{"expires is a decimal", window, period("created=%d;expires=%d.5", 0, 60), malformed},
		{"no lifetime", window, period("created=%d;expires=%d", 0, 0), malformed},
		{"negative lifetime", window, period("created=%d;expires=%d", 0, -1), malformed},
		{"one second", window, period("created=%d;expires=%d", 0, 1), ""},
		{"five minutes", window, period("created=%d;expires=%d", 0, 300), ""},
		{"five minutes and a second", window, period("created=%d;expires=%d", 0, 301), malformed},
		{"nonce is an integer", nonce, "nonce=12", malformed},
		{"nonce is a token", nonce, "nonce=abc", malformed},
		{"nonce is bytes", nonce, "nonce=:AAAA:", malformed},
		{"nonce is empty", nonce, `nonce=""`, malformed},
		{"nonce of one character", nonce, `nonce="x"`, ""},
		{"nonce of 128 characters", nonce, `nonce="` + strings.Repeat("x", 128) + `"`, ""},
		{"nonce of 129 characters", nonce, `nonce="` + strings.Repeat("x", 129) + `"`, malformed},
		{"nonce of special characters", nonce, `nonce=" \"\\,;=~ "`, ""},
		{"nonce outside ASCII", nonce, `nonce="ü"`, malformed},
		{"nonce with a tab", nonce, "nonce=\"a\tb\"", malformed},
		{"keyid is a token", keyID, strings.ReplaceAll(strings.Replace(keyID, `"`, "a", 1), `"`, ""), malformed},
		{"keyid is bytes", keyID, "keyid=:AAAA:", malformed},
		{"keyid is empty", keyID, `keyid=""`, invalid},
		{"keyid in uppercase", keyID, "keyid=" + strings.ToUpper(strings.TrimPrefix(keyID, "keyid=")), invalid},
		{"keyid truncated", keyID, keyID[:len(keyID)-2] + `"`, invalid},
		{"keyid of another key", keyID, `keyid="` + strings.Repeat("0", 64) + `"`, invalid},
		{"alg of the key", ";" + keyID, ";" + keyID + `;alg="ecdsa-p256-sha256"`, ""},
		{"alg of another key", ";" + keyID, ";" + keyID + `;alg="ed25519"`, invalid},
		{"alg is unknown", ";" + keyID, ";" + keyID + `;alg="none"`, invalid},
		{"alg is empty", ";" + keyID, ";" + keyID + `;alg=""`, invalid},
		{"alg is a token", ";" + keyID, ";" + keyID + `;alg=ecdsa-p256-sha256`, malformed},
		{"unknown parameters", ";" + keyID, ";" + keyID + `;a;b=?0;c=:AA==:;d=1.5;e=x/y`, ""},
	}
}

func componentChanges() []change {
	const method = `("@method"`
	add := func(name, item string, want refusal.Reason) change {
		return change{name: name, old: method, new: `(` + item + ` "@method"`, want: want}
	}
	return []change{
		add("a field that is there", `"x-other"`, ""),
		add("a field that is not there", `"x-none"`, incomplete),
		add("a field in capitals", `"X-Other"`, malformed),
		add("a field that is no field", `"x other"`, malformed),
		add("a field that ends its own name", `"x-other\"\n"`, malformed),
		add("no name", `""`, malformed),
		add("the target", `"@request-target"`, ""),
		add("the target's URI", `"@target-uri"`, malformed),
		add("the scheme", `"@scheme"`, malformed),
		add("the status", `"@status"`, malformed),
		add("the parameters", `"@signature-params"`, malformed),
		add("an unknown component", `"@nothing"`, malformed),
		add("only the @ sign", `"@"`, malformed),
		add("an uppercase derived component", `"@Method"`, malformed),
		add("a component twice", `"@method"`, malformed),
		add("a field twice", `"x-other" "x-other"`, malformed),
		add("the signature itself", `"signature"`, malformed),
		add("its own parameters", `"signature-input"`, malformed),
		add("a token", `method`, malformed),
		add("an integer", `1`, malformed),
		add("bytes", `:AAAA:`, malformed),
		add("a flag", `?1`, malformed),
		add("a parameter", `"x-other";sf`, malformed),
		add("a parameter that is false", `"x-other";sf=?0`, malformed),
		add("an unknown parameter", `"x-other";a=1`, malformed),
		add("a key", `"x-other";key="a"`, malformed),
		add("bytes of a field", `"x-other";bs`, malformed),
		add("of the request", `"@path";req`, malformed),
		add("a trailer", `"x-other";tr`, malformed),
		add("a field with the parameter name", `"x-other";name="draft"`, malformed),
		add("a query parameter", `"@query-param";name="draft"`, ""),
		add("a missing query parameter", `"@query-param";name="none"`, incomplete),
		add("a query parameter twice", `"@query-param";name="draft" "@query-param";name="draft"`, malformed),
		add("a query parameter without a name", `"@query-param"`, malformed),
		add("a query parameter whose name is a token", `"@query-param";name=draft`, malformed),
		add("a query parameter with another parameter", `"@query-param";name="draft";req`, malformed),
		add("a query parameter by another key", `"@query-param";nam="draft"`, malformed),
	}
}

func coverageChanges() []change {
	drop := func(name string) change {
		return change{name: "without " + name, old: `"` + name + `" `, new: "", want: incomplete}
	}
	return []change{
		drop("@method"), drop("@authority"), drop("@path"), drop("@query"), drop("x-ssl-auth"), drop("content-digest"),
		{"the target instead of path and query", `"@path" "@query"`, `"@request-target"`, incomplete},
		{"one query parameter instead of the query", `"@query"`, `"@query-param";name="draft"`, incomplete},
		{"nothing", `"@method" "@authority" "@path" "@query" "x-ssl-auth" "content-digest" "content-type"`, "", incomplete},
		{"without content-type", ` "content-type"`, "", ""},
		{"another order", `"@method" "@authority" "@path"`, `"@path" "@method" "@authority"`, ""},
	}
}

func spellingChanges(window, nonce string) []change {
	return []change{
		{"spaces in the list", `("@method" `, `(  "@method"   `, ""},
		{"a space after the last component", `"content-type")`, `"content-type"  )`, ""},
		{"a space before a parameter", ";" + nonce, "; " + nonce, ""},
		{"spaces around", "sig1=", "  sig1=", ""},
		{"a tab in the list", `("@method" `, "(\t\"@method\" ", malformed},
		{"a space before =", "created=", "created =", malformed},
		{"a space after =", "created=", "created= ", malformed},
		{"a line break", ";" + nonce, "\n;" + nonce, malformed},
		{"no space between components", `"@method" "@authority"`, `"@method""@authority"`, malformed},
		{"no list", "sig1=(", "sig1=", malformed},
		{"no end of the list", `"content-type")`, `"content-type"`, malformed},
		{"a parameter twice", ";" + nonce, ";" + nonce + ";" + nonce, malformed},
		{"a parameter twice with different values", ";" + nonce, `;nonce="first";` + nonce, malformed},
		{"created twice", window, "created=1;" + window, malformed},
		{"tag twice", `;tag="certgate"`, `;tag="other";tag="certgate"`, malformed},
		{"label twice", "sig1=", `sig1=("@method");tag="other", sig1=`, malformed},
		{"another label twice", "sig1=", `a=();tag="x", a=();tag="x", sig1=`, malformed},
		{"a parameter of another signature twice", "sig1=", `a=();tag="x";b=1;b=2, sig1=`, malformed},
		{"a component's parameter twice", `"@query" `, `"@query" "@query-param";name="x";name="draft" `, malformed},
		{"leading zeros", "created=", "created=0", malformed},
		{"a number with a plus", "created=", "created=+", malformed},
		{"a flag with an explicit value", ";" + nonce, ";a=?1;" + nonce, malformed},
		{"trailing zeros of a decimal", ";" + nonce, ";a=1.50;" + nonce, malformed},
		{"bytes without padding", ";" + nonce, ";a=:AA:;" + nonce, malformed},
		{"bytes with nonzero padding bits", ";" + nonce, ";a=:AB==:;" + nonce, malformed},
		{"an uppercase label", "sig1=", "Sig1=", malformed},
		{"a comma at the end", `;tag="certgate"`, `;tag="certgate",`, malformed},
		{"a comma at the beginning", "sig1=", ", sig1=", malformed},
		{"64 components", `"content-type"`, `"content-type"` + params(57), ""},
		{"65 components", `"content-type"`, `"content-type"` + params(58), malformed},
	}
}

// params returns n covered query parameters of target, as component identifiers.
func params(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, ` "@query-param";name="p%d"`, i)
	}
	return b.String()
}

func tagChanges(input string) []change {
	const tag = `;tag="certgate"`
	return []change{
		{"none", tag, "", incomplete},
		{"another", tag, `;tag="other"`, missing},
		{"uppercase", tag, `;tag="Certgate"`, missing},
		{"longer", tag, `;tag="certgate "`, missing},
		{"a token", tag, `;tag=certgate`, malformed},
		{"a flag", tag, `;tag`, malformed},
		{"with a signature for another tag", "sig1=", `other=("@status";req "@target-uri");tag="other", sig1=`, ""},
		{"with a signature without a tag", "sig1=", `other=("date");created=1, sig1=`, ""},
		{"two signatures for certgate", "sig1=", strings.Replace(input, "sig1=", "sig0=", 1) + ", sig1=", malformed},
		{"another member is an integer", "sig1=", `other=1, sig1=`, malformed},
		{"another member is a flag", "sig1=", `other, sig1=`, malformed},
	}
}
