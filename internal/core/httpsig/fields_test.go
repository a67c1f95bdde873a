package httpsig_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/core/httpsig"
	"github.com/certgate/certgate/internal/core/refusal"
)

// TestFields tests the presence of Signature-Input and Signature, their division into
// lines, and other members beside certgate's signature.
func TestFields(t *testing.T) {
	p := newParty(t)
	good := p.sign(t, post(p), terms())
	input, signature := good.Header.Get("Signature-Input"), good.Header.Get("Signature")
	value := strings.TrimPrefix(signature, "sig1=")
	const other = `other=("date");tag="other"`
	tests := []struct {
		name              string
		inputs, signature []string
		want              refusal.Reason
	}{
		{"as signed", []string{input}, []string{signature}, ""},
		{"neither", nil, nil, missing},
		{"both empty", []string{""}, []string{" ", "\t"}, missing},
		{"no signature", []string{input}, nil, malformed},
		{"an empty signature", []string{input}, []string{""}, malformed},
		{"no signature, other tag", []string{other}, nil, malformed},
		{"no input", nil, []string{signature}, malformed},
		{"two lines", []string{input, other}, []string{"other=:AA==:", signature}, ""},
		{"one line of two", []string{input + "," + other}, []string{"other=:AA==:\t, " + signature}, ""},
		{"an empty line between two lines", []string{input, "", other}, []string{signature}, malformed},
		{"the label twice on two lines", []string{input, input}, []string{signature}, malformed},
		{"the signature twice on two lines", []string{input}, []string{"sig1=:AAAA:", signature}, malformed},
		{"another label", []string{input}, []string{"sig2=" + value}, malformed},
		{"an additional label", []string{input}, []string{signature + ", sig2=:AAAA:"}, ""},
		{"a string", []string{input}, []string{`sig1="` + strings.Trim(value, ":") + `"`}, malformed},
		{"a flag", []string{input}, []string{"sig1"}, malformed},
		{"a list", []string{input}, []string{"sig1=(" + value + ")"}, malformed},
		{"a parameter", []string{input}, []string{signature + ";a"}, malformed},
		{"base64 without padding", []string{input}, []string{strings.Replace(signature, "=:", ":", 1)}, malformed},
		{"base64 with nonzero padding bits", []string{input}, []string{lastBits(signature)}, malformed},
		{"base64url", []string{input}, []string{"sig1=:_-8=:"}, malformed},
		{"base64 with a line break", []string{input}, []string{signature[:20] + "\n" + signature[20:]}, malformed},
		{"no bytes", []string{input}, []string{"sig1=::"}, invalid},
		{"8 KiB", []string{input}, []string{signature + other8K(len(signature), 8<<10)}, ""},
		{"a byte more than 8 KiB", []string{input}, []string{signature + other8K(len(signature), 8<<10+1)}, malformed},
		{"a byte more on two lines", []string{input}, []string{signature, other8K(len(signature), 8<<10+1)[2:]}, malformed},
		{"many labels", []string{input}, []string{signature + labels(128)}, ""},
		{"too many labels", []string{input}, []string{signature + labels(129)}, malformed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v, _ := newVerifier()
			m := with(good, http.Header{"Signature-Input": tt.inputs, "Signature": tt.signature})
			_, err := prove(v, m, p.client, now)
			wantReason(t, err, tt.want)
		})
	}
}

// lastBits returns the signature in base64 with nonzero padding bits, which decodes to
// the same bytes.
func lastBits(signature string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	at := strings.LastIndex(signature, "==") - 1
	next := alphabet[strings.IndexByte(alphabet, signature[at])+1]
	return signature[:at] + string(next) + signature[at+1:]
}

// other8K returns a member with another label that extends a field to size bytes.
func other8K(used, size int) string {
	const frame = `, other=""`
	return `, other="` + strings.Repeat("a", size-used-len(frame)) + `"`
}

func labels(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, ", a%d", i)
	}
	return b.String()
}

// TestValuesInTheBase asserts that a covered value cannot inject a line into the
// signature base.
func TestValuesInTheBase(t *testing.T) {
	p := newParty(t)
	tests := []struct {
		name, value string
		want        refusal.Reason
	}{
		{"plain", "a", ""},
		{"spaces around", " \ta ", ""},
		{"empty", "", ""},
		{"line feed", "a\n\"@method\": GET", malformed},
		{"carriage return", "a\rb", malformed},
		{"folded", "a\r\n b", malformed},
		{"NUL", "a\x00", malformed},
		{"DEL", "a\x7f", malformed},
		{"outside ASCII", "ä", malformed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			good := get(p)
			good.Header["X-Other"] = []string{"a"}
			made := terms()
			made.Cover = []string{"X-Other"}
			good = p.sign(t, good, made)
			m := with(good, http.Header{"X-Other": {tt.value}})
			m = p.resign(t, m, m.Header.Get("Signature-Input"))
			v, _ := newVerifier()
			_, err := prove(v, m, p.client, now)
			wantReason(t, err, tt.want)
		})
	}
	for _, tt := range []struct{ name, method, target, host string }{
		{"method", "GET\n", "/", "h"}, {"target", "GET", "/\n", "h"}, {"query", "GET", "/?\n", "h"}, {"host", "GET", "/", "h\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := p.sign(t, get(p), terms())
			m.Method, m.Target, m.Authority = tt.method, tt.target, tt.host
			v, _ := newVerifier()
			_, err := v.Read(m, now)
			wantReason(t, err, malformed)
		})
	}
}

// TestCredentialHeader asserts that a signature must cover the configured credential
// header, and that the case of its name is ignored.
func TestCredentialHeader(t *testing.T) {
	p := newParty(t)
	tests := []struct {
		header string
		want   refusal.Reason
	}{
		{"X-SSL-Auth", ""}, {"x-ssl-auth", ""}, {"Client-Cert", incomplete}, {"", invalid},
	}
	for _, tt := range tests {
		v, _ := newVerifier()
		v.CredentialHeader = tt.header
		_, err := prove(v, p.sign(t, post(p), terms()), p.client, now)
		wantReason(t, err, tt.want)
	}
	v, _ := newVerifier()
	m := p.sign(t, post(p), terms())
	delete(m.Header, "X-Ssl-Auth")
	_, err := v.Read(m, now)
	wantReason(t, err, incomplete)
}

// TestBodyIsCovered asserts that a request with content must cover Content-Digest, and
// that it is refused if the content is not available.
func TestBodyIsCovered(t *testing.T) {
	p := newParty(t)
	withDigest := get(p)
	withDigest.Header["Content-Digest"] = []string{"sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:"}
	covering := terms()
	covering.Cover = []string{"content-digest"}
	unknown := with(p.sign(t, withDigest, covering), http.Header{"Content-Digest": {"md5=:1B2M2Y8AsgTpgAmY7PhCfg==:"}})
	unknown = p.resign(t, unknown, unknown.Header.Get("Signature-Input"))
	tests := []struct {
		name   string
		signed httpsig.Message
		change func(m *httpsig.Message)
		want   refusal.Reason
	}{
		{"content with a digest", p.sign(t, post(p), terms()), func(*httpsig.Message) {}, ""},
		{"content without a digest", p.sign(t, get(p), terms()), func(m *httpsig.Message) { m.HasBody = true }, incomplete},
		{"content not available", p.sign(t, post(p), terms()), func(m *httpsig.Message) { m.Body = nil }, digest},
		{"content not available, without a digest", p.sign(t, get(p), terms()), func(m *httpsig.Message) { m.HasBody, m.Body = true, nil }, digest},
		{"no content", p.sign(t, get(p), terms()), func(*httpsig.Message) {}, ""},
		{"no content, not available", p.sign(t, get(p), terms()), func(m *httpsig.Message) { m.Body = nil }, ""},
		{"no content with a digest", p.sign(t, withDigest, covering), func(*httpsig.Message) {}, ""},
		{"no content with a digest, not available", p.sign(t, withDigest, covering), func(m *httpsig.Message) { m.Body = nil }, digest},
		{"no content with a missing digest", p.sign(t, withDigest, covering), func(m *httpsig.Message) { delete(m.Header, "Content-Digest") }, incomplete},
		{"no content with an unknown digest", unknown, func(*httpsig.Message) {}, digest},
		{"no content expected, body present", p.sign(t, withDigest, covering), func(m *httpsig.Message) { m.Body = content("x") }, digest},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v, _ := newVerifier()
			m := with(tt.signed, nil)
			tt.change(&m)
			_, err := prove(v, m, p.client, now)
			wantReason(t, err, tt.want)
			if m.Body == nil { // Read refuses it before the key is used
				_, err = v.Read(m, now)
				wantReason(t, err, tt.want)
			}
		})
	}
}
