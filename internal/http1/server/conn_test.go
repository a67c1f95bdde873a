//go:build linux

package server_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/http1/framing"
	"github.com/certgate/certgate/internal/testkit/rawhttp"
)

func TestKeepAlive(t *testing.T) {
	r := start(t, false, options{}, describe)
	c := r.dial()
	for i := range 3 {
		target := fmt.Sprintf("/%d", i)
		c.send(get(target)).want(200, "fast "+target+" ")
		c.send(post(target, "body")).want(200, "fast "+target+" body")
	}
}

// TestPipelining: requests that are sent before their responses are read get their responses
// in order. net/http serves the first one that is not plain and all that follow.
func TestPipelining(t *testing.T) {
	r := start(t, false, options{}, describe)
	c := r.dial().send(get("/a") + post("/b", "bb") + get("/c") + unusual("/d") + get("/e") + post("/f", "ff"))
	for _, want := range []string{"fast /a ", "fast /b bb", "fast /c ", "http /d ", "http /e ", "http /f ff"} {
		c.want(200, want)
	}
	c.send(get("/g")).want(200, "http /g ")
}

func TestByteByByte(t *testing.T) {
	r := start(t, false, options{}, describe)
	c := r.dial()
	for _, b := range []byte(get("/a") + post("/b", "bb") + unusual("/c")) {
		c.send(string(b))
	}
	c.want(200, "fast /a ")
	c.want(200, "fast /b bb")
	c.want(200, "http /c ")
}

// TestLargeHeaders: headers up to the limit are plain. Larger ones get the response of
// net/http.
func TestLargeHeaders(t *testing.T) {
	sum := func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%v %x", onFastPath(w), sha256.Sum256([]byte(r.Header.Get("X-Cert")+r.Header.Get("X-Other"))))
	}
	with := func(value string) string { return header("X-Cert: "+value, "X-Other: o") }
	r := start(t, false, options{}, sum)
	c := r.dial()
	for _, n := range []int{16, 1600, 8 << 10, 16 << 10, 40_000, 60_000, 100, 16 << 10} {
		value := string(pattern(n))
		c.send(with(value)).want(200, fmt.Sprintf("true %x", sha256.Sum256([]byte(value+"o"))))
	}
	value := string(pattern(66_000)) // net/http takes 4 KiB more
	c.send(with(value)).want(200, fmt.Sprintf("false %x", sha256.Sum256([]byte(value+"o"))))
	c = r.dial().send(get("/") + with(string(pattern(80_000))))
	c.want(200, fmt.Sprintf("true %x", sha256.Sum256(nil)))
	c.want(431, "")
	c.wantGone()
}

// TestSmallLimit: the limit counts the header only, not other bytes that arrive with it.
func TestSmallLimit(t *testing.T) {
	for kind, bare := range both {
		t.Run(kind, func(t *testing.T) {
			r := start(t, bare, options{maxHeader: 1000}, func(http.ResponseWriter, *http.Request) {})
			c := r.dial().send(header("X: " + strings.Repeat("x", 900)))
			c.want(200, "")
			c = r.dial().send(header("X: " + strings.Repeat("x", 7000)))
			c.want(431, "")
			c.wantGone()
		})
	}
}

// TestRefusalAfterResponse: a refusal after a response of the fast path is recognized, too.
func TestRefusalAfterResponse(t *testing.T) {
	r := start(t, false, options{}, func(w http.ResponseWriter, r *http.Request) {
		framing.Begin(r)
		describe(w, r)
	})
	for text, want := range map[string]string{
		get("/a") + "\r\n\r\n":          "fast /a ",
		get("/a") + header("X : y"):     "fast /a ",
		unusual("/a") + header("X : y"): "http /a ",
	} {
		c := r.dial().send(text)
		c.want(200, want)
		c.want(400, "")
		c.wantGone()
	}
}

// TestLateBody: a body that the handler did not read is not taken for a request,
// whenever it arrives.
func TestLateBody(t *testing.T) {
	for _, target := range []string{"/unread", "/half"} {
		r := start(t, false, options{}, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/half" {
				_, _ = io.CopyN(io.Discard, r.Body, 2)
			}
			fmt.Fprint(w, r.RequestURI)
		})
		text := post(target, get("/evil"))
		c := r.dial().send(text[:len(text)-len(get("/evil"))+2])
		c.want(200, target) // net/http would have waited for the body
		c.send(text[len(text)-len(get("/evil"))+2:]+get("/next")).want(200, "/next")
	}
}

func TestCutBody(t *testing.T) {
	for kind, bare := range both {
		t.Run(kind, func(t *testing.T) {
			ends := make(chan error, 1)
			r := start(t, bare, options{}, bodyError(ends))
			c := r.dial().send(post("/", "abcdef")[:len(post("/", "abcdef"))-3])
			_ = c.CloseWrite()
			if err := await(t, ends, "end of the body"); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("the body ends in %v, want an unexpected EOF", err)
			}
			c.want(200, "")
			c.wantEnd()
		})
	}
}

// TestManyConnections: connections that are served at the same time get their own responses.
func TestManyConnections(t *testing.T) {
	r := start(t, false, options{}, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		_, _ = w.Write(bytes.Repeat(body, 3))
		_, _ = w.Write([]byte(r.Header.Get("X-Mine")))
	})
	var all sync.WaitGroup
	for n := range 48 {
		c := r.dial()
		all.Go(func() {
			for i := range 12 {
				mine := fmt.Sprintf("<%d,%d>", n, i)
				body := strings.Repeat(mine, 1+(n*37+i*101)%1500)
				text := rawhttp.Lines("POST / HTTP/1.1", "Host: h", fmt.Sprintf("Content-Length: %d", len(body)), "X-Mine: "+mine, "") + body
				_, _ = io.WriteString(c, text)
				res, err := http.ReadResponse(c.Reader, nil)
				if err != nil {
					t.Error(err)
					return
				}
				have, err := io.ReadAll(res.Body)
				if err != nil || string(have) != strings.Repeat(body, 3)+mine {
					t.Errorf("connection %d, request %d: another response (%v)", n, i, err)
					return
				}
			}
		})
	}
	all.Wait()
}

// faulty is a listener's connection that panics.
type faulty struct{ *net.TCPConn }

func (faulty) SetReadDeadline(time.Time) error { panic("on purpose") }

// wrapping is a listener that replaces its first connection.
type wrapping struct {
	net.Listener
	mu   sync.Mutex
	wrap func(*net.TCPConn) net.Conn
}

func (l *wrapping) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil || l.wrap == nil {
		return c, err
	}
	c, l.wrap = l.wrap(c.(*net.TCPConn)), nil
	return c, nil
}

func wrapped(t *testing.T, wrap func(*net.TCPConn) net.Conn) *wrapping {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return &wrapping{Listener: l, wrap: wrap}
}

// TestFault: a panic in this package ends one connection only.
func TestFault(t *testing.T) {
	r := start(t, false, options{listener: wrapped(t, func(c *net.TCPConn) net.Conn { return faulty{c} })}, describe)
	r.dial().wantEnd()
	r.dial().send(get("/")).want(200, "fast / ")
	if !strings.Contains(r.log.String(), "on purpose") {
		t.Errorf("want the fault in the log, found %q", r.log)
	}
}

// TestGoexit: a handler that ends its goroutine ends the connection.
func TestGoexit(t *testing.T) {
	for name, sent := range map[string]string{"whole": get("/"), "a part": post("/", "abc")[:48]} {
		t.Run(name, func(t *testing.T) {
			for kind, bare := range both {
				t.Run(kind, func(t *testing.T) {
					if bare && name == "a part" {
						t.Skip("net/http waits for the rest")
					}
					r := start(t, bare, options{}, func(http.ResponseWriter, *http.Request) { runtime.Goexit() })
					r.dial().send(sent).wantGone()
					r.wantNone()
				})
			}
		})
	}
}
