package client_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/testkit/rawhttp"
	"github.com/certgate/certgate/internal/testkit/upstream"
)

// TestBadResponses: each response violates one rule. The valid counterparts are in
// TestResponses.
func TestBadResponses(t *testing.T) {
	ok := "HTTP/1.1 200 OK\r\n"
	tests := []struct{ name, response, want string }{
		{"two equal lengths", ok + "Content-Length: 2\r\nContent-Length: 2\r\n\r\nhi", "found more"},
		{"two lengths", ok + "Content-Length: 2\r\nContent-Length: 3\r\n\r\nhi", "found more"},
		{"two lengths in one line", ok + "Content-Length: 2, 2\r\n\r\nhi", "a length in Content-Length"},
		{"a signed length", ok + "Content-Length: +2\r\n\r\nhi", "a length in Content-Length"},
		{"a negative length", ok + "Content-Length: -1\r\n\r\nhi", "a length in Content-Length"},
		{"a length in hex", ok + "Content-Length: 0x2\r\n\r\nhi", "a length in Content-Length"},
		{"no length", ok + "Content-Length:\r\n\r\nhi", "a length in Content-Length"},
		{"a length too large", ok + "Content-Length: 9223372036854775808\r\n\r\nhi", "a length in Content-Length"},
		{"length and coding", ok + "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", "found more"},
		{"coding and length", ok + "transfer-encoding: chunked\r\ncontent-length: 2\r\n\r\n2\r\nhi\r\n0\r\n\r\n", "found more"},
		{"coding twice", ok + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", "found more"},
		{"gzip", ok + "Transfer-Encoding: gzip\r\n\r\n", "Transfer-Encoding: chunked"},
		{"gzip and chunked", ok + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "Transfer-Encoding: chunked"},
		{"identity", ok + "Transfer-Encoding: identity\r\n\r\n", "Transfer-Encoding: chunked"},
		{"coding in HTTP/1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "in HTTP/1.1"},
		{"HTTP/2", "HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n", "a status line"},
		{"lower case", "http/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "a status line"},
		{"two digits", "HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n", "a status line"},
		{"four digits", "HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n", "a status line"},
		{"signed status", "HTTP/1.1 +20 OK\r\nContent-Length: 0\r\n\r\n", "a status line"},
		{"status 099", "HTTP/1.1 099 Less\r\nContent-Length: 0\r\n\r\n", "a status line"},
		{"two spaces", "HTTP/1.1  200 OK\r\nContent-Length: 0\r\n\r\n", "a status line"},
		{"no status", "HTTP/1.1\r\nContent-Length: 0\r\n\r\n", "a status line"},
		{"empty line first", "\r\n" + ok + "Content-Length: 0\r\n\r\n", "a status line"},
		{"NUL in the reason", "HTTP/1.1 200 O\x00K\r\nContent-Length: 0\r\n\r\n", "a status line"},
		{"not HTTP", "SSH-2.0-x\r\n\r\n", "a status line"},
		{"bare line feed", ok + "X-A: b\nContent-Length: 0\r\n\r\n", "bare line feed"},
		{"bare line feed in the status line", "HTTP/1.1 200 OK\nX-A: b\r\nContent-Length: 0\r\n\r\n", "bare line feed"},
		{"bare line feeds only", "HTTP/1.1 200 OK\nContent-Length: 0\n\n", "bare line feed"},
		{"bare carriage return", ok + "X-A: b\rContent-Length: 3\r\nContent-Length: 0\r\n\r\n", "control characters"},
		{"folded", ok + "X-A: b\r\n c\r\nContent-Length: 0\r\n\r\n", "NAME: VALUE"},
		{"folded first", ok + " X-A: b\r\nContent-Length: 0\r\n\r\n", "NAME: VALUE"},
		{"space before the colon", ok + "Content-Length : 0\r\n\r\n", "NAME: VALUE"},
		{"empty name", ok + ": b\r\nContent-Length: 0\r\n\r\n", "NAME: VALUE"},
		{"no colon", ok + "X-A\r\nContent-Length: 0\r\n\r\n", "NAME: VALUE"},
		{"name beyond ASCII", ok + "X-Ä: b\r\nContent-Length: 0\r\n\r\n", "NAME: VALUE"},
		{"NUL in a value", ok + "X-A: b\x00c\r\nContent-Length: 0\r\n\r\n", "control characters"},
		{"DEL in a value", ok + "X-A: b\x7fc\r\nContent-Length: 0\r\n\r\n", "control characters"},
		{"one byte too long", headerOf(maxHeader + 1), "a header of at most"},
		{"too long", ok + "X-A: " + strings.Repeat("a", maxHeader) + "\r\nContent-Length: 0\r\n\r\n", "a header of at most"},
		{"cut in the header", ok + "Content-Length: 0\r\n", "unexpected EOF"},
		{"cut before the header", "", "before the response"},
		{"1xx without end", strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 100), "found 1xx only"},
		{"1xx and the end", "HTTP/1.1 100 Continue\r\n\r\n", "EOF"},
		{"101", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", "found 101"},
		{"cut in the body", ok + "Content-Length: 3\r\n\r\nhi", "unexpected EOF"},
		{"cut before the body", ok + "Content-Length: 3\r\n\r\n", "unexpected EOF"},
		{"cut in a chunk", ok + "Transfer-Encoding: chunked\r\n\r\n3\r\nhi", "unexpected EOF"},
		{"cut after a chunk", ok + "Transfer-Encoding: chunked\r\n\r\n2\r\nhi", "unexpected EOF"},
		{"cut before the last chunk", ok + "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n", "unexpected EOF"},
		{"cut in the trailers", ok + "Transfer-Encoding: chunked\r\n\r\n0\r\n", "unexpected EOF"},
		{"chunk longer than its size", ok + "Transfer-Encoding: chunked\r\n\r\n2\r\nhii\r\n0\r\n\r\n", "the end of a chunk"},
		{"chunk ends in a line feed", ok + "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\n0\r\n\r\n", "bare line feed"},
		{"size ends in a line feed", ok + "Transfer-Encoding: chunked\r\n\r\n2\nhi\r\n0\r\n\r\n", "bare line feed"},
		{"size in 0x", ok + "Transfer-Encoding: chunked\r\n\r\n0x2\r\nhi\r\n0\r\n\r\n", "the size of a chunk"},
		{"signed size", ok + "Transfer-Encoding: chunked\r\n\r\n+2\r\nhi\r\n0\r\n\r\n", "the size of a chunk"},
		{"negative size", ok + "Transfer-Encoding: chunked\r\n\r\n-2\r\nhi\r\n0\r\n\r\n", "the size of a chunk"},
		{"empty size", ok + "Transfer-Encoding: chunked\r\n\r\n\r\nhi\r\n0\r\n\r\n", "the size of a chunk"},
		{"space before the size", ok + "Transfer-Encoding: chunked\r\n\r\n 2\r\nhi\r\n0\r\n\r\n", "the size of a chunk"},
		{"space before the extension", ok + "Transfer-Encoding: chunked\r\n\r\n2 ;a\r\nhi\r\n0\r\n\r\n", "the size of a chunk"},
		{"size too large", ok + "Transfer-Encoding: chunked\r\n\r\n10000000000000002\r\nhi\r\n0\r\n\r\n", "the size of a chunk"},
		{"size of many zeros", ok + "Transfer-Encoding: chunked\r\n\r\n0000000000000002\r\nhi\r\n0\r\n\r\n", "the size of a chunk"},
		{"carriage return in an extension", ok + "Transfer-Encoding: chunked\r\n\r\n2;a\rb\r\nhi\r\n0\r\n\r\n", "the size of a chunk"},
		{"trailer without a colon", ok + "Transfer-Encoding: chunked\r\n\r\n0\r\nX-A\r\n\r\n", "NAME: VALUE"},
		{"trailers without end", ok + "Transfer-Encoding: chunked\r\n\r\n0\r\n" + strings.Repeat("X-A: b\r\n", maxHeader), "trailers of at most"},
		{"a chunk's line without end", ok + "Transfer-Encoding: chunked\r\n\r\n2;" + strings.Repeat("a", 2*maxHeader), "at most"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			up := upstream.New(t, func(n int, c *rawhttp.Conn) {
				if n > 1 { // the next request gets a valid response
					_, _, _ = c.Request()
					c.Send(rawhttp.Empty)
					return
				}
				if _, _, err := c.Request(); err == nil {
					c.Send(tt.response)
				}
			})
			c := newClient(t, up.Addr)
			if _, body, err := exchange(t, c, http.MethodGet, ""); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("body %q, error %v: want %s", body, err, tt.want)
			}
			get(t, c, "")
			if n := up.Conns(); n != 2 {
				t.Errorf("%d connections, want another one for the next request", n)
			}
		})
	}
}

// headerOf returns a response without a body whose header has n bytes.
func headerOf(n int) string {
	const begin, end = "HTTP/1.1 200 OK\r\nX-A: ", "\r\nContent-Length: 0\r\n\r\n"
	return begin + strings.Repeat("a", n-len(begin)-len(end)) + end
}

// validResponses are valid responses, with their body and whether the connection can be used
// again.
var validResponses = []struct {
	name, method, response string
	status                 int
	body                   string
	again                  bool
}{
	{"length", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", 200, "hi", true},
	{"length with zeros", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 02\r\n\r\nhi", 200, "hi", true},
	{"length zero", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, "", true},
	{"no reason", "GET", "HTTP/1.1 299 \r\nContent-Length: 2\r\n\r\nhi", 299, "hi", true},
	{"the longest header", "GET", headerOf(maxHeader), 200, "", true},
	{"no space", "GET", "HTTP/1.1 299\r\nContent-Length: 2\r\n\r\nhi", 299, "hi", true},
	{"chunked", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n2\r\nhi\r\nA\r\n0123456789\r\n0\r\n\r\n", 200, "hi0123456789", true},
	{"chunked, extensions, trailers", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;a=\"b\" \r\nhi\r\n00 \r\nX-A: b\r\nX-C: d\r\n\r\n", 200, "hi", true},
	{"chunked and empty", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 200, "", true},
	{"head with a length", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", 200, "", true},
	{"head, chunked", "HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 200, "", true},
	{"head, no length", "HEAD", "HTTP/1.1 200 OK\r\n\r\n", 200, "", true},
	{"no content", "GET", "HTTP/1.1 204 No Content\r\n\r\n", 204, "", true},
	{"no content with a length", "GET", "HTTP/1.1 204 No Content\r\nContent-Length: 9\r\n\r\n", 204, "", false},
	{"no content with a length, head", "HEAD", "HTTP/1.1 204 No Content\r\nContent-Length: 9\r\n\r\n", 204, "", false},
	{"no content, chunked", "GET", "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", 204, "", false},
	{"no content of length zero", "GET", "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", 204, "", true},
	{"not modified", "GET", "HTTP/1.1 304 Not Modified\r\n\r\n", 304, "", true},
	{"not modified with a length", "GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", 304, "", false},
	{"not modified, chunked", "GET", "HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n", 304, "", false},
	{"hints before", "GET", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", 200, "hi", true},
	{"close", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive, Close\r\n\r\nhi", 200, "hi", false},
	{"HTTP/1.0", "GET", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", 200, "hi", false},
	{"HTTP/1.0 that would stay", "GET", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nhi", 200, "hi", false},
	{"surplus", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi" + poison, 200, "hi", false},
	{"surplus, chunked", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + poison, 200, "", false},
	{"surplus, head", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi" + poison, 200, "", false},
	{"surplus, no content", "GET", "HTTP/1.1 204 No Content\r\n\r\n" + poison, 204, "", false},
}

// poison follows a complete response and must never be read as a response.
const poison = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"

func TestResponses(t *testing.T) {
	for _, tt := range validResponses {
		t.Run(tt.name, func(t *testing.T) {
			up := upstream.Answering(t, func(r *http.Request, _ string) string {
				if r.Method == http.MethodPut {
					return rawhttp.Empty
				}
				return tt.response
			})
			c := newClient(t, up.Addr)
			res, body, err := exchange(t, c, tt.method, "")
			if err != nil || res.StatusCode != tt.status || body != tt.body {
				t.Fatalf("response %v %q, %v: want %d %q", res, body, err, tt.status, tt.body)
			}
			if _, body, err := exchange(t, c, http.MethodPut, "x"); err != nil || body != "" {
				t.Errorf("the next response is %q, %v: want its own", body, err)
			}
			if again := up.Conns() == 1; again != tt.again {
				t.Errorf("used again %t, want %t", again, tt.again)
			}
		})
	}
}

// TestSimilarResponses: each response on a connection is parsed on its own, also if it
// differs from the previous one in one byte only.
func TestSimilarResponses(t *testing.T) {
	head := func(length int, more string) string {
		return fmt.Sprintf("HTTP/1.1 200 OK\r\nX-More: %s\r\nContent-Length: %d\r\n\r\n", more, length)
	}
	responses := []string{head(1, "a") + "1", head(1, "a") + "2", head(2, "a") + "33", head(1, "a") + "4", head(1, "b") + "5", head(1, "") + "6"}
	up := upstream.New(t, func(_ int, c *rawhttp.Conn) {
		for _, response := range responses {
			if _, _, err := c.Request(); err != nil {
				return
			}
			c.Send(response)
		}
	})
	c := newClient(t, up.Addr)
	for i, response := range responses {
		head, want, _ := strings.Cut(response, "\r\n\r\n")
		res, body, err := exchange(t, c, http.MethodGet, "")
		if err != nil || body != want || !strings.Contains(head, "X-More: "+res.Header.Get("X-More")+"\r\n") {
			t.Errorf("response %d is %q, %v: want %q", i, body, err, want)
		}
	}
	if n := up.Conns(); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
}

func TestUntilClose(t *testing.T) {
	up := upstream.New(t, func(_ int, c *rawhttp.Conn) {
		_, _, _ = c.Request()
		c.Send("HTTP/1.1 200 OK\r\n\r\nhi" + poison)
	})
	c := newClient(t, up.Addr)
	get(t, c, "hi"+poison)
	get(t, c, "hi"+poison)
}

// TestSplitAtEveryByte: a response that arrives in two parts is read like one that arrives
// whole, wherever it is divided.
func TestSplitAtEveryByte(t *testing.T) {
	for _, tt := range validResponses {
		if !tt.again {
			continue
		}
		t.Run(tt.name, func(t *testing.T) {
			up := upstream.New(t, func(n int, c *rawhttp.Conn) {
				if n > 1 {
					t.Error("want all requests on one connection")
				}
				for split := 1; ; split++ {
					if _, _, err := c.Request(); err != nil {
						return
					}
					c.Send(tt.response[:split])
					c.Send(tt.response[split:])
				}
			})
			c := newClient(t, up.Addr)
			for split := 1; split < len(tt.response); split++ {
				res, body, err := exchange(t, c, tt.method, "")
				if err != nil || res.StatusCode != tt.status || body != tt.body {
					t.Fatalf("split at %d: response %v %q, %v: want %d %q", split, res, body, err, tt.status, tt.body)
				}
			}
		})
	}
}

// TestChunkInParts: the bytes of a chunk are returned before the chunk is complete, as an
// event stream needs.
func TestChunkInParts(t *testing.T) {
	more := make(chan struct{})
	up := upstream.New(t, func(_ int, c *rawhttp.Conn) {
		_, _, _ = c.Request()
		c.Send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi")
		<-more
		c.Send("\r\n0\r\n\r\n")
	})
	res, err := newClient(t, up.Addr).RoundTrip(request(t.Context(), http.MethodGet, ""))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	part := make([]byte, 2)
	if _, err := io.ReadFull(res.Body, part); err != nil || string(part) != "hi" {
		t.Fatalf("part %q, %v: want hi", part, err)
	}
	close(more)
	if rest, err := io.ReadAll(res.Body); err != nil || len(rest) > 0 {
		t.Errorf("rest %q, %v: want the end", rest, err)
	}
}

// TestLongHeader: a header that does not fit the buffer makes it grow, also after an
// informational response.
func TestLongHeader(t *testing.T) {
	up := upstream.New(t, func(_ int, c *rawhttp.Conn) {
		for {
			if _, _, err := c.Request(); err != nil {
				return
			}
			c.Send("HTTP/1.1 103 Early Hints\r\nX-A: " + strings.Repeat("a", 3<<10) + "\r\n\r\n")
			c.Send(fmt.Sprintf("HTTP/1.1 200 OK\r\nX-A: %s\r\nContent-Length: 2\r\n\r\nhi", strings.Repeat("b", 6<<10)))
		}
	})
	c := newClient(t, up.Addr)
	for range 3 {
		res, body, err := exchange(t, c, http.MethodGet, "")
		if err != nil || body != "hi" || res.Header.Get("X-A") != strings.Repeat("b", 6<<10) {
			t.Fatalf("response %v %q, %v", res, body, err)
		}
	}
}
