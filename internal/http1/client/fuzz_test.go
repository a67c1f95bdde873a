package client_test

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/http1/client"
	"github.com/certgate/certgate/internal/testkit/rawhttp"
	"github.com/certgate/certgate/internal/testkit/upstream"
)

// FuzzResponse: for any bytes from an upstream, a response that is accepted equals the one
// that net/http reads.
func FuzzResponse(f *testing.F) {
	for _, a := range validResponses {
		f.Add(a.response, a.method == http.MethodHead)
	}
	f.Add("HTTP/1.1 200 OK\r\n\r\nuntil close", false)
	f.Add("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n", false)
	responses := make(chan string)
	up := upstream.New(f, func(_ int, c *rawhttp.Conn) {
		if _, err := http.ReadRequest(c.Reader); err == nil {
			c.Send(<-responses)
		}
	})
	f.Fuzz(func(t *testing.T, response string, head bool) {
		method := http.MethodGet
		if head {
			method = http.MethodHead
		}
		c := &testClient{client.New(client.Options{Network: "tcp", Addr: up.Addr, Timeout: time.Minute, MaxIdle: 1, MaxHeaderBytes: maxHeader})}
		defer c.CloseIdleConnections()
		done := make(chan struct{})
		go func() {
			defer close(done)
			responses <- response
		}()
		have, body, err := exchange(t, c, method, "")
		<-done
		if err != nil {
			return
		}
		compare(t, response, have, body)
	})
}

// compare expects net/http to read the same final response.
func compare(t *testing.T, text string, have *http.Response, body string) {
	t.Helper()
	r := bufio.NewReaderSize(strings.NewReader(text), len(text)+16)
	for {
		want, err := http.ReadResponse(r, have.Request.WithContext(context.Background()))
		if err != nil {
			t.Fatalf("want %q accepted by net/http, found %v", text, err)
		}
		if want.StatusCode < http.StatusOK {
			continue
		}
		wantBody, err := io.ReadAll(want.Body)
		if err != nil {
			if _, ok := have.Header["Trailer"]; ok {
				return // net/http refuses some lists of trailers; this client ignores the field
			}
			t.Fatalf("want the body of %q accepted by net/http, found %v", text, err)
		}
		if have.StatusCode != want.StatusCode || body != string(wantBody) {
			t.Fatalf("%q: have %d %q, want %d %q", text, have.StatusCode, body, want.StatusCode, wantBody)
		}
		if have, want := visible(have.Header), visible(want.Header); !reflect.DeepEqual(have, want) {
			t.Fatalf("%q: header %q, want %q", text, have, want)
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
