//go:build linux

package server_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/http1/server"
	"github.com/certgate/certgate/internal/testkit/rawhttp"
)

// echo responds with everything that the handler sees of the request.
func echo(w http.ResponseWriter, r *http.Request) {
	m := record(r)
	m.read(r, -1)
	fmt.Fprintf(w, "%s %s %s %v %s", m.Method, m.URL.String(), m.Host, m.Header, m.Body)
}

// shapes are requests with different parts, and what [echo] responds to them.
func shapes() map[string]string {
	var many []string
	for i := range 20 {
		many = append(many, fmt.Sprintf("F%02d: %d", i, i))
	}
	header20 := strings.NewReplacer(": ", ":[", ",", "] ").Replace(strings.Join(many, ",")) + "]"
	return map[string]string{
		header("X: 1", "Y: 2", "Y: 3"): "GET /a h map[X:[1] Y:[2 3]] ",
		header("Y: 4"):                 "GET /a h map[Y:[4]] ",
		header(many...):                "GET /a h map[" + header20 + "] ",
		rawhttp.Lines("GET /%62?q HTTP/1.1", "Host: i", ""): "GET /%62?q i map[] ",
		post("/b", "hello"): "POST /b h map[Content-Length:[5]] hello",
		post("/b", ""):      "POST /b h map[Content-Length:[0]] ",
	}
}

// TestReuseRequest checks that the memory of a request is used again if the handler permits it, also
// for a request on another connection, and that the later request has no part of the earlier one.
func TestReuseRequest(t *testing.T) {
	seen := map[*http.Request]bool{} // the handler is called for one request at a time
	r := start(t, false, options{}, func(w http.ResponseWriter, r *http.Request) {
		seen[r] = true
		echo(w, r)
		w.(fastWriter).ReuseRequest()
	})
	clients := []*rawClient{r.dial(), r.dial()}
	n := 0
	for range 20 {
		for request, want := range shapes() { // in random order
			clients[n%len(clients)].send(request).want(http.StatusOK, want)
			n++
		}
	}
	if len(seen) == n {
		t.Error("no memory of a request was used again")
	}
}

// TestReuseIsForOneRequest checks that the permission of a handler is not valid for the next request on
// the connection.
func TestReuseIsForOneRequest(t *testing.T) {
	kept := make(chan *http.Request, 1)
	r := start(t, false, options{}, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/kept" {
			kept <- r
			return
		}
		w.(fastWriter).ReuseRequest()
	})
	c := r.dial()
	c.send(get("/1")).want(http.StatusOK, "")
	c.send(get("/kept")).want(http.StatusOK, "")
	request := await(t, kept, "request")
	for i := range 20 {
		c.send(get(fmt.Sprint("/", i))).want(http.StatusOK, "")
		if request.RequestURI != "/kept" || request.URL.Path != "/kept" {
			t.Fatalf("the kept request is %s %s, want /kept", request.RequestURI, request.URL)
		}
	}
}

// TestLargeHeaderIsNotReused checks that one request with many fields does not make later requests
// slow, which would have to clear the large map.
func TestLargeHeaderIsNotReused(t *testing.T) {
	for n, want := range map[int]int{1: 1, 15: 15, 16: 0, 1000: 0} {
		if have := server.KeptFields(n); have != want {
			t.Errorf("%d fields: a header with %d is kept, want %d", n, have, want)
		}
	}
}

// TestAbortedRequestIsNotReused checks that the memory of a request is not used again if the handler
// did not return, because its goroutines may still use the request then.
func TestAbortedRequestIsNotReused(t *testing.T) {
	kept := map[*http.Request]string{}
	r := start(t, false, options{}, func(w http.ResponseWriter, r *http.Request) {
		if target, ok := kept[r]; ok {
			t.Errorf("the request for %s has the memory of the one for %s", r.RequestURI, target)
		}
		kept[r] = r.RequestURI
		w.(fastWriter).ReuseRequest()
		panic(http.ErrAbortHandler)
	})
	for i := range 20 {
		r.dial().send(get(fmt.Sprint("/", i))).wantGone()
	}
}
