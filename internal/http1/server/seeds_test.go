//go:build linux

package server_test

import (
	"fmt"
	"slices"
	"strings"

	"github.com/certgate/certgate/internal/testkit/rawhttp"
)

// header returns a GET with additional fields.
func header(fields ...string) string {
	return rawhttp.Lines(slices.Concat([]string{"GET /a HTTP/1.1", "Host: h"}, fields, []string{""})...)
}

// bodied returns a POST of "12345" with the given fields.
func bodied(fields ...string) string {
	return rawhttp.Lines(slices.Concat([]string{"POST /a HTTP/1.1", "Host: h"}, fields, []string{""})...) + "12345"
}

func chunked(body string, fields ...string) string {
	return rawhttp.Lines(slices.Concat([]string{"POST /a HTTP/1.1", "Host: h", "Transfer-Encoding: chunked"}, fields, []string{""})...) + body
}

// plainStreams returns streams that the fast path serves.
func plainStreams() []string {
	all := []string{
		get("/a"), get("/"), get("/a?b=c&d=%20+"), get("/a%2Fb%2e/../c;d,e'(!)*$@:~"), get("/a//b"), get("/?"), get("/a?b?c"), get("/%41?%zz"),
		get("/{}|^`\"<>\\[]"), // the path's escaped form is kept
		post("/a", ""), post("/a", "12345"), post("/a", "\r\n\r\nGET /b HTTP/1.1\r\nHost: h\r\n\r\n"), post("/a", "\x00\xff\n"),
		post("/a", strings.Repeat("b", 9000)), post("/a", strings.Repeat("c", 64<<10)),
		post("/a", strings.Repeat("b", 64<<10-1)), post("/a", strings.Repeat("b", 64<<10+1)), post("/a", strings.Repeat("b", 1<<20)), bodied("Content-Length: 9223372036854775807"),
		// net/http ends the connection when 256 KiB or more are unread.
		post("/unread", strings.Repeat("b", 256<<10-1)), post("/unread", strings.Repeat("b", 256<<10)), post("/unread", strings.Repeat("b", 256<<10+1)), post("/unread", strings.Repeat("b", 300<<10)),
		post("/half", strings.Repeat("b", 512<<10-2)), post("/half", strings.Repeat("b", 512<<10)), post("/shut", strings.Repeat("b", 256<<10-1)), post("/shut", strings.Repeat("b", 256<<10+1)), post("/unreadclose", strings.Repeat("b", 1<<20)),
		header("Connection: keep-alive"), header("connection: KEEP-ALIVE"), header("Connection: keep-alive", "Connection: keep-alive"),
		header("X: 1", "x: 2", "X: 3"), header("X: 1", "Y: 2", "X: 3", "Z:"), header("X:"), header("X: "), header("X:a"), header("X:  a  b  "), header("X: a\tb", "Y:\ta\t", "Z: \u00e9\xff"),
		header("X_y: 1", "x-y: 2", "X--Y-: 3", "-x: 4", "1: 5", "_: 6", "X-y_Z: 7", "X.y!#$%&'*+^`|~: 8"), header("HOST-NAME: x", "hosT-namE: y"),
		header("Cookie: a=b; c=d", "Accept: */*", `User-Agent: a "b" (c)`, "Cookie: e=f"),
		header("Keep-Alive: timeout=5", "Proxy-Connection: close", "Content-Type: a/b", "Content-Encoding: gzip", "Range: bytes=0-1"),
		header("X: " + strings.Repeat("x", 9000)), header("X: " + strings.Repeat("x", 20_000)),
		rawhttp.Lines("GET /a HTTP/1.1", "X: 1", "hOsT:EXAMPLE.com:80", ""), rawhttp.Lines("GET /a HTTP/1.1", "Host: [::1]:80", ""), rawhttp.Lines("GET /a HTTP/1.1", "Host: :::[]..", ""), rawhttp.Lines("GET /a HTTP/1.1", "Host: a,b!$&()*+;=~_%2f", ""),
		bodied("Content-Length: 5"), bodied("content-length:5  "), bodied("Content-Length: 5", "Content-Type: a/b"),
		rawhttp.Lines("GET /a HTTP/1.1", "Host: h", "Content-Length: 3", "") + "abc",
		get("/a") + get("/b") + post("/c", "c") + get("/d"),
	}
	for _, m := range []string{"HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"} {
		all = append(all, rawhttp.Lines(m+" /a HTTP/1.1", "Host: h", "Content-Length: 5", "")+"12345", rawhttp.Lines(m+" /a HTTP/1.1", "Host: h", ""))
	}
	all = append(all, rows()...)
	for path := range behaviours {
		all = append(all, get(path), post(path, "0123456789"), rawhttp.Lines("HEAD "+path+" HTTP/1.1", "Host: h", ""))
	}
	slices.Sort(all)
	return all
}

// rows returns streams of requests that resemble each other.
func rows() []string {
	base := bodied("X: 1", "Y: 2", "Content-Length: 5")
	others := []string{
		bodied("X: 3", "Y: 2", "Content-Length: 5"), bodied("X: 2", "Y: 1", "Content-Length: 5"), bodied("Y: 2", "X: 1", "Content-Length: 5"),
		bodied("X: 1", "X: 2", "Content-Length: 5"), bodied("x: 1", "Y: 2", "Content-Length: 5"), bodied("X:1", "Y: 2", "Content-Length: 5"),
		bodied("X: 1", "Y: 2", "Z: 3", "Content-Length: 5"), bodied("X: 1", "Content-Length: 5"), bodied("X: 1", "Y: 2", "Content-Length: 5", "Z: 3"),
		bodied("X: 1", "Y: 2", "Content-Length: 7") + "67", bodied("X: 1", "Y: 2", "Content-Length: 12") + "6789012",
		strings.Replace(base, "Host: h", "Host: i", 1), strings.Replace(base, "/a", "/b", 1), strings.Replace(base, "POST", "PUT", 1), get("/a"),
		header("X: " + strings.Repeat("x", 5000)), header(slices.Repeat([]string{"X: 1"}, 80)...),
	}
	var all []string
	for _, other := range others {
		all = append(all, base+other+base+base+other+other)
	}
	doubled := bodied("X: 1", "X: 2", "Content-Length: 5")
	return append(all, base+base+base, doubled+doubled+strings.Replace(doubled, "2", "3", 1)+strings.Replace(doubled, "1", "3", 1)+base)
}

// unusualRows returns such streams with one request that is not plain.
func unusualRows() []string {
	base := bodied("X: 1", "Y: 2", "Content-Length: 5", "Connection: keep-alive")
	var all []string
	for _, other := range []string{
		strings.Replace(base, "keep-alive", "close", 1), strings.Replace(base, "Y: 2", "Te: 2", 1), strings.Replace(base, "Y: 2", "Host: h", 1), strings.Replace(base, "X: 1", "X: \x00", 1), strings.Replace(base, "X: 1", "X : 1", 1),
		strings.Replace(base, "h: 5", "h: 05", 1), strings.Replace(base, "h: 5", "h: 5, 5", 1), strings.Replace(base, "Y: 2", "Content-Length: 5", 1), strings.Replace(base, "Y: 2", "Transfer-Encoding: chunked", 1),
		strings.Replace(base, "Host: h", "Host: a b", 1), strings.Replace(base, "Host", "Hose", 1), strings.Replace(base, "/a", "//a", 1), strings.Replace(base, "1.1", "1.0", 1), strings.Replace(base, "1\r\nY", "1\nY", 1), strings.Replace(base, "1\r\nY", "1\r\n Y", 1),
		base[:40], "\r\n" + base,
	} {
		all = append(all, base+base+other+base+base)
	}
	return all
}

// unusualStreams returns streams for net/http, which accepts some of them and refuses others.
func unusualStreams() []string {
	all := []string{
		// The start line.
		get("//a"), get("//a/b?c"), get("/a#b"), get("#"), get("a"), get("*"), get("?a"), get("http://h/a"), get("http://other/a"), get("https://u:p@h:1/a?b"),
		get("/%"), get("/%zz"), get("/%0"), get("/\x80"), get("/\u00e9"), get("/a b"), get("/a\tb"), get(""), get("/\x7f"), get("/\x00"), get("h:443"), get("mailto:x"),
		rawhttp.Lines("GET  /a HTTP/1.1", "Host: h", ""), rawhttp.Lines("GET /a  HTTP/1.1", "Host: h", ""), rawhttp.Lines(" GET /a HTTP/1.1", "Host: h", ""), rawhttp.Lines("GET /a HTTP/1.1 ", "Host: h", ""),
		rawhttp.Lines("GET\t/a HTTP/1.1", "Host: h", ""), rawhttp.Lines("GET /a\tHTTP/1.1", "Host: h", ""), rawhttp.Lines("GET /a", "Host: h", ""), rawhttp.Lines("GET", "Host: h", ""), rawhttp.Lines("", "Host: h", ""),
		rawhttp.Lines("GET /a HTTP/1.0", "Host: h", ""), rawhttp.Lines("GET /a HTTP/1.0", ""), rawhttp.Lines("GET /a HTTP/1.0", "Host: h", "Connection: keep-alive", ""),
		rawhttp.Lines("GET /a HTTP/1.2", "Host: h", ""), rawhttp.Lines("GET /a HTTP/2.0", "Host: h", ""), rawhttp.Lines("GET /a HTTP/0.9", "Host: h", ""), rawhttp.Lines("GET /a http/1.1", "Host: h", ""),
		rawhttp.Lines("GET /a HTTP/1.10", "Host: h", ""), rawhttp.Lines("GET /a HTTP/01.1", "Host: h", ""), rawhttp.Lines("GET /a HTTP/1", "Host: h", ""), rawhttp.Lines("GET /a HTTPS/1.1", "Host: h", ""), rawhttp.Lines("GET /a HTTP/1.1x", "Host: h", ""),
		rawhttp.Lines("get /a HTTP/1.1", "Host: h", ""), rawhttp.Lines("Post /a HTTP/1.1", "Host: h", ""), rawhttp.Lines("FOO /a HTTP/1.1", "Host: h", ""), rawhttp.Lines("G@T /a HTTP/1.1", "Host: h", ""), rawhttp.Lines(" /a HTTP/1.1", "Host: h", ""),
		rawhttp.Lines("TRACE /a HTTP/1.1", "Host: h", ""), rawhttp.Lines("CONNECT h:443 HTTP/1.1", "Host: h", ""), rawhttp.Lines("CONNECT /a HTTP/1.1", "Host: h", ""), rawhttp.Lines("QUERY /a HTTP/1.1", "Host: h", ""),
		rawhttp.Lines("OPTIONS * HTTP/1.1", "Host: h", ""), "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "\x16\x03\x01\x02\x00\x01\x00\x01",
		// Line ends.
		"GET /a HTTP/1.1\nHost: h\n\n", "GET /a HTTP/1.1\r\nHost: h\n\r\n", "GET /a HTTP/1.1\r\nHost: h\r\n\n", "GET /a HTTP/1.1\nHost: h\r\n\r\n", "GET /a HTTP/1.1\r\nHost: h\r\n\r", "GET /a HTTP/1.1\r\nHost: h\n\n",
		"GET /a HTTP/1.1\r\rHost: h\r\n\r\n", "GET /a HTTP/1.1\r\nHost: h\r\r\n\r\n", "GET /a HTTP/1.1\r\nHost: h\r\nX: a\rb\r\n\r\n", "GET /a HTTP/1.1\r\r\nHost: h\r\n\r\n", "GET /a HTTP/1.1\r\nHost: h\r\n\r\r\n",
		"\r\n" + get("/a"), "\n" + get("/a"), "\r\n\r\n" + get("/a"), "\r" + get("/a"), " " + get("/a"), "\n", "\r\n", "\r", "GE", "\n\n\n\n", "\r\n\r\n\r\n",
		// Fields.
		header("X: a", " b"), header("X: a", "\tb"), header(" X: a"), header("X: a", " "), rawhttp.Lines("GET /a HTTP/1.1", " Host: h", ""), rawhttp.Lines("GET /a HTTP/1.1", "Host: h", " i", ""),
		header("X : a"), header("X\t: a"), header(": a"), header("X"), header("X y: a"), header("X\x00: a"), header("X: a\x00b"), header("X: \x01"), header("X: \x7f"), header("X: a\tb"), header("X:\ta"), header("X: a\t"),
		header("X: \x80\xff"), header("X: \u00e9"), header("X\u00e9: a"), header("X.y: a"), header("X(y): a"), header("X!#$%&'*+.^`|~: a"), header("\x0bX: a"), header("X: \x0ba"), header("=: a"), header("\"X\": a"),
		header("Host: h"), header("Host: i"), header("host:"), rawhttp.Lines("GET /a HTTP/1.1", ""), rawhttp.Lines("GET /a HTTP/1.1", "Host:", ""), rawhttp.Lines("GET /a HTTP/1.1", "Host: a b", ""), rawhttp.Lines("GET /a HTTP/1.1", "Host: a/b", ""), rawhttp.Lines("GET /a HTTP/1.1", "Host: a,b", ""),
		rawhttp.Lines("GET /a HTTP/1.1", "Host: a@b", ""), rawhttp.Lines("GET /a HTTP/1.1", "Host: \u00e9", ""), rawhttp.Lines("GET /a HTTP/1.1", "Host : h", ""), rawhttp.Lines("GET /a HTTP/1.1", "Host: %zz", ""), rawhttp.Lines("GET /a HTTP/1.1", "Host: a?b#c", ""),
		header("Pragma: no-cache"), header("Pragma: no-cache", "Cache-Control: max-age=0"), header("Pragma: x"),
		header("Connection: close"), header("Connection: Close"), header("Connection: keep-alive, close"), header("Connection: close", "Connection: keep-alive"), header("Connection: keep-alive", "Connection: close"),
		header("Connection: X-Auth"), header("Connection:"), header("Connection: , ,"), header("Connection: upgrade", "Upgrade: websocket"), header("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"),
		header("Upgrade: h2c"), header("HTTP2-Settings: x"), header("TE: trailers"), header("Te: chunked"), header("Trailer: X"), header("Trailer: Content-Length"), header("Trailer:"),
		header("Expect: 100-continue"), header("Expect: x"), header("Expect:"), bodied("Expect: 100-continue", "Content-Length: 5"), bodied("Expect: 100-Continue", "Content-Length: 5"), bodied("Expect: 200-ok", "Content-Length: 5"),
		"GET /a HTTP/1.1\r\nHost: h\r\n" + strings.Repeat("X: y\r\n", 300) + "\r\n", header(strings.Repeat("n", 5000) + ": v"), get("/" + strings.Repeat("a", 10_000)),
		header("X: " + strings.Repeat("x", maxHeader)), header("X: " + strings.Repeat("x", maxHeader+4096)), header("X: " + strings.Repeat("x", maxHeader+10_000)), header("X: " + strings.Repeat("x\n ", 5000)),
		post("/unread", strings.Repeat("b", 70<<10)), post("/half", strings.Repeat("b", 64<<10)), post("/unreadclose", strings.Repeat("b", 60<<10)),
		// After a POST, net/http ignores up to four line ends.
		post("/a", "b") + "\r\n" + get("/c"), post("/a", "b") + "\n" + get("/c"), post("/a", "b") + "\r\n\r\n" + get("/c"), post("/a", "b") + "\n\n\n\n\n" + get("/c"), post("/a", "b\r") + "\n" + get("/c"), post("/a", "b\n\r") + "\n" + get("/c"),
		post("/a", "b") + "\r\n", post("/a", "b") + "\n", post("/a", "b") + "\rX" + get("/c"), post("/a", "") + "\r\n" + post("/c", "d") + "\r\n" + get("/e"), post("/a", "b") + "\r\n\r\n\r\n" + get("/c"), post("/a", "b\r\n") + "\r\n" + get("/c"),
		get("/a") + "\r\n" + get("/c"), get("/a") + "\n", get("/a") + "\r\n", get("/a") + "GET", get("/a") + "GETS", get("/a") + "\n\n\n\n", rawhttp.Lines("PUT /a HTTP/1.1", "Host: h", "Content-Length: 1", "") + "b\r\n" + get("/c"),
		// Chunks.
		chunked("5\r\n12345\r\n0\r\n\r\n"), chunked("5;x=y\r\n12345\r\n0\r\nX: y\r\n\r\n", "Trailer: X"), chunked("5\r\n12345\r\n0\r\n\r\n", "Content-Length: 5"), chunked("5\r\n12345\r\n0\r\n\r\n", "Content-Length: 0"), chunked("0x5\r\n12345\r\n0\r\n\r\n"), chunked("5\n12345\r\n0\r\n\r\n"), chunked("5\r\n123456\r\n0\r\n\r\n"), chunked("g\r\n"),
		// Several requests, of every kind.
		get("/a") + unusual("/b") + get("/c"), unusual("/a") + get("/b"), post("/a", "b") + chunked("1\r\nx\r\n0\r\n\r\n") + get("/c"), chunked("1\r\nx\r\n0\r\n\r\n") + post("/a", "b") + get("/c"),
		get("/a") + rawhttp.Lines("GET /b HTTP/1.0", "Host: h", "") + get("/c"), get("/a") + header("Connection: close") + get("/c"), get("/close") + get("/b"), get("/abort") + get("/b"), get("/short") + get("/b"), get("/a") + get("/flush") + get("/204") + get("/304") + get("/large") + get("/b"),
		rawhttp.Lines("HEAD /large HTTP/1.1", "Host: h", "") + rawhttp.Lines("HEAD /short HTTP/1.1", "Host: h", "") + get("/b"), post("/unread", "abcdef") + post("/half", "abcdef") + post("/a", "abc") + get("/b"), post("/unreadclose", "abcdef") + get("/b"), post("/shut", "abcdef") + get("/b"),
		get("/a") + bodied("Content-Length: 5", "Transfer-Encoding: chunked") + get("/b"), get("/a") + bodied("Content-Length: 5", "Content-Length: 6") + get("/b"), get("/a") + header("X : y") + get("/b"), get("/a") + "junk\r\n\r\n" + get("/b"),
	}
	for _, coding := range []string{"chunked", "Chunked", " chunked", "chunked ", "\tchunked", "chunked,", "identity", "gzip", "gzip, chunked", "chunked, chunked", "chunked, identity", "\x0bchunked", "xchunked", "chun\u212aed", "", "chunked\x00", "'chunked'", "chunked;q=1"} {
		all = append(all, bodied("Transfer-Encoding:"+coding), bodied("Content-Length: 5", "Transfer-Encoding:"+coding), bodied("Transfer-Encoding:"+coding, "Content-Length: 5"), bodied("Content-Length: 5", "transfer-encoding :"+coding), bodied("Content-Length: 5", "Transfer_Encoding: "+coding))
	}
	all = append(all, bodied("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"), bodied("Transfer-Encoding: chunked", "Transfer-Encoding: identity"))
	for _, length := range []string{"+5", "-5", "-0", "05", "005", "0x5", "5e0", "5.0", "5 5", "5, 5", "5,5", "5,", ",5", " ", "", "x", "\t5", "5\t", "5\x0b", "\u0665", "4294967301", "9223372036854775807", "9223372036854775808", "18446744073709551621", strings.Repeat("9", 100), "65537", "5_0", "'5'"} {
		all = append(all, bodied("Content-Length: "+length), bodied("Content-Length: 5", "Content-Length: "+length), rawhttp.Lines("GET /a HTTP/1.1", "Host: h", "Content-Length: "+length, ""))
	}
	all = append(all, bodied("Content-Length: 5", "Content-Length: 5"), bodied("Content-Length: 5", "content-length: 6"), bodied("Content-Length: 0", "Content-Length: 5"), bodied("Content-Length: 5", " 6"), bodied("Content-Length:", " 5"), bodied("Content_Length: 3", "Content-Length: 5"), bodied("Content-Length : 5"))
	for _, bad := range []string{"\x00", "\x1f", "\x7f", "\x80", "\xff", "\t", "\r"} {
		for i := range 9 { // at each place of a word of eight bytes
			all = append(all, header("X: "+strings.Repeat("x", i)+bad+"xxxxxxxxxxxxxxxx"))
		}
	}
	return append(all, slices.Concat(edges(), unusualRows())...)
}

// edges returns requests that end near the sizes of buffers and limits.
func edges() []string {
	var all []string
	for _, end := range []int{4096, 8 << 10, 32 << 10, maxHeader, maxHeader + 4096} {
		for _, d := range []int{-2, -1, 0, 1, 2} {
			empty := header("X: ")
			all = append(all, header("X: "+strings.Repeat("x", end-len(empty)+d)), post("/a", strings.Repeat("b", end-len(post("/a", "1234"))+d)))
		}
	}
	return append(all, post("/a", fmt.Sprintf("%8000s", "x"))+post("/b", fmt.Sprintf("%300s", "y"))+header("X: "+strings.Repeat("x", 9000)))
}

func streams() []string { return slices.Concat(plainStreams(), unusualStreams()) }
