package httpsig_test

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/certgate/certgate/internal/core/httpsig"
	"github.com/certgate/certgate/internal/core/refusal"
)

// part is one input of the verification: how to read and set it, and the possible
// refusal reasons after a change of any byte. The first reason is the most frequent one.
type part struct {
	name    string
	of      func(m *httpsig.Message) string
	set     func(m *httpsig.Message, value string)
	reasons []refusal.Reason
}

// parts returns all inputs: the covered components, each signature parameter, the
// signature and the body.
func parts() []part {
	field := func(name string, reasons ...refusal.Reason) part {
		return part{
			name, func(m *httpsig.Message) string { return m.Header.Get(name) },
			func(m *httpsig.Message, value string) { m.Header[name] = []string{value} }, reasons,
		}
	}
	return []part{
		{"method", func(m *httpsig.Message) string { return m.Method }, func(m *httpsig.Message, s string) { m.Method = s }, only(invalid)},
		{"authority", func(m *httpsig.Message) string { return m.Authority }, func(m *httpsig.Message, s string) { m.Authority = s }, only(invalid)},
		// The first byte of a target is its slash, and the last may become a question mark.
		{"target", func(m *httpsig.Message) string { return m.Target }, func(m *httpsig.Message, s string) { m.Target = s }, only(invalid, malformed, incomplete)},
		field("X-Ssl-Auth", invalid),
		field("Content-Type", invalid),
		// A changed algorithm name is unknown.
		field("Content-Digest", invalid, malformed, digest),
		field("Signature", invalid, malformed),
		// The change can affect a label, a name, a number or the tag.
		field("Signature-Input", invalid, malformed, incomplete, missing, expired),
		parameter("created", invalid, expired, malformed),
		parameter("expires", invalid, expired, malformed),
		parameter("nonce", invalid),
		parameter("keyid", invalid),
		parameter("tag", missing),
		{"body", bodyOf, func(m *httpsig.Message, s string) { m.Body = content(s) }, only(digest)},
	}
}

func only(reasons ...refusal.Reason) []refusal.Reason { return reasons }

func bodyOf(m *httpsig.Message) string {
	body, _ := m.Body()
	return string(body)
}

// parameter returns the part for the value of one parameter in Signature-Input, without
// its quotes.
func parameter(name string, reasons ...refusal.Reason) part {
	find := func(m *httpsig.Message) (input string, start, end int) {
		input = m.Header.Get("Signature-Input")
		start = strings.Index(input, ";"+name+"=") + len(name) + 2
		end = start + strings.IndexAny(input[start:]+";", ";")
		if input[start] == '"' {
			return input, start + 1, end - 1
		}
		return input, start, end
	}
	return part{
		"parameter " + name,
		func(m *httpsig.Message) string {
			input, start, end := find(m)
			return input[start:end]
		},
		func(m *httpsig.Message, value string) {
			input, start, end := find(m)
			m.Header["Signature-Input"] = []string{input[:start] + value + input[end:]}
		},
		reasons,
	}
}

// changed returns the value with the byte at the given index changed by XOR with by.
func changed(value string, at int, by byte) string {
	b := []byte(value)
	b[at] ^= by
	return string(b)
}

// refusedFor asserts that the message with the changed part is refused and that its
// nonce is not used.
func refusedFor(tb rapid.TB, v *httpsig.Verifier, n *nonces, p testClient, good httpsig.Message, one part, value string) {
	tb.Helper()
	m := with(good, nil)
	one.set(&m, value)
	verified, err := prove(v, m, p.client, now)
	refused := refusal.Of(err)
	if refused == nil || !slices.Contains(one.reasons, refused.Reason) {
		tb.Errorf("%s %.80q: want one of %q, found %v", one.name, value, one.reasons, err)
	}
	if verified.Valid() || n.calls > 0 {
		tb.Errorf("%s %.80q: want no verified request and no nonce used", one.name, value)
	}
}

// TestAnyByteChanged changes each byte of each input and expects a refusal, for the
// fastest algorithm.
func TestAnyByteChanged(t *testing.T) {
	p := newIssuer(t).issue(edKey(t))
	m := post(p)
	m.Target = "/events/7?draft=1&x="
	good := p.sign(t, m, terms())
	v, n := newVerifier()
	for _, one := range parts() {
		value := one.of(&good)
		for i := range value {
			refusedFor(t, v, n, p, good, one, changed(value, i, 1))
		}
	}
	_, err := prove(v, good, p.client, now)
	wantReason(t, err, "")
}

// TestAnyChange asserts for each algorithm that a Verifier accepts the signature of a
// Signer and refuses the request after any change of one byte.
func TestAnyChange(t *testing.T) {
	i := newIssuer(t)
	for _, k := range kinds() {
		t.Run(k.name, func(t *testing.T) {
			p := i.issue(k.key(t))
			rapid.Check(t, func(r *rapid.T) {
				v, n := newVerifier()
				v.LegacyRSA = k.legacy
				made := terms()
				made.LegacyRSA = k.legacy
				made.Nonce = rapid.StringMatching(`[ !#-:<-\[\]-~]{1,128}`).Draw(r, "nonce")
				good := p.sign(t, message(r, p), made)
				one := rapid.SampledFrom(parts()).Draw(r, "part")
				value := one.of(&good)
				at := rapid.IntRange(0, len(value)-1).Draw(r, "at")
				refusedFor(r, v, n, p, good, orMalformed(one), changed(value, at, 1))
				if _, err := prove(v, good, p.client, now); err != nil {
					r.Errorf("want it verified, found %v", err)
				}
			})
		})
	}
}

// orMalformed adds ProofMalformed to the reasons, for changes that may end a string or
// remove the whole value.
func orMalformed(one part) part {
	one.reasons = append(slices.Clone(one.reasons), malformed)
	return one
}

// message returns a random request with a body.
func message(r *rapid.T, p testClient) httpsig.Message {
	m := post(p)
	m.Method = rapid.StringMatching(`[A-Z]{1,10}`).Draw(r, "method")
	m.Target = rapid.StringMatching(`/[!-"$->@-~]{0,60}(\?[!-"$-~]{1,60})?`).Draw(r, "target")
	m.Authority = rapid.StringMatching(`[a-z0-9.-]{1,40}(:[1-9][0-9]{0,3}9)?`).Draw(r, "authority")
	m.Header.Set("Content-Type", rapid.StringMatching(`[!-~]([ -~]{0,40}[!-~])?`).Draw(r, "type"))
	body := rapid.SliceOfN(rapid.Byte(), 1, 100).Draw(r, "body")
	m.Body = func() ([]byte, error) { return bytes.Clone(body), nil }
	return m
}

// TestCutAndDoubled adds and removes bytes and lines and expects a refusal.
func TestCutAndDoubled(t *testing.T) {
	p := newIssuer(t).issue(edKey(t))
	good := p.sign(t, post(p), terms())
	v, n := newVerifier()
	for _, one := range parts() {
		value := one.of(&good)
		for _, other := range []string{value + value, value + "a", "a" + value, value[1:], value[:len(value)-1]} {
			refusedFor(t, v, n, p, good, orMalformed(one), other)
		}
	}
	for _, name := range []string{"X-Ssl-Auth", "Content-Type", "Content-Digest"} {
		for _, lines := range [][]string{{}, {""}, {good.Header.Get(name), good.Header.Get(name)}, {good.Header.Get(name), ""}} {
			_, err := prove(v, with(good, http.Header{name: lines}), p.client, now)
			if err == nil {
				t.Errorf("%s in %d lines: want a refusal", name, len(lines))
			}
		}
	}
}

// TestEmptyQuery asserts that a signature does not verify after a question mark is added
// or removed.
func TestEmptyQuery(t *testing.T) {
	p := newParty(t)
	for _, tt := range []struct {
		signed, sent string
		want         refusal.Reason
	}{
		{"/events", "/events", ""},
		{"/events?", "/events?", ""},
		{"/events", "/events?", incomplete},
		{"/events?", "/events", invalid},
		{"/events??", "/events?", incomplete},
		{"/events?", "/events??", invalid},
	} {
		m := get(p)
		m.Target = tt.signed
		m = p.sign(t, m, terms())
		m.Target = tt.sent
		v, _ := newVerifier()
		_, err := prove(v, m, p.client, now)
		wantReason(t, err, tt.want)
		if refused := refusal.Of(err); tt.want == incomplete && !strings.Contains(refused.AcceptSignature, `"@query" "@request-target" "x-ssl-auth"`) {
			t.Errorf("want @request-target in Accept-Signature, found %s", refused.AcceptSignature)
		}
	}
}

// TestEquivalentRequest asserts that changes that a proxy may make without changing the
// meaning of the request do not invalidate the signature.
func TestEquivalentRequest(t *testing.T) {
	p := newParty(t)
	m := post(p)
	m.Header["X-Other"] = []string{"a", "b"}
	made := terms()
	made.Cover = []string{"x-other"}
	good := p.sign(t, m, made)
	for name, change := range map[string]func(m *httpsig.Message){
		"nothing":        func(*httpsig.Message) {},
		"outer spaces":   func(m *httpsig.Message) { m.Header["X-Ssl-Auth"][0] = " \t" + m.Header["X-Ssl-Auth"][0] + " " },
		"lines joined":   func(m *httpsig.Message) { m.Header["X-Other"] = []string{"a, b"} },
		"uppercase host": func(m *httpsig.Message) { m.Authority = strings.ToUpper(m.Authority) },
		"HTTPS port":     func(m *httpsig.Message) { m.Authority += ":443" },
		"another field":  func(m *httpsig.Message) { m.Header["X-Forwarded-For"] = []string{"10.0.0.1"} },
	} {
		t.Run(name, func(t *testing.T) {
			v, _ := newVerifier()
			same := with(good, nil)
			change(&same)
			_, err := prove(v, same, p.client, now)
			wantReason(t, err, "")
		})
	}
}

// TestBaseLineCount asserts that the signature base has one line per component and one
// line for the parameters.
func TestBaseLineCount(t *testing.T) {
	p := newParty(t)
	rapid.Check(t, func(r *rapid.T) {
		m := p.sign(t, message(r, p), terms())
		base, _, err := httpsig.SignatureBase(m, "sig1")
		if err != nil {
			r.Fatal(err)
		}
		if n := bytes.Count(base, []byte("\n")); n != 7 {
			r.Error(fmt.Sprintf("want 8 lines, found %d", n+1))
		}
	})
}
