package e2e

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/certgate/certgate/test/harness"
)

// unreading is a service on Python's own http.server that keeps connections and reads no
// body. Its response contains the request and the client. It prints its port.
const unreading = `
import http.server

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    seen = []

    def answer(self):
        Handler.seen.append(f"{self.command} {self.path} {self.headers['X-Client-Id']}")
        body = "\n".join(Handler.seen if self.path == "/seen" else Handler.seen[-1:]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_DELETE = do_OPTIONS = do_POST = answer

    def log_message(self, *_):
        pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
`

// python runs the program, which prints its port, and returns its URL.
func python(t *testing.T, program string) string {
	t.Helper()
	interpreter := harness.LookProgram(t, "python3")
	command := exec.Command(interpreter, "-c", program)
	command.Stderr = os.Stderr
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
	})
	port, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("want a port: %v", err)
	}
	return "http://127.0.0.1:" + strings.TrimSpace(port)
}

// TestUnreadBodyIsNoRequest checks that a service that does not read the body of a GET,
// HEAD, DELETE or OPTIONS never executes it as another client's request.
func TestUnreadBodyIsNoRequest(t *testing.T) {
	t.Parallel()
	for name, env := range bothHTTP() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := harness.NewMasterKey(t, "p256")
			mail, social := m.Issue(t, harness.OU("mail")), m.Issue(t, harness.OU("social"))
			u := &harness.Upstream{URL: python(t, unreading)}
			rules := `rules: [{name: all, clients: ["*"], allow: ["GET /", "DELETE /", "OPTIONS /", "POST /"]}]`
			g := harness.StartGateway(t, u, harness.GatewayEnv(m.PublicKey, u).With(env).With(harness.Env{"ACCESS_RULES": rules}))
			smuggled := "GET /smuggled HTTP/1.1\r\nHost: a\r\nX-Client-Id: mail\r\n\r\n"
			for _, method := range []string{"GET", "HEAD", "DELETE", "OPTIONS"} {
				for i, content := range []func(harness.Request) harness.Request{
					func(r harness.Request) harness.Request { return r.Post(smuggled) },
					func(r harness.Request) harness.Request { return r.Post(smuggled + strings.Repeat("x", 100<<10)) }, // not for the fast client
					func(r harness.Request) harness.Request {
						return r.Post(harness.Chunked(smuggled, len(smuggled))).With("Transfer-Encoding: chunked")
					},
				} {
					r := content(harness.Get(fmt.Sprintf("/%d", i), social))
					r.Method = method
					if a := harness.Send(t, g.Addr, r); a.Status != 200 {
						t.Errorf("%s %d: want 200, found %d %s", method, i, a.Status, a.Body)
					}
					for range 3 {
						if a := harness.Send(t, g.Addr, harness.Get("/own", mail)); a.Body != "GET /own mail" {
							t.Errorf("after %s %d: want its own response, found %d %q", method, i, a.Status, a.Body)
						}
					}
				}
			}
			if a := harness.Send(t, g.Addr, harness.Get("/seen", mail)); strings.Contains(a.Body, "smuggled") || !strings.Contains(a.Body, "DELETE /2 social") {
				t.Errorf("the service saw %q", a.Body)
			}
		})
	}
}
