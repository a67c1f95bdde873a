package test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/core/refusal"
)

// TestSmuggling: a request whose length can be read in two ways is refused, its
// connection is closed, and what hides behind it is never served.
func TestSmuggling(t *testing.T) {
	t.Parallel()
	m := newMaster(t, "p256")
	mail := m.issue(t, subject("mail"))
	g := newGateway(t, m, nil)
	hidden := get("/smuggled", mail).String()
	post := get("/events", mail).post("")
	whole := chunked("hello", 5)

	plain := dial(t, g.addr)
	plain.write(t, post.post(whole).with("Transfer-Encoding: chunked").String()+get("/second", mail).String())
	for range 2 {
		if a := plain.read(t, "POST"); a.status != 200 {
			t.Fatalf("want both requests of a good connection answered, found %d", a.status)
		}
	}
	if found := g.upstream.take(); !strings.Contains(found, "GET /second HTTP/1.1") {
		t.Error("want the second request at the upstream")
	}

	for name, r := range map[string]request{
		"CL.TE":             post.post("0\r\n\r\n"+hidden).with("Content-Length: 5", "Transfer-Encoding: chunked"),
		"TE.CL":             post.post("0\r\n\r\n"+hidden).with("Transfer-Encoding: chunked", "Content-Length: 5"),
		"CL of all":         post.post("0\r\n\r\n"+hidden).with("Content-Length: 9999", "Transfer-Encoding: chunked"),
		"two lengths":       post.post("hello"+hidden).with("Content-Length: 5", "Content-Length: 9999"),
		"same length twice": post.post("hello"+hidden).with("Content-Length: 5", "Content-Length: 5"),
		"list of lengths":   post.post("hello" + hidden).with("Content-Length: 5, 5"),
		"signed length":     post.post("hello" + hidden).with("Content-Length: +5"),
		"no number":         post.post("hello" + hidden).with("Content-Length: 0x5"),
		"two codings":       post.post(whole+hidden).with("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
		"unknown coding":    post.post(whole + hidden).with("Transfer-Encoding: xchunked"),
		"gzip, chunked":     post.post(whole + hidden).with("Transfer-Encoding: gzip, chunked"),
		"identity":          post.post("hello"+hidden).with("Transfer-Encoding: identity", "Content-Length: 5"),
		"space before ':'":  post.post("0\r\n\r\n"+hidden).with("Content-Length: 5", "Transfer-Encoding : chunked"),
		"folded":            post.post("0\r\n\r\n"+hidden).with("Content-Length: 5", "Transfer-Encoding:\r\n chunked"),
	} {
		t.Run(name, func(t *testing.T) {
			c := dial(t, g.addr)
			c.write(t, r.String())
			a := c.read(t, "POST")
			want := refusal.RequestAmbiguous
			if name == "space before ':'" {
				want = refusal.RequestMalformed // no length, but no header either
			}
			g.wantProblem(t, a, want)
			c.wantClosed(t)
			g.upstream.wantNothing(t)
		})
	}
}

// TestClassicalSmugglingHasItsReason: the two that net/http would take.
func TestClassicalSmugglingHasItsReason(t *testing.T) {
	t.Parallel()
	m := newMaster(t, "p256")
	mail := m.issue(t, subject("mail"))
	g := newGateway(t, m, nil)
	post := get("/events", mail).post("0\r\n\r\n")
	g.wantAllowed(t, post.with("Transfer-Encoding: chunked"))
	g.wantRefused(t, post.with("Content-Length: 5", "Transfer-Encoding: chunked"), refusal.RequestAmbiguous)
	g.wantRefused(t, post.with("Content-Length: 5", "Content-Length: 5"), refusal.RequestAmbiguous)
}

// TestChunkedIsReframed: chunk extensions and trailers end at the gateway.
func TestChunkedIsReframed(t *testing.T) {
	t.Parallel()
	m := newMaster(t, "p256")
	mail := m.issue(t, subject("mail"))
	g := newGateway(t, m, nil)
	body := "5;a=b\r\nhello\r\n0\r\nX-Client-Id: admin\r\n\r\n"
	a := send(t, g.addr, get("/events", mail).post(body).with("Transfer-Encoding: chunked", "Trailer: X-Client-Id"))
	if a.status != 200 {
		t.Fatalf("want 200, found %d", a.status)
	}
	found := g.upstream.take()
	if !strings.HasSuffix(found, "\r\n\r\n5\r\nhello\r\n0\r\n\r\n") {
		t.Errorf("want the body framed anew, found %q", found)
	}
	if strings.Contains(found, "admin") || strings.Contains(found, "Trailer") {
		t.Errorf("want no trailer at the upstream, found %q", found)
	}
}

// TestUpgradesAreNotForwarded: the request goes on as the plain one it also is.
func TestUpgradesAreNotForwarded(t *testing.T) {
	t.Parallel()
	m := newMaster(t, "p256")
	mail := m.issue(t, subject("mail"))
	u := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "" || r.URL.Path == "/eager" {
			w.Header().Set("Connection", "Upgrade")
			w.Header().Set("Upgrade", "websocket")
			w.WriteHeader(http.StatusSwitchingProtocols)
		}
	})
	g := serve(t, u, settings(m.publicKey, u))
	for name, lines := range map[string][]string{
		"websocket": {"Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="},
		"h2c":       {"Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"},
	} {
		t.Run(name, func(t *testing.T) {
			head := g.wantAllowed(t, get("/events", mail).with(lines...))
			for _, gone := range []string{"Upgrade", "Connection", "HTTP2-Settings"} {
				if found := headerValues(head, gone); len(found) != 0 {
					t.Errorf("want no %s at the upstream, found %q", gone, found)
				}
			}
		})
	}
	// An upstream that switches unasked would be a tunnel past the gate.
	g.wantProblem(t, send(t, g.addr, get("/eager", mail)), refusal.UpstreamFailed)
}

// TestHTTP2InCleartext: there is no second protocol on the port.
func TestHTTP2InCleartext(t *testing.T) {
	t.Parallel()
	g := newGateway(t, newMaster(t, "p256"), nil)
	c := dial(t, g.addr)
	c.write(t, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")
	if a := c.read(t, "PRI"); a.status < 400 {
		t.Errorf("want a refusal in HTTP/1.1, found %d", a.status)
	}
	c.wantClosed(t)
	g.upstream.wantNothing(t)
}

// TestSlowHeaderIsCut: a client that never ends its header holds no connection.
func TestSlowHeaderIsCut(t *testing.T) {
	t.Parallel()
	m := newMaster(t, "p256")
	mail := m.issue(t, subject("mail"))
	g := newGateway(t, m, environment{"READ_HEADER_TIMEOUT": "3s"})
	whole := get("/events", mail).String()
	slow := dial(t, g.addr)
	slow.write(t, whole[:len(whole)-2])
	slow.wantClosed(t) // well before the patience of this test ends
	g.upstream.wantNothing(t)
	g.wantAllowed(t, get("/events", mail))
}

// TestClientThatHangsUp: half a body is no request. Nobody is there for the
// answer, so only the log tells.
func TestClientThatHangsUp(t *testing.T) {
	t.Parallel()
	m := newMaster(t, "p256")
	mail := m.issue(t, subject("mail"))
	g := newGateway(t, m, nil)
	c := dial(t, g.addr)
	c.write(t, get("/half", mail).post("half").with("Content-Length: 8").String())
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	line := g.audit(t, func(l auditLine) bool { return l.Path == "/half" })
	if line.Reason != string(refusal.ClientClosed) || line.Decision != "failed" || line.Level != "info" {
		t.Errorf("want client_closed, which is no operator's business, found %+v", line)
	}
	if a := send(t, g.addr, get("/events", mail).post("whole")); a.status != 200 {
		t.Errorf("want the next client served, found %d", a.status)
	}
}
