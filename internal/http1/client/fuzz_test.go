package client_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/certgate/certgate/internal/http1/client"
)

// FuzzResponse: for any bytes from an upstream, a response that is accepted equals the one
// that net/http reads.
func FuzzResponse(f *testing.F) {
	for _, a := range validResponses {
		f.Add(a.answer, a.method == http.MethodHead)
	}
	f.Add("HTTP/1.1 200 OK\r\n\r\nuntil close", false)
	f.Add("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n", false)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		f.Fatal(err)
	}
	says := make(chan string)
	go speak(l, says)
	f.Cleanup(func() {
		l.Close()
		close(says)
	})
	f.Fuzz(func(t *testing.T, answer string, head bool) {
		method := http.MethodGet
		if head {
			method = http.MethodHead
		}
		c := &testClient{client.New(client.Options{Addr: l.Addr().String(), Timeout: time.Minute, MaxIdle: 1, MaxHeaderBytes: maxHeader})}
		defer c.CloseIdleConnections()
		done := make(chan struct{})
		go func() {
			defer close(done)
			says <- answer
		}()
		have, body, err := exchange(t, c, method, "")
		<-done
		if err != nil {
			return
		}
		compare(t, answer, have, body)
	})
}

// speak writes the next response to each connection.
func speak(l net.Listener, says <-chan string) {
	for {
		nc, err := l.Accept()
		if err != nil {
			return
		}
		if _, err := http.ReadRequest(bufio.NewReader(nc)); err == nil {
			_, _ = io.WriteString(nc, <-says)
		}
		nc.Close()
	}
}

// compare expects net/http to read the same final response.
func compare(t *testing.T, text string, have *http.Response, body string) {
	t.Helper()
	r := bufio.NewReaderSize(strings.NewReader(text), len(text)+16)
	for {
		want, err := http.ReadResponse(r, have.Request.WithContext(context.Background()))
		if err != nil {
			t.Fatalf("net/http does not take %q: %v", text, err)
		}
		if want.StatusCode < http.StatusOK {
			continue
		}
		wantBody, err := io.ReadAll(want.Body)
		if err != nil {
			if _, ok := have.Header["Trailer"]; ok {
				return // net/http looks at what it lists, and nobody else does
			}
			t.Fatalf("net/http does not take the body of %q: %v", text, err)
		}
		if have.StatusCode != want.StatusCode || body != string(wantBody) {
			t.Fatalf("%q: have %d %q, want %d %q", text, have.StatusCode, body, want.StatusCode, wantBody)
		}
		if diff := cmp.Diff(visible(want.Header), visible(have.Header)); diff != "" {
			t.Fatalf("%q: header (-want +have):\n%s", text, diff)
		}
		return
	}
}

// visible returns the header without the fields that net/http moves or adds.
func visible(h http.Header) http.Header {
	h = h.Clone()
	for _, name := range []string{"Transfer-Encoding", "Trailer", "Content-Length", "Pragma", "Cache-Control", "Connection"} {
		delete(h, name)
	}
	return h
}
