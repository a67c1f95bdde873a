package lane_test

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

	"github.com/certgate/certgate/internal/lane"
)

// checkParse: what p takes, net/http reads the same, whatever p has read before.
func checkParse(t *testing.T, p *lane.Parser, b []byte) (taken bool) {
	t.Helper()
	h, size, ok := p.Parse(b)
	if !ok {
		return false
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
	want := lane.Head{Method: r.Method, Target: r.RequestURI, Host: r.Host, URL: r.URL, Header: r.Header, Length: length}
	if diff := cmp.Diff(want, h); diff != "" {
		t.Fatalf("%.200q (-net/http +lane):\n%s", b, diff)
	}
	checkRefusable(t, r)
	return true
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

// FuzzParse: two headers on one connection, of which the second may repeat lines
// of the first.
func FuzzParse(f *testing.F) {
	all := streams()
	for i, s := range all {
		if len(s) < 6<<10 {
			f.Add([]byte(s), []byte(all[(i+1)%len(all)]), uint16(40))
			f.Add([]byte(s), []byte(get("/a")), uint16(20))
		}
	}
	f.Fuzz(func(t *testing.T, first, second []byte, common uint16) {
		p := new(lane.Parser)
		checkParse(t, p, first)
		same := first[:min(int(common), len(first))]
		mixed := slices.Concat(same, second)
		taken := checkParse(t, p, mixed)
		if fresh := checkParse(t, new(lane.Parser), mixed); fresh != taken {
			t.Fatalf("%.200q behind %.200q is taken: %v; alone: %v", mixed, first, taken, fresh)
		}
		checkParse(t, p, first)
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
		p := new(lane.Parser)
		for _, s := range all {
			checkParse(t, p, []byte(first))
			if have, want := checkParse(t, p, []byte(s)), checkParse(t, new(lane.Parser), []byte(s)); have != want {
				t.Errorf("%q behind %q is taken: %v; alone: %v", s, first, have, want)
			}
		}
	}
}

// What a handler does to its request is not seen by the next one.
func TestRequestsAreApart(t *testing.T) {
	r := start(t, false, options{}, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Method+r.URL.String()+r.Host+r.Header.Get("X")+strings.Join(r.Header["Y"], ",")+r.Header.Get("Evil"))
		r.Method, r.Host, r.RequestURI = "EVIL", "evil", "evil"
		r.URL.Path, r.URL.RawQuery = "/evil", "evil"
		r.Header["X"][0] = "evil"
		r.Header["X"] = append(r.Header["X"], "evil")
		r.Header["Y"] = append(r.Header["Y"][:1], "evil")
		r.Header.Set("Evil", "evil")
	})
	c := r.dial()
	for range 3 {
		c.send(header("X: 1", "Y: 2", "Y: 3")).want(200, "GET/ah12,3")
	}
}
