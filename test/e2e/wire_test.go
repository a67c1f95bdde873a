package e2e

import (
	"net/http"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/test/harness"
)

// TestRequestSmuggling checks that a request with two possible lengths is refused, that its
// connection is closed, and that nothing after it is served.
func TestRequestSmuggling(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	mail := m.Issue(t, harness.OU("mail"))
	g := harness.NewGateway(t, m, nil)
	g.CheckLogAtEnd(t)
	hidden := harness.Get("/smuggled", mail).String()
	post := harness.Get("/events", mail).Post("")
	whole := harness.Chunked("hello", 5)

	plain := harness.Dial(t, g.Addr)
	plain.Send(t, post.Post(whole).With("Transfer-Encoding: chunked").String()+harness.Get("/second", mail).String())
	for range 2 {
		if a := plain.ReadResponse(t, "POST"); a.Status != 200 {
			t.Fatalf("want both requests of a good connection answered, found %d", a.Status)
		}
	}
	if found := g.Upstream.Take(); !strings.Contains(found, "GET /second HTTP/1.1") {
		t.Error("want the second request at the upstream")
	}

	for name, r := range map[string]harness.Request{
		"CL.TE":             post.Post("0\r\n\r\n"+hidden).With("Content-Length: 5", "Transfer-Encoding: chunked"),
		"TE.CL":             post.Post("0\r\n\r\n"+hidden).With("Transfer-Encoding: chunked", "Content-Length: 5"),
		"CL of all":         post.Post("0\r\n\r\n"+hidden).With("Content-Length: 9999", "Transfer-Encoding: chunked"),
		"two lengths":       post.Post("hello"+hidden).With("Content-Length: 5", "Content-Length: 9999"),
		"same length twice": post.Post("hello"+hidden).With("Content-Length: 5", "Content-Length: 5"),
		"list of lengths":   post.Post("hello" + hidden).With("Content-Length: 5, 5"),
		"signed length":     post.Post("hello" + hidden).With("Content-Length: +5"),
		"no number":         post.Post("hello" + hidden).With("Content-Length: 0x5"),
		"two codings":       post.Post(whole+hidden).With("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
		"unknown coding":    post.Post(whole + hidden).With("Transfer-Encoding: xchunked"),
		"gzip, chunked":     post.Post(whole + hidden).With("Transfer-Encoding: gzip, chunked"),
		"identity":          post.Post("hello"+hidden).With("Transfer-Encoding: identity", "Content-Length: 5"),
		"space before ':'":  post.Post("0\r\n\r\n"+hidden).With("Content-Length: 5", "Transfer-Encoding : chunked"),
		"folded":            post.Post("0\r\n\r\n"+hidden).With("Content-Length: 5", "Transfer-Encoding:\r\n chunked"),
	} {
		t.Run(name, func(t *testing.T) {
			c := harness.Dial(t, g.Addr)
			c.Send(t, r.String())
			a := c.ReadResponse(t, "POST")
			want := refusal.RequestAmbiguous
			if name == "space before ':'" {
				want = refusal.RequestMalformed // no length, but no header either
			}
			g.WantProblem(t, a, want)
			c.WantClosed(t)
			g.Upstream.WantNothing(t)
		})
	}
}

// TestRequestSmugglingReasons checks the reasons of the two forms that net/http accepts.
func TestRequestSmugglingReasons(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	mail := m.Issue(t, harness.OU("mail"))
	g := harness.NewGateway(t, m, nil)
	post := harness.Get("/events", mail).Post("0\r\n\r\n")
	g.WantAllowed(t, post.With("Transfer-Encoding: chunked"))
	g.WantRefused(t, post.With("Content-Length: 5", "Transfer-Encoding: chunked"), refusal.RequestAmbiguous)
	g.WantRefused(t, post.With("Content-Length: 5", "Content-Length: 5"), refusal.RequestAmbiguous)
}

// TestChunkedBodyIsReframed checks that chunk extensions and trailers are not forwarded.
func TestChunkedBodyIsReframed(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	mail := m.Issue(t, harness.OU("mail"))
	g := harness.NewGateway(t, m, nil)
	body := "5;a=b\r\nhello\r\n0\r\nX-Client-Id: admin\r\n\r\n"
	a := harness.Send(t, g.Addr, harness.Get("/events", mail).Post(body).With("Transfer-Encoding: chunked", "Trailer: X-Client-Id"))
	if a.Status != 200 {
		t.Fatalf("want 200, found %d", a.Status)
	}
	found := g.Upstream.Take()
	if !strings.HasSuffix(found, "\r\n\r\n5\r\nhello\r\n0\r\n\r\n") {
		t.Errorf("want the body in new chunks, found %q", found)
	}
	if strings.Contains(found, "admin") || strings.Contains(found, "Trailer") {
		t.Errorf("want no trailer at the upstream, found %q", found)
	}
}

// TestUpgradesAreNotForwarded checks that a request for an upgrade is forwarded as a plain
// request.
func TestUpgradesAreNotForwarded(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	mail := m.Issue(t, harness.OU("mail"))
	u := harness.NewUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "" || r.URL.Path == "/eager" {
			w.Header().Set("Connection", "Upgrade")
			w.Header().Set("Upgrade", "websocket")
			w.WriteHeader(http.StatusSwitchingProtocols)
		}
	})
	g := harness.StartGateway(t, u, harness.GatewayEnv(m.PublicKey, u))
	for name, lines := range map[string][]string{
		"websocket": {"Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="},
		"h2c":       {"Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"},
	} {
		t.Run(name, func(t *testing.T) {
			head := g.WantAllowed(t, harness.Get("/events", mail).With(lines...))
			for _, gone := range []string{"Upgrade", "Connection", "HTTP2-Settings"} {
				if found := harness.HeaderValues(head, gone); len(found) != 0 {
					t.Errorf("want no %s at the upstream, found %q", gone, found)
				}
			}
		})
	}
	// An upstream that switches protocols without a request for it would bypass the gate.
	g.WantProblem(t, harness.Send(t, g.Addr, harness.Get("/eager", mail)), refusal.UpstreamFailed)
}

// TestHTTP2InCleartextIsRefused checks that the public port accepts no HTTP/2.
func TestHTTP2InCleartextIsRefused(t *testing.T) {
	t.Parallel()
	g := harness.NewGateway(t, harness.NewMasterKey(t, "p256"), nil)
	c := harness.Dial(t, g.Addr)
	c.Send(t, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")
	if a := c.ReadResponse(t, "PRI"); a.Status < 400 {
		t.Errorf("want a refusal in HTTP/1.1, found %d", a.Status)
	}
	c.WantClosed(t)
	g.Upstream.WantNothing(t)
}

// TestSlowHeaderIsCut checks that a client that does not finish its header is disconnected.
func TestSlowHeaderIsCut(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	mail := m.Issue(t, harness.OU("mail"))
	g := harness.NewGateway(t, m, harness.Env{"READ_HEADER_TIMEOUT": "3s"})
	whole := harness.Get("/events", mail).String()
	slow := harness.Dial(t, g.Addr)
	slow.Send(t, whole[:len(whole)-2])
	slow.WantClosed(t) // well before the time limit of this test
	g.Upstream.WantNothing(t)
	g.WantAllowed(t, harness.Get("/events", mail))
}

// TestIncompleteBodyIsLogged checks that the log has a line for a client that disconnects
// in the middle of its body.
func TestIncompleteBodyIsLogged(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	mail := m.Issue(t, harness.OU("mail"))
	g := harness.NewGateway(t, m, nil)
	c := harness.Dial(t, g.Addr)
	c.Send(t, harness.Get("/half", mail).Post("half").With("Content-Length: 8").String())
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	line := g.WaitAuditLine(t, func(l harness.AuditLine) bool { return l.Path == "/half" })
	if line.Reason != string(refusal.ClientClosed) || line.Decision != "failed" || line.Level != "info" {
		t.Errorf("want client_closed at the level info, found %+v", line)
	}
	if a := harness.Send(t, g.Addr, harness.Get("/events", mail).Post("whole")); a.Status != 200 {
		t.Errorf("want the next client served, found %d", a.Status)
	}
}
