package clients

import (
	"bufio"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/test/harness"
)

// signingPrograms returns the programs that sign requests.
func signingPrograms() []clientProgram {
	python := "/usr/bin/python3"
	return []clientProgram{
		{file: "sign.py", command: []string{python}, probe: []string{python, "-c", "import cryptography"}, from: "python3-cryptography"},
		{file: "sign.rb", command: []string{"ruby"}, probe: []string{"ruby", "-ropenssl", "-e", "0"}, from: "ruby"},
		{file: "sign.mjs", command: []string{"node"}, probe: []string{"node", "-e", "fetch"}, from: "nodejs"},
	}
}

// signerFiles names the files of a client's certificate and key.
type signerFiles struct{ certificate, key string }

func newSignerFiles(t *testing.T, m *harness.MasterKey, algorithm string) signerFiles {
	t.Helper()
	m.WriteFile(t, algorithm+".crt", string(m.Issue(t, harness.CertificateOptions{Subject: "/OU=mail", Key: algorithm}).PEM))
	return signerFiles{filepath.Join(m.Dir, algorithm+".crt"), filepath.Join(m.Dir, algorithm+".key")}
}

// TestSigningClients runs every client program that signs: with each kind of key, and with
// one of them for each form of request.
func TestSigningClients(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	g := harness.NewGateway(t, m, harness.Env{"AUTH_PROOF": "require"})
	event, nothing := filepath.Join(m.Dir, "event.json"), filepath.Join(m.Dir, "nothing")
	harness.WriteFile(t, harness.EventJSON("Meeting"), event)
	harness.WriteFile(t, "", nothing)
	for _, c := range signingPrograms() {
		t.Run(c.file, func(t *testing.T) {
			c.need(t)
			for _, algorithm := range []string{"p256", "p384", "ed25519", "rsa"} {
				s := newSignerFiles(t, m, algorithm)
				c.wantProven(t, g, s, "POST /events", harness.EventJSON("Meeting"), event)
				if algorithm != "p256" {
					continue
				}
				c.wantProven(t, g, s, "POST /events", harness.EventJSON("Meeting"), event) // with another nonce
				c.wantProven(t, g, s, "POST /events?now", "", nothing)
				c.wantProven(t, g, s, "GET /", "")
				c.wantProven(t, g, s, "GET /events?from=a%20b&to=+&from=%C3%BC", "")
			}
		})
	}
}

// wantProven runs the program and expects the request at the upstream, signed by mail.
func (c clientProgram) wantProven(t *testing.T, g *harness.Gateway, s signerFiles, line, body string, file ...string) {
	t.Helper()
	_, target, _ := strings.Cut(line, " ")
	result := c.run(t, append([]string{s.certificate, s.key, "http://" + g.Addr + target}, file...)...)
	if result.ExitCode != 0 || !strings.HasPrefix(result.Stdout, "200\n") {
		t.Fatalf("%s: want exit code 0 and 200, found %+v", line, result)
	}
	received, err := http.ReadRequest(bufio.NewReader(strings.NewReader(g.Upstream.Take())))
	if err != nil {
		t.Fatalf("%s: want it at the upstream, found %v", line, err)
	}
	content, err := io.ReadAll(received.Body)
	if found := received.Method + " " + received.RequestURI; found != line || string(content) != body || err != nil {
		t.Errorf("want %s with %q, found %s with %q and %v", line, body, found, content, err)
	}
	if auth := received.Header["X-Client-Auth"]; len(auth) != 1 || auth[0] != "signed" || received.Header.Get("X-Client-Id") != "mail" {
		t.Errorf("%s: want it signed by mail, found %q by %q", line, auth, received.Header["X-Client-Id"])
	}
}

// TestSigningClientsReportRefusals checks that refused requests give an exit code.
func TestSigningClientsReportRefusals(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	mail, other := newSignerFiles(t, m, "p256"), newSignerFiles(t, m, "ed25519")
	g := harness.NewGateway(t, m, harness.Env{"AUTH_PROOF": "require"})
	tp := harness.NewRecorder(t, g.Addr)
	event := harness.WriteFile(t, harness.EventJSON("Meeting"), t.TempDir(), "event.json")
	for _, c := range signingPrograms() {
		t.Run(c.file, func(t *testing.T) {
			c.need(t)
			result := c.run(t, mail.certificate, other.key, "http://"+g.Addr+"/events")
			if result.ExitCode == 0 || !strings.HasPrefix(result.Stdout, "401\n") || !strings.Contains(result.Stdout, `"reason":"proof_invalid"`) {
				t.Errorf("another key: want an exit code and proof_invalid, found %+v", result)
			}
			g.Upstream.WantNothing(t)
			c.wantSentOnce(t, g, tp, mail)
			server := harness.NewUpstream(t, nil)
			if result := c.run(t, mail.key, mail.key, server.URL+"/events"); result.ExitCode == 0 {
				t.Errorf("want an exit code for a key in the place of the certificate, found %+v", result)
			}
			server.WantNothing(t)
			c.wantNotRedirected(t, http.StatusFound, mail.certificate, mail.key, "URL")
			// A client that follows this status sends a POST again with its body.
			c.wantNotRedirected(t, http.StatusTemporaryRedirect, mail.certificate, mail.key, "URL", event)
		})
	}
}

// wantSentOnce sends the bytes of the program's request again and expects a refusal.
func (c clientProgram) wantSentOnce(t *testing.T, g *harness.Gateway, tp *harness.Recorder, s signerFiles) {
	t.Helper()
	if result := c.run(t, s.certificate, s.key, "http://"+tp.Addr+"/events"); result.ExitCode != 0 {
		t.Fatalf("want exit code 0, found %+v", result)
	}
	g.Upstream.WantOne(t)
	again := harness.Dial(t, g.Addr)
	again.Send(t, tp.Take())
	g.WantProblem(t, again.ReadResponse(t, http.MethodGet), refusal.ProofReplayed)
	g.Upstream.WantNothing(t)
}
