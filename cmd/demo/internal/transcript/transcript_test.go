package transcript

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
)

// TestCheck checks that a response is the expected one only with the right status, reason
// and identity, and that the transcript shows the expectation otherwise.
func TestCheck(t *testing.T) {
	t.Parallel()
	allowed := scene{status: http.StatusCreated, received: Identity{"social", "signed"}}
	refused := scene{status: http.StatusUnauthorized, reason: "proof_replayed"}
	replayed := `{"reason":"proof_replayed"}`
	tests := []struct {
		name     string
		scene    scene
		received Identity
		status   int
		body     string
		want     bool
	}{
		{"allowed", allowed, allowed.received, 201, `{"event":{}}`, true},
		{"no JSON", allowed, allowed.received, 201, "created", true},
		{"allowed with another status", allowed, allowed.received, 200, `{"event":{}}`, false},
		{"allowed without the signature", allowed, Identity{"social", "bearer"}, 201, `{"event":{}}`, false},
		{"allowed as another", allowed, Identity{"mail", "signed"}, 201, `{"event":{}}`, false},
		{"response of another server", allowed, Identity{}, 201, `{"event":{}}`, false},
		{"refused", refused, Identity{}, 401, replayed, true},
		{"refused with another status", refused, Identity{}, 403, replayed, false},
		{"refused for another reason", refused, Identity{}, 401, `{"reason":"proof_missing"}`, false},
		{"refused after the service received it", refused, Identity{"social", "signed"}, 401, replayed, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			printed := &bytes.Buffer{}
			p := runner{w: printed, system: System{TakeReceived: func() Identity { return test.received }}}
			res := &http.Response{StatusCode: test.status, Body: io.NopCloser(strings.NewReader(test.body))}
			if found := p.check(test.scene, res); found != test.want || strings.Contains(printed.String(), "!!") == test.want {
				t.Errorf("want %t, and a message otherwise, found %t and\n%s", test.want, found, printed)
			}
		})
	}
}

// TestPrintableLines checks that the transcript omits the secret parts of a signed request.
func TestPrintableLines(t *testing.T) {
	t.Parallel()
	m := request{http.MethodPost, "{}", http.Header{
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
	for captured, want := range map[int][]string{0: first, 2: again} {
		if found := m.printableLines(scene{captured: captured}, "social.header"); strings.Join(found, "\n") != strings.Join(want, "\n") {
			t.Errorf("want %q, found %q", want, found)
		}
	}
}
