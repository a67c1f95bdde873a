package main

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
)

// TestJudge: an answer is the expected one with its status, its reason and what
// the schedule was told, and else the transcript says what was wanted.
func TestJudge(t *testing.T) {
	t.Parallel()
	allowed := scene{status: http.StatusCreated, told: identity{"social", "signed"}}
	refused := scene{status: http.StatusUnauthorized, reason: "proof_replayed"}
	replayed := `{"reason":"proof_replayed"}`
	tests := []struct {
		name   string
		scene  scene
		told   identity
		status int
		body   string
		want   bool
	}{
		{"allowed", allowed, allowed.told, 201, `{"event":{}}`, true},
		{"no JSON", allowed, allowed.told, 201, "created", true},
		{"allowed otherwise", allowed, allowed.told, 200, `{"event":{}}`, false},
		{"allowed without the signature", allowed, identity{"social", "bearer"}, 201, `{"event":{}}`, false},
		{"allowed as another", allowed, identity{"mail", "signed"}, 201, `{"event":{}}`, false},
		{"somebody else's answer", allowed, identity{}, 201, `{"event":{}}`, false},
		{"refused", refused, identity{}, 401, replayed, true},
		{"refused otherwise", refused, identity{}, 403, replayed, false},
		{"refused for another reason", refused, identity{}, 401, `{"reason":"proof_missing"}`, false},
		{"refused after the schedule had it", refused, identity{"social", "signed"}, 401, replayed, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s, printed := &system{}, &bytes.Buffer{}
			if test.told != (identity{}) {
				s.told.Store(&test.told)
			}
			p := player{w: printed, system: s}
			res := &http.Response{StatusCode: test.status, Body: io.NopCloser(strings.NewReader(test.body))}
			if found := p.judge(test.scene, res); found != test.want || strings.Contains(printed.String(), "!!") == test.want {
				t.Errorf("want %t, and only else a complaint, found %t and\n%s", test.want, found, printed)
			}
		})
	}
}

// TestShown: what is printed of a signed request is not enough to send it.
func TestShown(t *testing.T) {
	t.Parallel()
	m := message{http.MethodPost, "{}", http.Header{
		"X-Ssl-Auth":      {"MIIBcertificate"},
		"Content-Digest":  {"sha-256=:ZGlnZXN0:"},
		"Signature-Input": {`sig1=("@method");created=1;nonce="bm9uY2U";keyid="6b6579";tag="certgate"`},
		"Signature":       {"sig1=:c2lnbmF0dXJl:"},
	}}
	first := []string{
		"POST /events", "X-SSL-Auth: (the certificate in social.header)", "Content-Digest: sha-256=:…:",
		`Signature-Input: sig1=("@method");created=1;nonce="…";keyid="…";tag="certgate"`, "Signature: sig1=:…:", "{}",
	}
	again := []string{"POST /events", "X-SSL-Auth, Content-Digest, Signature-Input, Signature: (as in 2)", "{}"}
	for seen, want := range map[int][]string{0: first, 2: again} {
		if found := m.shown(scene{seen: seen}, "social.header"); strings.Join(found, "\n") != strings.Join(want, "\n") {
			t.Errorf("want %q, found %q", want, found)
		}
	}
}
