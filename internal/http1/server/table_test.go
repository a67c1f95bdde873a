//go:build linux

package server_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/testkit/rawhttp"
)

// TestSame checks the streams of the table like FuzzSame: whole, byte by byte, in two parts,
// cut off, and between other requests.
func TestSame(t *testing.T) {
	t.Parallel()
	const parts = 4 // which run in parallel
	all := streams()
	for part := range parts {
		t.Run(strconv.Itoa(part), func(t *testing.T) {
			t.Parallel()
			p := newPair(t)
			for i := part; i < len(all); i += parts {
				checkSame(t, p, all[i])
			}
		})
	}
}

func checkSame(t *testing.T, p *pair, stream string) {
	t.Helper()
	p.check(t, [][]byte{[]byte(stream)})
	p.check(t, [][]byte{[]byte(stream + get("/probe"))})
	p.check(t, [][]byte{[]byte(post("/before", "b") + stream + get("/probe"))})
	switch {
	case len(stream) > 600:
		p.check(t, segments([]byte(stream), []byte{100, 200, 255, 255, 250, 0, 0, 0}))
	case !testing.Short():
		p.check(t, singles(stream+get("/probe")))
		p.check(t, singles(get("/before")+stream))
	}
}

// TestSameCut checks streams that end, or pause, at every byte.
func TestSameCut(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("-short: this test cuts requests at every byte")
	}
	p := newPair(t)
	for _, s := range []string{
		get("/a") + get("/b"), post("/a", "12345") + get("/b"), post("/unread", "12345") + get("/b"), post("/half", "12345") + unusual("/b"),
		post("/a", "b") + "\r\n\r\n" + get("/c"), unusual("/a") + get("/b"), header("X : a"), get("/a") + "\r\n" + get("/b"),
		chunked("5\r\n12345\r\n0\r\n\r\n") + get("/b"), post("/unreadclose", "12345") + get("/b"),
	} {
		for i := range len(s) {
			p.check(t, [][]byte{[]byte(s[:i])})
			p.check(t, [][]byte{[]byte(s[:i]), []byte(s[i:])})
		}
	}
}

// TestPlain: the fast path serves the plain streams. Otherwise the comparisons would prove
// nothing.
func TestPlain(t *testing.T) {
	p := newPair(t)
	for _, s := range plainStreams() {
		if strings.HasPrefix(s, "PUT /a HTTP/1.0") {
			continue
		}
		fast := p.check(t, [][]byte{[]byte(s)})
		if want := strings.Count(s, " HTTP/1.1\r\nHost: h\r\n"); fast < min(want, 1) || fast == 0 {
			t.Errorf("%d requests of %.100q were served by the fast path", fast, s)
		}
	}
}

// TestUnusual: net/http serves the first request of these streams.
func TestUnusual(t *testing.T) {
	p := newPair(t)
	for _, s := range []string{
		header("Connection: close"), header("Connection: x"), header("TE: trailers"), header("Trailer: x"), header("Upgrade: x"), header("Expect: 100-continue"), header("HTTP2-Settings: x"),
		header("Pragma: no-cache"), header("Host: h"), header("X(y): a"), header("X: \x7f"), header("X: a", " b"), get("//a"), get("/a#b"), get("*"), get("http://h/a"), get("/\x80"),
		chunked("0\r\n\r\n"), bodied("Content-Length: 05"), bodied("Content-Length: 5", "Content-Length: 5"), rawhttp.Lines("QUERY /a HTTP/1.1", "Host: h", ""), rawhttp.Lines("GET /a HTTP/1.0", "Host: h", ""), "GET /a HTTP/1.1\nHost: h\n\n",
		rawhttp.Lines("GET /a HTTP/1.1", "Host: a/b", ""), bodied("Content-Length: 9223372036854775808"), header("X: " + strings.Repeat("x", maxHeader)),
	} {
		if fast := p.check(t, [][]byte{[]byte(s)}); fast != 0 {
			t.Errorf("%.100q was served by the fast path", s)
		}
	}
}

func singles(s string) [][]byte {
	parts := make([][]byte, len(s))
	for i := range parts {
		parts[i] = []byte(s[i : i+1])
	}
	return parts
}
