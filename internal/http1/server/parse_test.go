//go:build linux

package server_test

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/http/httpguts"

	"github.com/certgate/certgate/internal/http1/server"
)

// checkParse: what p takes, net/http reads the same, whatever p has read before.
func checkParse(t *testing.T, p *server.Parser, b []byte) (h server.Head, taken bool) {
	t.Helper()
	h, size, ok := p.Parse(b)
	if !ok {
		return h, false
	}
	source := bytes.NewReader(b)
	buffered := bufio.NewReader(source)
	r, err := http.ReadRequest(buffered)
	if err != nil {
		t.Fatalf("%.200q was taken, net/http says %v", b, err)
	}
	if used := len(b) - source.Len() - buffered.Buffered(); used != size {
		t.Fatalf("%.200q: a header of %d bytes, net/http reads %d", b, size, used)
	}
	if !r.ProtoAtLeast(1, 1) || r.ProtoAtLeast(1, 2) || r.Close || r.TransferEncoding != nil || r.Trailer != nil {
		t.Fatalf("%.200q is not plain: %+v", b, r)
	}
	length := int64(-1)
	if text, ok := r.Header["Content-Length"]; ok {
		if length, err = strconv.ParseInt(text[0], 10, 64); err != nil || len(text) != 1 || length != r.ContentLength {
			t.Fatalf("%.200q has the length %q, net/http's is %d", b, text, r.ContentLength)
		}
	}
	want := server.Head{Method: r.Method, Target: r.RequestURI, Host: r.Host, URL: r.URL, Header: r.Header, Length: length}
	if diff := cmp.Diff(want, h); diff != "" {
		t.Fatalf("%.200q (-net/http +lane):\n%s", b, diff)
	}
	checkRefusable(t, r)
	return h, true
}

// checkRefusable: nothing in r is what net/http's server refuses after reading.
func checkRefusable(t *testing.T, r *http.Request) {
	t.Helper()
	if r.Host == "" || !httpguts.ValidHostHeader(r.Host) {
		t.Fatalf("host %q was taken", r.Host)
	}
	if _, ok := r.Header["Host"]; ok {
		t.Fatal("a header with a Host was taken")
	}
	for name, values := range r.Header {
		if !httpguts.ValidHeaderFieldName(name) {
			t.Fatalf("the name %q was taken", name)
		}
		for _, v := range values {
			if !httpguts.ValidHeaderFieldValue(v) {
				t.Fatalf("the value %q was taken", v)
			}
		}
	}
	for _, name := range []string{"Expect", "Upgrade", "Te", "Trailer", "Transfer-Encoding", "Http2-Settings"} {
		if _, ok := r.Header[name]; ok {
			t.Fatalf("a header with %s was taken", name)
		}
	}
}

// connection is a parser, and what it has taken since it is new.
type connection struct {
	server.Parser

	all []parsed
}

// parsed is a header, and its generation.
type parsed struct {
	server.Head

	generation uint64
}

// check parses b. Headers with the same generation have the same fields but for the
// value of Content-Length, whatever was parsed between them.
func (c *connection) check(t *testing.T, b []byte) (taken bool) {
	t.Helper()
	h, ok := checkParse(t, &c.Parser, b)
	if !ok {
		return false
	}
	now := parsed{fieldsOf(h), c.Generation()}
	if now.generation == 0 {
		t.Fatalf("%.200q has the generation 0", b)
	}
	for _, before := range c.all {
		if before.generation == now.generation && !cmp.Equal(before.Head, now.Head) {
			t.Fatalf("the generation of both is %d:\n%s", now.generation, cmp.Diff(before.Head, now.Head))
		}
	}
	c.all = append(c.all, now)
	return true
}

// fieldsOf is a copy of h in which every request line and every Content-Length is the
// same.
func fieldsOf(h server.Head) server.Head {
	h.Method, h.Target, h.URL = "", "", nil
	h.Header = h.Header.Clone()
	if h.Length >= 0 {
		h.Header.Set("Content-Length", "some")
		h.Length = 0
	}
	return h
}

// FuzzParse: several headers on one connection, of which the later ones repeat
// lines of the first.
func FuzzParse(f *testing.F) {
	all := streams()
	for i, s := range all {
		if len(s) < 6<<10 {
			f.Add([]byte(s), []byte(all[(i+1)%len(all)]), uint16(40))
			f.Add([]byte(s), []byte(get("/a")), uint16(20))
		}
	}
	f.Fuzz(func(t *testing.T, first, second []byte, common uint16) {
		same := first[:min(int(common), len(first))]
		behind := [][]byte{first, slices.Concat(same, second), first, first}
		if len(same) < len(first) && len(second) > 0 {
			edited := slices.Clone(first)
			edited[len(same)] = second[0]
			inserted := slices.Concat(same, second[:1], first[len(same):])
			behind = append(behind, edited, first, inserted, edited)
		}
		c := new(connection)
		for _, b := range behind {
			taken := c.check(t, b)
			if _, alone := checkParse(t, new(server.Parser), b); alone != taken {
				t.Fatalf("%.200q behind %.200q is taken: %v; alone: %v", b, first, taken, alone)
			}
		}
	})
}

// Each header is the same, alone or behind any other, the refused ones included.
func TestParseBehind(t *testing.T) {
	var all []string
	for _, s := range streams() {
		if len(s) < 300 {
			all = append(all, s)
		}
	}
	base := []string{get("/a"), header("X: 1", "Y: 2"), header("X: 1", "Y: 2", "Z: 3"), header("Y: 2"), bodied("Content-Length: 5"), header("X: " + strings.Repeat("x", 5000)), "GET /a HTTP/1.1\r\nHost: h\r\nX: a\x00\r\n\r\n"}
	for _, first := range base {
		for _, s := range all {
			c := new(connection)
			c.check(t, []byte(first))
			_, want := checkParse(t, new(server.Parser), []byte(s))
			for range 2 {
				if have := c.check(t, []byte(s)); have != want {
					t.Errorf("%q behind %q is taken: %v; alone: %v", s, first, have, want)
				}
			}
			c.check(t, []byte(first))
		}
	}
}

// What differs from one header to the next is seen, whatever it is; where it is in the
// fields, it changes the generation, but for the value of Content-Length.
func TestGeneration(t *testing.T) {
	large, many := "X-Large: "+strings.Repeat("x", 5000), slices.Repeat([]string{"X-Many: x"}, 80)
	base := []string{"X: 1", "Y: 2", "Content-Length: 5", "Connection: keep-alive"}
	doubled := []string{"X: 1", "Y: 2", "X: 3", "Content-Length: 5"}
	tests := []struct {
		name         string
		first, other string
		same         bool
	}{
		{"the same", bodied(base...), bodied(base...), true},
		{"the same, two of a name", bodied(doubled...), bodied(doubled...), true},
		{"another length", bodied(base...), bodied("X: 1", "Y: 2", "Content-Length: 1234", "Connection: keep-alive"), true},
		{"another length, another spelling", bodied(base...), bodied("X: 1", "Y: 2", "content-length:4 ", "Connection: keep-alive"), true},
		{"no length", bodied(base...), bodied("X: 1", "Y: 2", "Connection: keep-alive"), false},
		{"length and more", bodied(base...), bodied("X: 1", "Y: 3", "Content-Length: 4", "Connection: keep-alive"), false},
		{"another value", bodied(base...), bodied("X: 3", "Y: 2", "Content-Length: 5", "Connection: keep-alive"), false},
		{"an empty value", bodied(base...), bodied("X: ", "Y: 2", "Content-Length: 5", "Connection: keep-alive"), false},
		{"values exchanged", bodied(base...), bodied("X: 2", "Y: 1", "Content-Length: 5", "Connection: keep-alive"), false},
		{"another order", bodied(base...), bodied("Y: 2", "X: 1", "Content-Length: 5", "Connection: keep-alive"), false},
		{"another name", bodied(base...), bodied("Z: 1", "Y: 2", "Content-Length: 5", "Connection: keep-alive"), false},
		{"a name twice", bodied(base...), bodied("X: 1", "X: 2", "Content-Length: 5", "Connection: keep-alive"), false},
		{"one more", bodied(base...), bodied(append(slices.Clone(base), "Z: 1")...), false},
		{"one less", bodied(base...), bodied(base[:3]...), false},
		{"the first of two", bodied(doubled...), bodied("X: 4", "Y: 2", "X: 3", "Content-Length: 5"), false},
		{"the second of two", bodied(doubled...), bodied("X: 1", "Y: 2", "X: 4", "Content-Length: 5"), false},
		{"two exchanged", bodied(doubled...), bodied("X: 3", "Y: 2", "X: 1", "Content-Length: 5"), false},
		{"beside two", bodied(doubled...), bodied("X: 1", "Y: 3", "X: 3", "Content-Length: 5"), false},
		{"another host", get("/a"), lines("GET /a HTTP/1.1", "Host: i", ""), false},
		{"host elsewhere", header("X: 1"), lines("GET /a HTTP/1.1", "X: 1", "Host: h", ""), false},
		{"another target", get("/a"), get("/b"), true},
		{"another query", get("/a?b"), get("/a?c"), true},
		{"another method", get("/a"), lines("HEAD /a HTTP/1.1", "Host: h", ""), true},
		{"too large to keep", header(large), header(large + "x"), false},
		{"too many to keep", header(many...), header(many[1:]...), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := new(connection)
			for _, s := range []string{tt.first, tt.other, tt.first, tt.first, tt.other} {
				if !c.check(t, []byte(s)) {
					t.Fatalf("%.200q is not plain", s)
				}
			}
			if same := c.all[0].generation == c.all[1].generation; same != tt.same {
				t.Errorf("the generation is the same: %v, want %v", same, tt.same)
			}
		})
	}
}

// Nothing of a header that was refused half way is in the next one.
func TestRefusedBetween(t *testing.T) {
	base := bodied("X: 1", "Y: 2", "Content-Length: 5", "Connection: keep-alive")
	for _, refused := range []string{
		lines("GET //a HTTP/1.1", "Host: i", "X: 3", ""), lines("GET /b HTTP/1.1", "Host: a b", ""), lines("GET /b HTTP/1.1", "X: 3", ""),
		bodied("X: 3", "Y: 4", "Content-Length: 05"), bodied("X: 3", "Y: 2", "Content-Length: 4", "Connection: close"), bodied("X: 3", "Y: \x00"),
		bodied("X: 3", "Y: 2", "Content-Length: 4", "Connection: keep-alive", "Te: x"), bodied("X: 3", "X: 4", "Host: h"), bodied("X: 3", "Content-Length: 4", "Content-Length: 4"),
	} {
		c := new(connection)
		if !c.check(t, []byte(base)) || c.check(t, []byte(refused)) || !c.check(t, []byte(base)) {
			t.Errorf("%q is taken, or %q is not", refused, base)
		}
		if c.all[0].generation == c.all[1].generation {
			t.Errorf("want another generation behind %q", refused)
		}
	}
}

// What a handler does to its request is not seen by the next one. Its header is the
// connection's, and not to be changed.
func TestRequestsAreApart(t *testing.T) {
	r := start(t, false, options{}, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Method+r.URL.String()+r.Host+r.Header.Get("X")+strings.Join(r.Header["Y"], ","))
		r.Method, r.Host, r.RequestURI = "EVIL", "evil", "evil"
		r.URL.Path, r.URL.RawQuery = "/evil", "evil"
		r.Header = http.Header{"X": {"evil"}}
	})
	c := r.dial()
	for range 3 {
		c.send(header("X: 1", "Y: 2", "Y: 3")).want(200, "GET/ah12,3")
	}
}
