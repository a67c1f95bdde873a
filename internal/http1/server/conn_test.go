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
)

func TestKeepAlive(t *testing.T) {
	r := start(t, false, options{}, where)
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
	r := start(t, false, options{}, where)
	c := r.dial().send(get("/a") + post("/b", "bb") + get("/c") + strange("/d") + get("/e") + post("/f", "ff"))
	for _, want := range []string{"fast /a ", "fast /b bb", "fast /c ", "http /d ", "http /e ", "http /f ff"} {
		c.want(200, want)
	}
	c.send(get("/g")).want(200, "http /g ")
}

func TestByteByByte(t *testing.T) {
	r := start(t, false, options{}, where)
	c := r.dial()
	for _, b := range []byte(get("/a") + post("/b", "bb") + strange("/c")) {
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
	for addr, bare := range both {
		t.Run(addr, func(t *testing.T) {
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
		where(w, r)
	})
	for text, want := range map[string]string{
		get("/a") + "\r\n\r\n":          "fast /a ",
		get("/a") + header("X : y"):     "fast /a ",
		strange("/a") + header("X : y"): "http /a ",
	} {
		c := r.dial().send(text)
		c.want(200, want)
		c.want(400, "")
		c.wantGone()
	}
}

// TestBodyThatComesLate: a body that the handler did not read is not taken for a request,
// whenever it arrives.
func TestBodyThatComesLate(t *testing.T) {
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

// TestBodyThatNeverComes: a connection whose body does not arrive is closed after the timeout.
func TestBodyThatNeverComes(t *testing.T) {
	t.Parallel()
	r := start(t, false, options{read: soon}, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "unread") })
	c := r.dial().send(post("/", "abc")[:len(post("/", "abc"))-1])
	c.want(200, "unread")
	c.wantEnd()
}

// bodyError returns a handler that reads the body and sends its error to the channel.
func bodyError(ends chan<- error) http.HandlerFunc {
	return func(_ http.ResponseWriter, r *http.Request) {
		_, err := io.Copy(io.Discard, r.Body)
		ends <- err
	}
}

func TestSlowBody(t *testing.T) {
	t.Parallel()
	for addr, bare := range both {
		t.Run(addr, func(t *testing.T) {
			t.Parallel()
			ends := make(chan error, 1)
			r := start(t, bare, options{read: soon}, bodyError(ends))
			slow := post("/", "abcdef")[:len(post("/", "abcdef"))-3]
			for _, text := range []string{slow, post("/", "abc") + slow} {
				r.dial().send(text)
				err := await(t, ends, "end of a body")
				if text != slow && err == nil {
					err = await(t, ends, "end of a later body")
				}
				var timeout net.Error
				if !errors.As(err, &timeout) || !timeout.Timeout() {
					t.Errorf("the body ends in %v, want a timeout", err)
				}
			}
		})
	}
}

// TestSlowBodyAfterAPause: a handler that pauses before it reads gets the timeout, too.
func TestSlowBodyAfterAPause(t *testing.T) {
	t.Parallel()
	for addr, bare := range both {
		t.Run(addr, func(t *testing.T) {
			t.Parallel()
			ends := make(chan error, 1)
			r := start(t, bare, options{read: soon}, func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.ReadFull(r.Body, make([]byte, 3))
				long()
				bodyError(ends)(w, r)
			})
			l := post("/", "abcdef")
			c := r.dial().send(l[:len(l)-5])
			c.send(l[len(l)-5 : len(l)-3])
			var timeout net.Error
			if err := await(t, ends, "end of the body"); !errors.As(err, &timeout) || !timeout.Timeout() {
				t.Errorf("the body ends in %v, want a timeout", err)
			}
		})
	}
}

func TestCutBody(t *testing.T) {
	for addr, bare := range both {
		t.Run(addr, func(t *testing.T) {
			ends := make(chan error, 1)
			r := start(t, bare, options{}, bodyError(ends))
			c := r.dial().send(post("/", "abcdef")[:len(post("/", "abcdef"))-3])
			_ = c.Conn.(*net.TCPConn).CloseWrite()
			if err := await(t, ends, "end of the body"); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("the body ends in %v, want an unexpected EOF", err)
			}
			c.want(200, "")
			c.wantEnd()
		})
	}
}

// TestTimeouts: each wait has its own timeout. In each case all other timeouts are long.
func TestTimeouts(t *testing.T) {
	t.Parallel()
	half := get("/")[:len(get("/"))-2]
	tests := []struct {
		name, sent string
		answers    int
		options    options
	}{
		{"nothing is sent", "", 0, options{readHeader: soon}},
		{"half a header", half, 0, options{readHeader: soon}},
		{"half a strange header", strange("/")[:len(strange("/"))-2], 0, options{readHeader: soon}},
		{"half a header after a request", get("/") + half, 1, options{readHeader: soon}},
		{"idle", get("/"), 1, options{idle: soon}},
		{"too little for a request", get("/") + "GET", 1, options{idle: soon, readHeader: soon}},
		{"handed over and half a header", strange("/") + half, 1, options{readHeader: soon}},
		{"handed over and idle", strange("/"), 1, options{idle: soon}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for addr, bare := range both {
				t.Run(addr, func(t *testing.T) {
					t.Parallel()
					r := start(t, bare, tt.options, func(http.ResponseWriter, *http.Request) {})
					c := r.dial().send(tt.sent)
					for range tt.answers {
						c.want(200, "")
					}
					c.wantEnd()
				})
			}
		})
	}
}

// TestSlowHeaderAfterAPause: a header has its own timeout after a longer wait for the request.
func TestSlowHeaderAfterAPause(t *testing.T) {
	t.Parallel()
	for addr, bare := range both {
		t.Run(addr, func(t *testing.T) {
			t.Parallel()
			r := start(t, bare, options{readHeader: soon}, func(http.ResponseWriter, *http.Request) {})
			c := r.dial().send(get("/"))
			c.want(200, "")
			for range 2 {
				r.dial().send(get("/")[:len(get("/"))-2]).wantEnd() // longer than the first header's time
			}
			c.send(get("/"))
			c.want(200, "")
			c.send(get("/")[:len(get("/"))-2]).wantEnd()
		})
	}
}

// A wait for a request has its own timeout after a request that arrived in parts.
func TestIdleAfterParts(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{"header": get("/"), "body": post("/", "abcdefghijklmnopqrstuvwxyz")} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, reads := tell(t)
			r := start(t, false, options{idle: soon, listener: l}, func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
			c := r.dial().send(get("/"))
			c.want(200, "")
			c.send(text[:len(text)-9])
			await(t, reads, "wait for the rest")
			c.send(text[len(text)-9:])
			c.want(200, "")
			c.wantEnd()
		})
	}
}

// TestIdleAfterTheHandlersDeadline: a deadline of the handler does not apply to the wait for
// the next request.
func TestIdleAfterTheHandlersDeadline(t *testing.T) {
	t.Parallel()
	for addr, bare := range both {
		t.Run(addr, func(t *testing.T) {
			t.Parallel()
			r := start(t, bare, options{idle: soon}, func(w http.ResponseWriter, _ *http.Request) {
				_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(time.Hour))
			})
			c := r.dial()
			for range 2 {
				c.send(get("/")).want(200, "")
			}
			c.wantEnd()
		})
	}
}

// TestPartsBehindParts: the timeouts of a request that arrived in parts do not apply to the
// next one.
func TestPartsBehindParts(t *testing.T) {
	t.Parallel()
	t.Run("header", func(t *testing.T) {
		t.Parallel()
		l, reads := tell(t)
		r := start(t, false, options{readHeader: soon, listener: l}, func(http.ResponseWriter, *http.Request) {})
		c := r.dial().send(get("/") + get("/")[:9])
		c.want(200, "")
		await(t, reads, "wait for the rest")
		c.send(get("/")[9:]).want(200, "")
		c.send(get("/")[:9]).wantEnd()
	})
	t.Run("body", func(t *testing.T) {
		t.Parallel()
		l, reads := tell(t)
		ends := make(chan error, 9)
		r := start(t, false, options{idle: soon, listener: l}, bodyError(ends))
		c := r.dial()
		text := post("/", "abcdef")
		for range 2 {
			c.send(text[:len(text)-3])
			await(t, reads, "wait for the rest")
			w := r.dial().send(get("/"))
			w.want(200, "")
			w.wantEnd() // longer than a pause
			c.send(text[len(text)-3:]).want(200, "")
		}
		for range 4 {
			if err := await(t, ends, "end of a body"); err != nil {
				t.Errorf("a body ends in %v", err)
			}
		}
	})
}

// TestLargeAnswer: a response that is larger than the buffers between server and client
// arrives whole, and its write deadline does not apply to the next one.
func TestLargeAnswer(t *testing.T) {
	t.Parallel()
	const size = 8 << 20
	body := pattern(size)
	const limit = 5 * time.Second
	r := start(t, false, options{write: limit}, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/length" {
			w.Header().Set("Content-Length", fmt.Sprint(size))
		}
		_, _ = w.Write(body[:5])
		_, _ = w.Write(body[5:])
	})
	c := r.dial()
	for _, target := range []string{"/length", "/chunked", "/length"} {
		c.send(get(target)).want(200, string(body))
	}
	later := time.NewTimer(limit)
	<-later.C
	c.send(get("/length")).want(200, string(body))
}

// TestTimeoutsOfOthers: no wait ends by the timeout of another one. While everything that
// times out has done so, the others continue.
func TestTimeoutsOfOthers(t *testing.T) {
	t.Parallel()
	half := get("/")[:len(get("/"))-2]
	tests := []struct {
		name, first, second string
		options             options
		witness             string // its connection ends soon
	}{
		{"a first request may come late", "", get("/"), options{idle: soon}, get("/")},
		{"a header may take long", get("/") + half, "\r\n", options{idle: soon}, get("/")},
		{"a body may take longer than a header", post("/", "abc")[:len(post("/", "abc"))-1], "c", options{readHeader: soon, idle: soon}, ""},
		{"a pause may be longer than a header", get("/"), get("/"), options{readHeader: soon}, half},
		{"a body after a request", get("/") + post("/", "abc")[:len(post("/", "abc"))-1], "c", options{readHeader: soon, idle: soon}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for addr, bare := range both {
				t.Run(addr, func(t *testing.T) {
					t.Parallel()
					r := start(t, bare, tt.options, func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
					c := r.dial().send(tt.first)
					if strings.HasPrefix(tt.first, "GET") {
						c.want(200, "")
					}
					for range 2 {
						w := r.dial().send(tt.witness)
						if strings.HasSuffix(tt.witness, "\r\n\r\n") {
							w.want(200, "")
						}
						w.wantEnd()
					}
					c.send(tt.second).want(200, "")
				})
			}
		})
	}
}

// TestDeafClient: a client that does not read its response is disconnected.
func TestDeafClient(t *testing.T) {
	for name, request := range map[string]string{"plain": get("/"), "strange": strange("/")} {
		t.Run(name, func(t *testing.T) {
			for addr, bare := range both {
				t.Run(addr, func(t *testing.T) {
					ends := make(chan error, 1)
					r := start(t, bare, options{write: 100 * time.Millisecond}, func(w http.ResponseWriter, _ *http.Request) {
						part := make([]byte, 1<<20)
						for range 1000 {
							if _, err := w.Write(part); err != nil {
								ends <- err
								return
							}
						}
						ends <- nil
					})
					r.dial().send(request)
					var timeout net.Error
					if err := await(t, ends, "end of the answer"); !errors.As(err, &timeout) || !timeout.Timeout() {
						t.Errorf("Write says %v, want a timeout", err)
					}
				})
			}
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
				text := lines("POST / HTTP/1.1", "Host: h", fmt.Sprintf("Content-Length: %d", len(body)), "X-Mine: "+mine, "") + body
				_, _ = io.WriteString(c, text)
				res, err := http.ReadResponse(c.r, nil)
				if err != nil {
					t.Error(err)
					return
				}
				have, err := io.ReadAll(res.Body)
				if err != nil || string(have) != strings.Repeat(body, 3)+mine {
					t.Errorf("connection %d, request %d: another answer (%v)", n, i, err)
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
	r := start(t, false, options{listener: wrapped(t, func(c *net.TCPConn) net.Conn { return faulty{c} })}, where)
	r.dial().wantEnd()
	r.dial().send(get("/")).want(200, "fast / ")
	if !strings.Contains(r.log.String(), "on purpose") {
		t.Errorf("log %q, want the fault in it", r.log)
	}
}

// TestGoexit: a handler that ends its goroutine ends the connection.
func TestGoexit(t *testing.T) {
	for name, sent := range map[string]string{"whole": get("/"), "a part": post("/", "abc")[:48]} {
		t.Run(name, func(t *testing.T) {
			for addr, bare := range both {
				t.Run(addr, func(t *testing.T) {
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
