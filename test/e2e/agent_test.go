package e2e

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/test/harness"
)

// TestAgentSignsRequests sends plain requests through an agent with each kind of key and
// expects them signed at the gateway.
func TestAgentSignsRequests(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	for _, algorithm := range []string{"p256", "p384", "ed25519", "rsa"} {
		t.Run(algorithm, func(t *testing.T) {
			t.Parallel()
			g := harness.NewGateway(t, m, harness.SignatureRequiredOnAddress())
			o := harness.CertificateOptions{Subject: "/OU=mail", Key: algorithm}
			agent := m.NewCredentialFiles(t, o).StartAgent(t, "http://"+g.Addr)
			url := "http://" + agent.Addr
			event := harness.WriteFile(t, harness.EventJSON("Meeting"), t.TempDir(), "event.json")
			for _, test := range []struct {
				name, body string
				args       []string
			}{
				{"GET", "", []string{url + "/events?from=a%20b"}},
				{"POST", harness.EventJSON("Meeting"), []string{url + "/events", "-H", "Content-Type: application/json", "--data-binary", "@" + event}},
				{"chunked", harness.EventJSON("Meeting"), []string{url + "/events", "-H", "Transfer-Encoding: chunked", "--data-binary", "@" + event}},
				{"empty", "", []string{url + "/events", "-d", ""}},
				{"with a forged header", "", []string{url + "/events", "-H", "X-SSL-Auth: mine", "-H", "X-Client-Id: social"}},
			} {
				if status, body := harness.Curl(t, test.args...); status != 200 {
					t.Fatalf("%s: want 200, found %d and %s", test.name, status, body)
				}
				received := wantRequest(t, g.Upstream)
				content, _ := io.ReadAll(received.Body)
				if received.Header.Get("X-Client-Auth") != "signed" || received.Header.Get("X-Client-Id") != "mail" || string(content) != test.body {
					t.Errorf("%s: want it signed by mail, found %q by %q with %q", test.name,
						received.Header.Get("X-Client-Auth"), received.Header.Get("X-Client-Id"), content)
				}
			}
			if status, body := harness.Curl(t, "--path-as-is", url+"/events/%2e%2e/admin"); status != 400 || !strings.Contains(body, string(refusal.PathAmbiguous)) {
				t.Errorf("want the gateway's refusal of the path, found %d and %s", status, body)
			}
			g.Upstream.WantNothing(t)
		})
	}
}

// wantRequest is the only request that has arrived.
func wantRequest(t *testing.T, u *harness.Upstream) *http.Request {
	t.Helper()
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(u.Take())))
	if err != nil {
		t.Fatalf("want a request at the upstream, found %v", err)
	}
	return r
}

// TestAgentStreamsResponses checks that the agent forwards each part of a response as it
// arrives.
func TestAgentStreamsResponses(t *testing.T) {
	t.Parallel()
	read := make(chan struct{})
	m := harness.NewMasterKey(t, "p256")
	u := harness.NewUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "one\n")
		_ = http.NewResponseController(w).Flush()
		select {
		case <-read:
			_, _ = io.WriteString(w, "two\n")
		case <-r.Context().Done():
		}
	})
	g := harness.StartGateway(t, u, harness.GatewayEnv(m.PublicKey, u).With(harness.SignatureRequiredOnAddress()))
	agent := m.NewCredentialFiles(t, harness.OU("mail")).StartAgent(t, "http://"+g.Addr)
	c := harness.Dial(t, agent.Addr)
	c.Send(t, "GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
	res, err := http.ReadResponse(c.Reader, nil)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(res.Body)
	if line, err := lines.ReadString('\n'); line != "one\n" || err != nil {
		t.Errorf("want the first line, found %q and %v", line, err)
	}
	close(read)
	if line, err := lines.ReadString('\n'); line != "two\n" || err != nil {
		t.Errorf("want the second line, found %q and %v", line, err)
	}
}

// TestAgentReloadsRenewedCertificate replaces certificate and key while requests run and
// expects that none fails.
func TestAgentReloadsRenewedCertificate(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	g := harness.NewGateway(t, m, harness.SignatureRequiredOnAddress())
	mail := m.NewCredentialFiles(t, harness.OU("mail"))
	agent := mail.StartAgent(t, "http://"+g.Addr)
	stop := make(chan struct{})
	var senders sync.WaitGroup
	for range 4 {
		senders.Go(func() { sendUntil(t, "http://"+agent.Addr+"/events", stop) })
	}
	for _, algorithm := range []string{"ed25519", "p256", "p384"} {
		renewed := mail.Renew(t, harness.CertificateOptions{Subject: "/OU=mail", Key: algorithm})
		g.WaitAuditLine(t, func(l harness.AuditLine) bool { return l.Serial == renewed.Serial() })
	}
	close(stop)
	senders.Wait()
	if text := agent.Stderr.String(); strings.Contains(text, `"level":"error"`) {
		t.Errorf("want no error in the log, found %s", text)
	}
	last := m.Issue(t, harness.OU("mail"))
	for name, text := range map[string][]byte{mail.Cert: last.PEM, mail.Key: m.ReadFile(t, "p256.key")} {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	agent.Signal(t, syscall.SIGHUP)
	if _, err := agent.Stderr.WaitLine(func(line string) bool { return strings.Contains(line, last.Serial()) }); err != nil {
		t.Errorf("want the last certificate in the agent's log: %v", err)
	}
}

// sendUntil sends a request every 5 ms until stop is closed, and expects the status 200.
func sendUntil(t *testing.T, url string, stop <-chan struct{}) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		res, err := http.Post(url, "text/plain", strings.NewReader("x"))
		if err != nil {
			t.Errorf("want a response, found %v", err)
			return
		}
		body, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if res.StatusCode != http.StatusOK {
			t.Errorf("want 200, found %d and %s", res.StatusCode, body)
			return
		}
	}
}

// TestAgentReportsExpiredCertificate checks that the agent reports an expired certificate
// to its clients, its health check and its log until a new one is there.
func TestAgentReportsExpiredCertificate(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	g := harness.NewGateway(t, m, harness.SignatureRequiredOnAddress())
	past := harness.OU("mail")
	past.NotBefore, past.NotAfter = time.Now().Add(-48*time.Hour), time.Now().Add(-24*time.Hour)
	mail := m.NewCredentialFiles(t, past)
	agent := mail.StartAgent(t, "http://"+g.Addr)
	health := func() int {
		return harness.Run(t, "certgate", nil, "health", "--url", "http://"+agent.Addr+"/healthz").ExitCode
	}
	if status, body := harness.Curl(t, "http://"+agent.Addr+"/events"); status != 503 || !strings.Contains(body, `"reason":"agent_certificate_expired"`) {
		t.Errorf("want 503 and the reason, found %d and %s", status, body)
	}
	g.Upstream.WantNothing(t)
	if code := health(); code != 1 {
		t.Errorf("want a failed health check, found exit code %d", code)
	}
	if !strings.Contains(agent.Stderr.String(), "the certificate has expired") {
		t.Error("want it in the log")
	}
	renewed := mail.Renew(t, harness.OU("mail"))
	if _, err := agent.Stderr.WaitLine(func(line string) bool { return strings.Contains(line, renewed.Serial()) }); err != nil {
		t.Errorf("want the renewal in the log: %v", err)
	}
	if status, body := harness.Curl(t, "http://"+agent.Addr+"/events"); status != 200 || health() != 0 {
		t.Errorf("want 200 and a successful health check after the renewal, found %d and %s", status, body)
	}
}

// TestAgentDrainsOnSIGTERM checks that the agent finishes a request that is in flight.
func TestAgentDrainsOnSIGTERM(t *testing.T) {
	t.Parallel()
	arrived, release := make(chan struct{}), make(chan struct{})
	m := harness.NewMasterKey(t, "p256")
	u := harness.NewUpstream(t, func(http.ResponseWriter, *http.Request) {
		close(arrived)
		<-release
	})
	g := harness.StartGateway(t, u, harness.GatewayEnv(m.PublicKey, u).With(harness.SignatureRequiredOnAddress()))
	agent := m.NewCredentialFiles(t, harness.OU("mail")).StartAgent(t, "http://"+g.Addr)
	c := harness.Dial(t, agent.Addr)
	c.Send(t, "POST /events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx")
	<-arrived
	agent.Signal(t, harness.Terminate)
	if _, err := agent.Stderr.WaitLine(func(line string) bool { return strings.Contains(line, `"msg":"draining"`) }); err != nil {
		t.Error(err)
	}
	close(release)
	if a := c.ReadResponse(t, "POST"); a.Status != 200 {
		t.Errorf("want 200, found %d", a.Status)
	}
	agent.WantExit(t, 0)
}

// TestAgentListensOnUnixSocket checks that curl reaches the agent on its socket and that
// only its owner may use it.
func TestAgentListensOnUnixSocket(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	g := harness.NewGateway(t, m, harness.SignatureRequiredOnAddress())
	path := filepath.Join(t.TempDir(), "s")
	agent := harness.Start(t, "certgate", nil, m.NewCredentialFiles(t, harness.OU("mail")).Args("agent", "--to", "http://"+g.Addr, "--listen", "unix:"+path)...)
	agent.WaitListening(t)
	if status, body := harness.Curl(t, "--unix-socket", path, "http://schedule.example.com/events"); status != 200 {
		t.Errorf("want 200, found %d and %s", status, body)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("want a socket of mode 0600, found %v", info.Mode())
	}
	agent.Stop(t, harness.Terminate)
	if _, err := os.Stat(path); err == nil {
		t.Error("want the socket removed")
	}
}

// TestAgentRefusesBrowserRequests checks that the agent signs no request that a browser
// sends for another page.
func TestAgentRefusesBrowserRequests(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	g := harness.NewGateway(t, m, harness.SignatureRequiredOnAddress())
	agent := m.NewCredentialFiles(t, harness.OU("mail")).StartAgent(t, "http://"+g.Addr)
	_, port, _ := net.SplitHostPort(agent.Addr)
	for reason, args := range map[string][]string{
		"agent_host_unknown": {"--resolve", "evil.example:" + port + ":127.0.0.1", "http://evil.example:" + port + "/events"},
		"agent_cross_origin": {"-H", "Origin: https://evil.example", "http://" + agent.Addr + "/events"},
	} {
		if status, body := harness.Curl(t, args...); status/100 != 4 || !strings.Contains(body, reason) {
			t.Errorf("want %s, found %d and %s", reason, status, body)
		}
	}
	g.Upstream.WantNothing(t)
}

// TestSignCommandForCurl sends the output of certgate sign with curl and expects it
// accepted once.
func TestSignCommandForCurl(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	g := harness.NewGateway(t, m, harness.SignatureRequiredOnAddress())
	mail := m.NewCredentialFiles(t, harness.OU("mail"))
	event := harness.WriteFile(t, harness.EventJSON("Meeting")+"\n", t.TempDir(), "event.json")
	url := "http://" + g.Addr + "/events?draft=1"
	signed := harness.RunProgramUnrecorded(t, harness.BinaryPath(t, "certgate"), nil,
		mail.Args("sign", "--content-type", "application/json", "--data", "@"+event, "POST", url)...)
	if signed.ExitCode != 0 || signed.Stderr != "" {
		t.Fatalf("want exit code 0, found %d and %s", signed.ExitCode, signed.Stderr)
	}
	header := harness.WriteFile(t, signed.Stdout, t.TempDir(), "header")
	if status, body := harness.Curl(t, "-H", "@"+header, "--data-binary", "@"+event, url); status != 200 {
		t.Fatalf("want 200, found %d and %s", status, body)
	}
	if r := wantRequest(t, g.Upstream); r.Header.Get("X-Client-Auth") != "signed" || r.Header.Get("Content-Type") != "application/json" {
		t.Errorf("want a signed request with its type, found %q and %q", r.Header.Get("X-Client-Auth"), r.Header.Get("Content-Type"))
	}
	for _, again := range [][]string{{"--data-binary", "@" + event, url}, {"--data-binary", "@" + event, "-H", "X-More: 1", url}} {
		if status, body := harness.Curl(t, append([]string{"-H", "@" + header}, again...)...); status != 401 || !strings.Contains(body, string(refusal.ProofReplayed)) {
			t.Errorf("want it refused the second time, found %d and %s", status, body)
		}
	}
	g.Upstream.WantNothing(t)
	pipe := `"$0" sign --cert "$1" --key "$2" GET "$3" | curl -sS -o /dev/null -w '%{http_code}' -H @- "$3"`
	result := harness.RunProgram(t, "sh", nil, "-c", pipe, harness.BinaryPath(t, "certgate"), mail.Cert, mail.Key, url)
	if result.Stdout != "200" {
		t.Errorf("want 200 by a pipe, found %+v", result)
	}
}

// TestRequestCommand sends a signed request with certgate request.
func TestRequestCommand(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	u := harness.NewUpstream(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "stored\n") })
	g := harness.StartGateway(t, u, harness.GatewayEnv(m.PublicKey, u).With(harness.SignatureRequiredOnAddress()))
	mail := m.NewCredentialFiles(t, harness.OU("mail"))
	url := "http://" + g.Addr + "/events"
	result := harness.Run(t, "certgate", nil, mail.Args("request", "--content-type", "application/json", "--data", harness.EventJSON("Meeting"), "POST", url)...)
	if result != (harness.Result{ExitCode: 0, Stdout: "stored\n", Stderr: "HTTP/1.1 200 OK\n"}) {
		t.Errorf("want the body and the status, found %+v", result)
	}
	if r := wantRequest(t, u); r.Header.Get("X-Client-Auth") != "signed" {
		t.Error("want a signed request at the upstream")
	}
	result = harness.Run(t, "certgate", nil, mail.Args("request", "DELETE", url)...)
	if result.ExitCode != 1 || !strings.Contains(result.Stderr, "\ncertgate: refused: access_denied: ") || !strings.Contains(result.Stdout, `"reason":"access_denied"`) {
		t.Errorf("want the reason on stderr and the response on stdout, found %+v", result)
	}
	result = harness.Run(t, "certgate", nil, mail.Args("request", "--header", "X-Other", "GET", url)...)
	if result.ExitCode != 1 || !strings.Contains(result.Stderr, "refused: credential_missing: ") {
		t.Errorf("want a certificate in another header not to count, found %+v", result)
	}
	u.WantNothing(t)
	shared := harness.WriteFile(t, string(m.IssueOverMasterKey(t, "mail").PEM), t.TempDir(), "shared.crt")
	result = harness.Run(t, "certgate", nil, "request", "--cert", shared, "--key", filepath.Join(m.Dir, m.KeyFile), "GET", url)
	if result.ExitCode != 2 || !strings.Contains(result.Stderr, "want a certificate for a key of the client's own") {
		t.Errorf("want a certificate over the master key refused before a request, found %+v", result)
	}
}
