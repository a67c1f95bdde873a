//go:build linux

package server_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/net/http/httpguts"

	"github.com/certgate/certgate/internal/http1/server"
	"github.com/certgate/certgate/internal/http1/syntax"
	"github.com/certgate/certgate/internal/testkit/rawhttp"
)

// checkParse checks that net/http reads the same request from b, if the parser accepts it.
func checkParse(t *testing.T, b []byte) (accepted bool) {
	t.Helper()
	h, size, ok := server.Parse(b, nil)
	checkInterned(t, b, h, ok)
	if !ok {
		return false
	}
	source := bytes.NewReader(b)
	buffered := bufio.NewReader(source)
	r, err := http.ReadRequest(buffered)
	if err != nil {
		t.Fatalf("want %.200q refused, as by net/http with %v", b, err)
	}
	if used := len(b) - source.Len() - buffered.Buffered(); used != size {
		t.Fatalf("%.200q: a header of %d bytes, net/http reads %d", b, size, used)
	}
	if !r.ProtoAtLeast(1, 1) || r.ProtoAtLeast(1, 2) || r.Close || r.TransferEncoding != nil || r.Trailer != nil {
		t.Fatalf("%.200q is not plain: %+v", b, r)
	}
	var length int64
	if text, ok := r.Header["Content-Length"]; ok {
		if length, err = strconv.ParseInt(text[0], 10, 64); err != nil || len(text) != 1 || length != r.ContentLength {
			t.Fatalf("%.200q has the length %q, net/http's is %d", b, text, r.ContentLength)
		}
	}
	want := server.Head{Method: r.Method, Target: r.RequestURI, Host: r.Host, URL: r.URL, Header: r.Header, Length: length}
	if !reflect.DeepEqual(h, want) {
		t.Fatalf("%.200q: found %+v, net/http has %+v", b, h, want)
	}
	checkRefusable(t, r)
	return true
}

// checkInterned checks that the parser returns the same header when it interns every long
// value that is printable.
func checkInterned(t *testing.T, b []byte, want server.Head, accepted bool) {
	t.Helper()
	have, _, ok := server.Parse(b, func(value []byte) (string, bool) {
		return string(value), syntax.IsPrintable(string(value))
	})
	if ok != accepted || !reflect.DeepEqual(have, want) {
		t.Fatalf("%.200q accepted: %t, with interned values %t: %+v, want %+v", b, accepted, ok, have, want)
	}
}

// TestIntern checks that an interned value is not copied, and that the rest of the header is.
func TestIntern(t *testing.T) {
	const other = "another value"
	long := strings.Repeat("c", 600)
	known := strings.Clone(long)
	intern := func(value []byte) (string, bool) { return known, string(value) == known }
	tests := []struct {
		name     string
		header   string
		interned bool
	}{
		{"known value", header("A: 1", "X-Ssl-Auth: "+long, "B: "+other), true},
		{"spaces around it", header("A: 1", "X-Ssl-Auth:   "+long+"  ", "B: "+other), true},
		{"second line of the name", header("X-Ssl-Auth: "+other, "X-Ssl-Auth: "+long, "B: "+other), true},
		{"one byte more", header("X-Ssl-Auth: "+long+"c", "B: "+other), false},
		{"one byte less", header("X-Ssl-Auth: "+long[1:], "B: "+other), false},
		{"in the request target", rawhttp.Lines("GET /:"+long+" HTTP/1.1", "Host: h", "B: "+other, ""), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := []byte(tt.header)
			h, _, ok := server.Parse(b, intern)
			clear(b)
			if !ok || h.Header.Get("B") != other {
				t.Fatalf("accepted: %t, header %.200q: want a copy of every byte", ok, h.Header)
			}
			values := append(h.Header["X-Ssl-Auth"], "")
			same := slices.ContainsFunc(values, func(v string) bool { return v != "" && unsafe.StringData(v) == unsafe.StringData(known) })
			if same != tt.interned {
				t.Errorf("interned: %t, want %t", same, tt.interned)
			}
		})
	}
	if _, _, ok := server.Parse([]byte(header(long)), intern); ok {
		t.Error("a line without a colon was accepted")
	}
}

// checkRefusable checks that r has nothing that net/http refuses after reading the header.
func checkRefusable(t *testing.T, r *http.Request) {
	t.Helper()
	if r.Host == "" || !httpguts.ValidHostHeader(r.Host) {
		t.Fatalf("host %q was accepted", r.Host)
	}
	if _, ok := r.Header["Host"]; ok {
		t.Fatal("a header with a Host was accepted")
	}
	for name, values := range r.Header {
		if !httpguts.ValidHeaderFieldName(name) {
			t.Fatalf("the name %q was accepted", name)
		}
		for _, v := range values {
			if !httpguts.ValidHeaderFieldValue(v) {
				t.Fatalf("the value %q was accepted", v)
			}
		}
	}
	for _, name := range []string{"Expect", "Upgrade", "Te", "Trailer", "Transfer-Encoding", "Http2-Settings"} {
		if _, ok := r.Header[name]; ok {
			t.Fatalf("a header with %s was accepted", name)
		}
	}
}

// FuzzParse: net/http reads every header that the parser accepts in the same way.
func FuzzParse(f *testing.F) {
	for _, s := range streams() {
		if len(s) < 6<<10 {
			f.Add([]byte(s))
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) { checkParse(t, b) })
}

// TestParse: the parser accepts headers of plain requests only.
func TestParse(t *testing.T) {
	for _, s := range streams() {
		checkParse(t, []byte(s))
	}
	for _, s := range []string{get("/a"), header("x-forwarded-for: a", "x-a: b"), bodied("Content-Length: 5")} {
		if !checkParse(t, []byte(s)) {
			t.Errorf("%q was not accepted", s)
		}
	}
	for _, s := range []string{
		get("//a"), rawhttp.Lines("GET /b HTTP/1.1", "Host: a b", ""), rawhttp.Lines("GET /b HTTP/1.1", "X: 3", ""), header("Host: h"),
		bodied("Content-Length: 05"), bodied("Content-Length: 4", "Content-Length: 4"), header("Connection: close"),
		header("X: \x00"), header("Te: x"), header("X : a"), header("X\x00: a"), header("X"),
	} {
		if checkParse(t, []byte(s)) {
			t.Errorf("%q was accepted", s)
		}
	}
}

// TestHandlerKeepsRequest: a request, its URL and its Header stay as they are after the
// handler has returned, whatever arrives on the connection later.
func TestHandlerKeepsRequest(t *testing.T) {
	for name, bare := range both {
		t.Run(name, func(t *testing.T) {
			kept := make(chan *http.Request, 2)
			r := start(t, bare, options{}, func(w http.ResponseWriter, r *http.Request) { kept <- r })
			c := r.dial()
			c.send(header("X: 1", "Y: 2", "Y: 3")).want(200, "")
			c.send(rawhttp.Lines("DELETE /b?c HTTP/1.1", "Host: i", "X: 4", "Y: 5", "Y: 6", "Z: 7", "")).want(200, "")
			for _, want := range []string{"GET /a h map[X:[1] Y:[2 3]]", "DELETE /b?c i map[X:[4] Y:[5 6] Z:[7]]"} {
				k := await(t, kept, "request")
				if have := fmt.Sprint(k.Method, " ", k.URL, " ", k.Host, " ", k.Header); have != want {
					t.Errorf("the handler kept %q, want %q", have, want)
				}
			}
		})
	}
}

// TestHandlerChangesRequest: changes that a handler makes to its request do not appear in the
// next one.
func TestHandlerChangesRequest(t *testing.T) {
	r := start(t, false, options{}, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Method+r.URL.String()+r.Host+r.Header.Get("X")+strings.Join(r.Header["Y"], ","))
		r.Method, r.Host, r.RequestURI = "EVIL", "evil", "evil"
		r.URL.Path, r.URL.RawQuery = "/evil", "evil"
		r.Header.Set("X", "evil")
		r.Header["Y"][0] = "evil"
		r.Header = http.Header{"X": {"evil"}}
	})
	c := r.dial()
	for range 3 {
		c.send(header("X: 1", "Y: 2", "Y: 3")).want(200, "GET/ah12,3")
	}
}
