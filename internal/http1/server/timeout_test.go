//go:build linux

package server_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestMissingBody: a connection whose body does not arrive is closed after the timeout.
func TestMissingBody(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("-short: this test waits for a timeout")
	}
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
	if testing.Short() {
		t.Skip("-short: this test waits for a timeout")
	}
	for kind, bare := range both {
		t.Run(kind, func(t *testing.T) {
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
	if testing.Short() {
		t.Skip("-short: this test waits for a timeout")
	}
	for kind, bare := range both {
		t.Run(kind, func(t *testing.T) {
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

// TestTimeouts: each wait has its own timeout. In each case all other timeouts are long.
func TestTimeouts(t *testing.T) {
	t.Parallel()
	half := get("/")[:len(get("/"))-2]
	tests := []struct {
		name, sent string
		responses  int
		options    options
	}{
		{"nothing is sent", "", 0, options{readHeader: brief}},
		{"half a header", half, 0, options{readHeader: soon}},
		{"half an unusual header", unusual("/")[:len(unusual("/"))-2], 0, options{readHeader: soon}},
		{"half a header after a request", get("/") + half, 1, options{readHeader: soon}},
		{"idle", get("/"), 1, options{idle: brief}},
		{"too little for a request", get("/") + "GET", 1, options{idle: soon, readHeader: soon}},
		{"handed over and half a header", unusual("/") + half, 1, options{readHeader: soon}},
		{"handed over and idle", unusual("/"), 1, options{idle: brief}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if testing.Short() && tt.options.readHeader == soon {
				t.Skip("-short: this test waits for a timeout")
			}
			for kind, bare := range both {
				t.Run(kind, func(t *testing.T) {
					t.Parallel()
					r := start(t, bare, tt.options, func(http.ResponseWriter, *http.Request) {})
					c := r.dial().send(tt.sent)
					for range tt.responses {
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
	if testing.Short() {
		t.Skip("-short: this test waits for a timeout")
	}
	for kind, bare := range both {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			r := start(t, bare, options{readHeader: soon}, func(http.ResponseWriter, *http.Request) {})
			c := r.dial().send(get("/"))
			c.want(200, "")
			r.dial().send(get("/")[:len(get("/"))-2]).wantEnd() // later than the first header's time
			c.send(get("/"))
			c.want(200, "")
			c.send(get("/")[:len(get("/"))-2]).wantEnd()
		})
	}
}

// TestIdleAfterParts: a wait for a request has its own timeout after a request that arrived in parts.
func TestIdleAfterParts(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("-short: this test waits for a timeout")
	}
	for name, text := range map[string]string{"header": get("/"), "body": post("/", "abcdefghijklmnopqrstuvwxyz")} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, reads := reportReads(t)
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

// TestIdleAgain: after a request that takes longer than the wait for a request may, the wait begins
// anew, and a deadline of the handler does not apply to it.
func TestIdleAgain(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("-short: this test waits for a timeout")
	}
	handlers := map[string]http.HandlerFunc{
		"a long request": func(_ http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/second" {
				time.Sleep(soon)
			}
		},
		"the handler's deadline": func(w http.ResponseWriter, _ *http.Request) {
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(time.Hour))
		},
	}
	for name, handler := range handlers {
		for kind, bare := range both {
			t.Run(name+", "+kind, func(t *testing.T) {
				t.Parallel()
				c := start(t, bare, options{idle: soon}, handler).dial()
				for _, target := range []string{"/", "/second", "/", "/"} {
					c.send(get(target)).want(200, "")
				}
				c.wantEnd()
			})
		}
	}
}

// TestPartsAfterParts: the timeouts of a request that arrived in parts do not apply to the
// next one.
func TestPartsAfterParts(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("-short: this test waits for a timeout")
	}
	t.Run("header", func(t *testing.T) {
		t.Parallel()
		l, reads := reportReads(t)
		r := start(t, false, options{readHeader: soon, listener: l}, func(http.ResponseWriter, *http.Request) {})
		c := r.dial().send(get("/") + get("/")[:9])
		c.want(200, "")
		await(t, reads, "wait for the rest")
		c.send(get("/")[9:]).want(200, "")
		c.send(get("/")[:9]).wantEnd()
	})
	t.Run("body", func(t *testing.T) {
		t.Parallel()
		l, reads := reportReads(t)
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

// TestLargeResponse: a response that is larger than the buffers between server and client
// arrives whole, and its write deadline does not apply to the next one.
func TestLargeResponse(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("-short: this test waits for a timeout")
	}
	const size = 8 << 20
	body := pattern(size)
	const limit = 2 * soon
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
	if testing.Short() {
		t.Skip("-short: this test waits for a timeout")
	}
	half := get("/")[:len(get("/"))-2]
	tests := []struct {
		name, first, second string
		options             options
		witness             string // its connection ends soon
	}{
		{"a first request may arrive late", "", get("/"), options{idle: soon}, get("/")},
		{"a header may take long", get("/") + half, "\r\n", options{idle: soon}, get("/")},
		{"a body may take longer than a header", post("/", "abc")[:len(post("/", "abc"))-1], "c", options{readHeader: soon, idle: soon}, ""},
		{"a pause may be longer than a header", get("/"), get("/"), options{readHeader: soon}, half},
		{"a body after a request", get("/") + post("/", "abc")[:len(post("/", "abc"))-1], "c", options{readHeader: soon, idle: soon}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for kind, bare := range both {
				t.Run(kind, func(t *testing.T) {
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

// TestClientDoesNotRead: a client that does not read its response is disconnected.
func TestClientDoesNotRead(t *testing.T) {
	t.Parallel()
	for name, request := range map[string]string{"plain": get("/"), "unusual": unusual("/")} {
		t.Run(name, func(t *testing.T) {
			for kind, bare := range both {
				t.Run(kind, func(t *testing.T) {
					t.Parallel()
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
					if err := await(t, ends, "end of the response"); !errors.As(err, &timeout) || !timeout.Timeout() {
						t.Errorf("Write returned %v, want a timeout", err)
					}
				})
			}
		})
	}
}
