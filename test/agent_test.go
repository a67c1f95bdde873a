package test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/core/refusal"
)

// requiring are the settings of a gateway where every request must be signed, and
// that clients know by its address.
func requiring() environment { return environment{"AUTH_PROOF": "require"} }

// pair is a client's certificate and key in files of their own, which a renewal
// writes again.
type pair struct {
	m         *master
	cert, key string
}

func (m *master) newPair(t *testing.T, o certificateOptions) pair {
	t.Helper()
	dir := t.TempDir()
	p := pair{m, filepath.Join(dir, "mail.crt"), filepath.Join(dir, "mail.key")}
	p.renew(t, o)
	return p
}

// renew replaces both files, the certificate first, as careful programs do.
func (p pair) renew(t *testing.T, o certificateOptions) certificate {
	t.Helper()
	c := p.m.issue(t, o)
	key := o.key
	if key == "" {
		key = "p256"
	}
	for name, text := range map[string][]byte{p.cert: c.pem, p.key: p.m.read(t, key+".key")} {
		if err := os.WriteFile(name+".new", text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{p.cert, p.key} {
		if err := os.Rename(name+".new", name); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// by is a command of certgate that acts as the pair's client.
func (p pair) by(command string, args ...string) []string {
	return append([]string{command, "--cert", p.cert, "--key", p.key}, args...)
}

// sidecar is a running certgate agent.
type sidecar struct {
	*process
	addr string
}

func (p pair) startAgent(t *testing.T, to string, args ...string) sidecar {
	t.Helper()
	agent := start(t, "certgate", nil, p.by("agent", append([]string{"--to", to, "--listen", "127.0.0.1:0"}, args...)...)...)
	return sidecar{agent, agent.ready(t).Addr}
}

// curl asks with the real program. The answer has no header but what is needed.
func curl(t *testing.T, args ...string) (status int, body string) {
	t.Helper()
	result := runToEnd(t, "curl", nil, append([]string{"-sS", "--max-time", "30", "-w", "\n%{http_code}"}, args...)...)
	end := strings.LastIndex(result.stdout, "\n")
	status, err := strconv.Atoi(result.stdout[end+1:])
	if err != nil {
		t.Fatalf("want curl to have an answer, found %+v", result)
	}
	return status, result.stdout[:end]
}

// TestAgent: plain curl is a signed client.
func TestAgent(t *testing.T) {
	t.Parallel()
	m := newMaster(t, "p256")
	for _, algorithm := range []string{"p256", "p384", "ed25519", "rsa"} {
		t.Run(algorithm, func(t *testing.T) {
			t.Parallel()
			g := newGateway(t, m, requiring())
			o := certificateOptions{subject: "/OU=mail", key: algorithm}
			agent := m.newPair(t, o).startAgent(t, "http://"+g.addr)
			url := "http://" + agent.addr
			event := writeFile(t, eventBody("Meeting"), t.TempDir(), "event.json")
			for _, test := range []struct {
				name, body string
				args       []string
			}{
				{"GET", "", []string{url + "/events?from=a%20b"}},
				{"POST", eventBody("Meeting"), []string{url + "/events", "-H", "Content-Type: application/json", "--data-binary", "@" + event}},
				{"chunked", eventBody("Meeting"), []string{url + "/events", "-H", "Transfer-Encoding: chunked", "--data-binary", "@" + event}},
				{"empty", "", []string{url + "/events", "-d", ""}},
				{"with a forged header", "", []string{url + "/events", "-H", "X-SSL-Auth: mine", "-H", "X-Client-Id: social"}},
			} {
				if status, body := curl(t, test.args...); status != 200 {
					t.Fatalf("%s: want 200, found %d and %s", test.name, status, body)
				}
				received := g.upstream.wantRequest(t)
				content, _ := io.ReadAll(received.Body)
				if received.Header.Get("X-Client-Auth") != "signed" || received.Header.Get("X-Client-Id") != "mail" || string(content) != test.body {
					t.Errorf("%s: want it signed by mail, found %q by %q with %q", test.name,
						received.Header.Get("X-Client-Auth"), received.Header.Get("X-Client-Id"), content)
				}
			}
			if status, body := curl(t, "--path-as-is", url+"/events/%2e%2e/admin"); status != 400 || !strings.Contains(body, string(refusal.PathAmbiguous)) {
				t.Errorf("want the gateway to judge the path, found %d and %s", status, body)
			}
			g.upstream.wantNothing(t)
		})
	}
}

// wantRequest is the only request that has arrived.
func (u *upstream) wantRequest(t *testing.T) *http.Request {
	t.Helper()
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(u.take())))
	if err != nil {
		t.Fatalf("want a request at the upstream, found %v", err)
	}
	return r
}

// TestAgentBehindTLS: with a load balancer that ends TLS, in HTTP/1.1 and HTTP/2.
func TestAgentBehindTLS(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"haproxy-tls.cfg", "caddy-tls.Caddyfile"} {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			program, _, _ := strings.Cut(file, "-")
			lookProxy(t, proxyCommands()[program].name)
			m := newMaster(t, "p256")
			g := newGateway(t, m, requiring().with(environment{"TRUSTED_PROXIES": "127.0.0.1/32"}))
			mail := m.newPair(t, subject("mail"))
			lb := newPatient(t, g, m.issue(t, subject("mail")), file, nil)
			agent := mail.startAgent(t, lb.url, "--ca", lb.ca)
			for _, args := range [][]string{{"http://" + agent.addr + "/events?a=b"}, {"http://" + agent.addr + "/events", "-d", "x"}} {
				if status, body := curl(t, args...); status != 200 {
					t.Errorf("want 200, found %d and %s", status, body)
				}
			}
			result := finish(t, "certgate", nil, mail.by("request", "--ca", lb.ca, "--data", "x", "POST", lb.url+"/events")...)
			if result.code != 0 || !strings.Contains(result.stderr, " 200 ") {
				t.Errorf("want 200, found %+v", result)
			}
			stranger := mail.startAgent(t, lb.url) // which does not know the authority
			if status, body := curl(t, "http://"+stranger.addr+"/events"); status != 502 || !strings.Contains(body, "agent_gateway_unreachable") {
				t.Errorf("want no trust in a strange server, found %d and %s", status, body)
			}
		})
	}
}

// TestAgentStreams: an answer comes as it is made.
func TestAgentStreams(t *testing.T) {
	t.Parallel()
	read := make(chan struct{})
	m := newMaster(t, "p256")
	u := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "one\n")
		_ = http.NewResponseController(w).Flush()
		select {
		case <-read:
			_, _ = io.WriteString(w, "two\n")
		case <-r.Context().Done():
		}
	})
	g := serve(t, u, settings(m.publicKey, u).with(requiring()))
	agent := m.newPair(t, subject("mail")).startAgent(t, "http://"+g.addr)
	c := dial(t, agent.addr)
	c.write(t, "GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
	res, err := http.ReadResponse(c.reader, nil)
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

// TestAgentRenewal: the certificate and key change while requests run, and none
// fails.
func TestAgentRenewal(t *testing.T) {
	t.Parallel()
	m := newMaster(t, "p256")
	g := newGateway(t, m, requiring())
	mail := m.newPair(t, subject("mail"))
	agent := mail.startAgent(t, "http://"+g.addr)
	stop := make(chan struct{})
	var asking sync.WaitGroup
	for range 4 {
		asking.Go(func() { askUntil(t, "http://"+agent.addr+"/events", stop) })
	}
	for _, algorithm := range []string{"ed25519", "p256", "p384"} {
		renewed := mail.renew(t, certificateOptions{subject: "/OU=mail", key: algorithm})
		g.audit(t, func(l auditLine) bool { return l.Serial == renewed.serial() })
	}
	close(stop)
	asking.Wait()
	if text := agent.stderr.String(); strings.Contains(text, `"level":"error"`) {
		t.Errorf("want no alarm, found %s", text)
	}
	last := m.issue(t, subject("mail"))
	for name, text := range map[string][]byte{mail.cert: last.pem, mail.key: m.read(t, "p256.key")} {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	agent.signal(t, syscall.SIGHUP)
	if _, err := agent.stderr.line(func(line string) bool { return strings.Contains(line, last.serial()) }); err != nil {
		t.Errorf("want the last certificate in the agent's log: %v", err)
	}
}

// askUntil wants nothing but 200, with some time between the requests for others.
func askUntil(t *testing.T, url string, stop <-chan struct{}) {
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
			t.Errorf("want an answer, found %v", err)
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

// TestAgentExpired: the agent says itself that it cannot sign, to the program, to
// its health check and in the log, until there is another certificate.
func TestAgentExpired(t *testing.T) {
	t.Parallel()
	m := newMaster(t, "p256")
	g := newGateway(t, m, requiring())
	past := subject("mail")
	past.notBefore, past.notAfter = time.Now().Add(-48*time.Hour), time.Now().Add(-24*time.Hour)
	mail := m.newPair(t, past)
	agent := mail.startAgent(t, "http://"+g.addr)
	health := func() int { return finish(t, "certgate", nil, "health", "--url", "http://"+agent.addr+"/healthz").code }
	if status, body := curl(t, "http://"+agent.addr+"/events"); status != 503 || !strings.Contains(body, `"reason":"agent_certificate_expired"`) {
		t.Errorf("want 503 and the reason, found %d and %s", status, body)
	}
	g.upstream.wantNothing(t)
	if code := health(); code != 1 {
		t.Errorf("want an ill agent, found exit code %d", code)
	}
	if !strings.Contains(agent.stderr.String(), "the certificate has expired") {
		t.Error("want it in the log")
	}
	renewed := mail.renew(t, subject("mail"))
	if _, err := agent.stderr.line(func(line string) bool { return strings.Contains(line, renewed.serial()) }); err != nil {
		t.Errorf("want the renewal in the log: %v", err)
	}
	if status, body := curl(t, "http://"+agent.addr+"/events"); status != 200 || health() != 0 {
		t.Errorf("want 200 and health after the renewal, found %d and %s", status, body)
	}
}

// TestAgentDrains: SIGTERM lets a request end.
func TestAgentDrains(t *testing.T) {
	t.Parallel()
	arrived, release := make(chan struct{}), make(chan struct{})
	m := newMaster(t, "p256")
	u := newUpstream(t, func(http.ResponseWriter, *http.Request) {
		close(arrived)
		<-release
	})
	g := serve(t, u, settings(m.publicKey, u).with(requiring()))
	agent := m.newPair(t, subject("mail")).startAgent(t, "http://"+g.addr)
	c := dial(t, agent.addr)
	c.write(t, "POST /events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx")
	<-arrived
	agent.signal(t, terminate)
	if _, err := agent.stderr.line(func(line string) bool { return strings.Contains(line, `"msg":"draining"`) }); err != nil {
		t.Error(err)
	}
	close(release)
	if a := c.read(t, "POST"); a.status != 200 {
		t.Errorf("want 200, found %d", a.status)
	}
	agent.wantExit(t, 0)
}

// TestAgentOnASocket: curl finds it there, and nobody else's curl would.
func TestAgentOnASocket(t *testing.T) {
	t.Parallel()
	m := newMaster(t, "p256")
	g := newGateway(t, m, requiring())
	path := filepath.Join(t.TempDir(), "s")
	agent := start(t, "certgate", nil, m.newPair(t, subject("mail")).by("agent", "--to", "http://"+g.addr, "--listen", "unix:"+path)...)
	agent.ready(t)
	if status, body := curl(t, "--unix-socket", path, "http://schedule.example.com/events"); status != 200 {
		t.Errorf("want 200, found %d and %s", status, body)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("want a socket of mode 0600, found %v", info.Mode())
	}
	agent.stop(t, terminate)
	if _, err := os.Stat(path); err == nil {
		t.Error("want the socket removed")
	}
}

// TestAgentIsForItsMachine: what a browser could be made to send is not signed.
func TestAgentIsForItsMachine(t *testing.T) {
	t.Parallel()
	m := newMaster(t, "p256")
	g := newGateway(t, m, requiring())
	agent := m.newPair(t, subject("mail")).startAgent(t, "http://"+g.addr)
	_, port, _ := net.SplitHostPort(agent.addr)
	for reason, args := range map[string][]string{
		"agent_host_unknown": {"--resolve", "evil.example:" + port + ":127.0.0.1", "http://evil.example:" + port + "/events"},
		"agent_cross_origin": {"-H", "Origin: https://evil.example", "http://" + agent.addr + "/events"},
	} {
		if status, body := curl(t, args...); status/100 != 4 || !strings.Contains(body, reason) {
			t.Errorf("want %s, found %d and %s", reason, status, body)
		}
	}
	g.upstream.wantNothing(t)
}

// TestSignForCurl: what sign prints is good once, for curl.
func TestSignForCurl(t *testing.T) {
	t.Parallel()
	m := newMaster(t, "p256")
	g := newGateway(t, m, requiring())
	mail := m.newPair(t, subject("mail"))
	event := writeFile(t, eventBody("Meeting")+"\n", t.TempDir(), "event.json")
	url := "http://" + g.addr + "/events?draft=1"
	signed := runUnheard(t, run.binary(t, "certgate"), nil,
		mail.by("sign", "--content-type", "application/json", "--data", "@"+event, "POST", url)...)
	if signed.code != 0 || signed.stderr != "" {
		t.Fatalf("want exit code 0, found %d and %s", signed.code, signed.stderr)
	}
	header := writeFile(t, signed.stdout, t.TempDir(), "header")
	if status, body := curl(t, "-H", "@"+header, "--data-binary", "@"+event, url); status != 200 {
		t.Fatalf("want 200, found %d and %s", status, body)
	}
	if r := g.upstream.wantRequest(t); r.Header.Get("X-Client-Auth") != "signed" || r.Header.Get("Content-Type") != "application/json" {
		t.Errorf("want a signed request with its type, found %q and %q", r.Header.Get("X-Client-Auth"), r.Header.Get("Content-Type"))
	}
	for _, again := range [][]string{{"--data-binary", "@" + event, url}, {"--data-binary", "@" + event, "-H", "X-More: 1", url}} {
		if status, body := curl(t, append([]string{"-H", "@" + header}, again...)...); status != 401 || !strings.Contains(body, string(refusal.ProofReplayed)) {
			t.Errorf("want it refused the second time, found %d and %s", status, body)
		}
	}
	g.upstream.wantNothing(t)
	pipe := `"$0" sign --cert "$1" --key "$2" GET "$3" | curl -sS -o /dev/null -w '%{http_code}' -H @- "$3"`
	result := runToEnd(t, "sh", nil, "-c", pipe, run.binary(t, "certgate"), mail.cert, mail.key, url)
	if result.stdout != "200" {
		t.Errorf("want 200 by a pipe, found %+v", result)
	}
}

// TestRequestCommand: one request without another program.
func TestRequestCommand(t *testing.T) {
	t.Parallel()
	m := newMaster(t, "p256")
	u := newUpstream(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "stored\n") })
	g := serve(t, u, settings(m.publicKey, u).with(requiring()))
	mail := m.newPair(t, subject("mail"))
	url := "http://" + g.addr + "/events"
	result := finish(t, "certgate", nil, mail.by("request", "--content-type", "application/json", "--data", eventBody("Meeting"), "POST", url)...)
	if result != (finished{0, "stored\n", "HTTP/1.1 200 OK\n"}) {
		t.Errorf("want the body and the status, found %+v", result)
	}
	if r := u.wantRequest(t); r.Header.Get("X-Client-Auth") != "signed" {
		t.Error("want a signed request at the upstream")
	}
	result = finish(t, "certgate", nil, mail.by("request", "DELETE", url)...)
	if result.code != 1 || !strings.Contains(result.stderr, "\ncertgate: refused: access_denied: ") || !strings.Contains(result.stdout, `"reason":"access_denied"`) {
		t.Errorf("want the refusal in words and as it came, found %+v", result)
	}
	result = finish(t, "certgate", nil, mail.by("request", "--header", "X-Other", "GET", url)...)
	if result.code != 1 || !strings.Contains(result.stderr, "refused: proof_incomplete: ") {
		t.Errorf("want a header that the gateway does not look at to prove nothing, found %+v", result)
	}
	u.wantNothing(t)
	shared := writeFile(t, string(m.share(t, "mail").pem), t.TempDir(), "shared.crt")
	result = finish(t, "certgate", nil, "request", "--cert", shared, "--key", filepath.Join(m.dir, m.key), "GET", url)
	if result.code != 2 || !strings.Contains(result.stderr, "want a certificate for a key of the client's own") {
		t.Errorf("want a certificate over the master key refused at home, found %+v", result)
	}
}
