package framing_test

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/http1/framing"
	"github.com/certgate/certgate/internal/testkit/rawhttp"
)

// probe is a request that follows every request of the table. The handler must receive it if
// and only if the connection is still usable.
const probe = "GET /probe HTTP/1.1\r\nHost: h\r\n\r\n"

type streamCase struct {
	name   string
	stream string
	want   []string // method target "body", with ! for ambiguous, ~ for a broken body
}

var (
	// Lengths with one interpretation.
	clearCases = []streamCase{
		{"no body", rawhttp.Lines("GET /a HTTP/1.1", "Host: h", ""), []string{`GET /a ""`, `GET /probe ""`}},
		{"length", rawhttp.Lines("POST /a HTTP/1.1", "Host: h", "Content-Length: 5", "") + "12345", []string{`POST /a "12345"`, `GET /probe ""`}},
		{"length zero", rawhttp.Lines("POST /a HTTP/1.1", "Host: h", "Content-Length: 0", ""), []string{`POST /a ""`, `GET /probe ""`}},
		{"length, other case and blanks", rawhttp.Lines("POST /a HTTP/1.1", "Host: h", "cOnTeNt-LeNgTh:\t 5 \t", "") + "12345", []string{`POST /a "12345"`, `GET /probe ""`}},
		{"a body like a request", rawhttp.Lines("POST /a HTTP/1.1", "Host: h", "Content-Length: 62", "") +
			rawhttp.Lines("POST /b HTTP/1.1", "Content-Length: 1", "Transfer-Encoding: x", "") + "1", []string{`POST /a "POST /b HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: x\r\n\r\n1"`, `GET /probe ""`}},
		{"chunked", rawhttp.Lines("POST /a HTTP/1.1", "Host: h", "Transfer-Encoding: chunked", "", "5", "12345", "a;x=y", "0123456789", "0", ""), []string{`POST /a "123450123456789"`, `GET /probe ""`}},
		{"chunked, other case", rawhttp.Lines("POST /a HTTP/1.1", "Host: h", "TRANSFER-ENCODING: CHUNKED", "", "000000000000005", "12345", "0", ""), []string{`POST /a "12345"`, `GET /probe ""`}},
		{"chunked with a trailer", rawhttp.Lines("POST /a HTTP/1.1", "Host: h", "Trailer: x", "Transfer-Encoding: chunked", "", "1", "x", "0", "x: y", "Content-Length: 9", ""), []string{`POST /a "x"`, `GET /probe ""`}},
		{"a chunk like a request", rawhttp.Lines("POST /a HTTP/1.1", "Host: h", "Transfer-Encoding: chunked", "", "14", "GET /b HTTP/1.1\r\n\r\n0", "0", ""), []string{`POST /a "GET /b HTTP/1.1\r\n\r\n0"`, `GET /probe ""`}},
		{"length then chunked", rawhttp.Lines("POST /a HTTP/1.1", "Host: h", "Content-Length: 3", "") + "abc" + rawhttp.Lines("POST /b HTTP/1.1", "Host: h", "Transfer-Encoding: chunked", "", "1", "x", "0", ""), []string{`POST /a "abc"`, `POST /b "x"`, `GET /probe ""`}},
		{"chunked then length", rawhttp.Lines("POST /b HTTP/1.1", "Host: h", "Transfer-Encoding: chunked", "", "1", "x", "0", "", "POST /a HTTP/1.1", "Host: h", "Content-Length: 3", "") + "abc", []string{`POST /b "x"`, `POST /a "abc"`, `GET /probe ""`}},
		{"bare line feeds in the header", "POST /a HTTP/1.1\nHost: h\nContent-Length: 3\n\nabc", []string{`POST /a "abc"`, `GET /probe ""`}},
		{"empty line after a POST", rawhttp.Lines("POST /a HTTP/1.1", "Host: h", "Content-Length: 3", "") + "abc\r\n", []string{`POST /a "abc"`, `GET /probe ""`}},
		{"the names in other fields", rawhttp.Lines("GET /content-length:5?transfer-encoding: HTTP/1.1", "Host: h", "X-Content-Length: 4", "X: Transfer-Encoding: chunked", ""), []string{`GET /content-length:5?transfer-encoding: ""`, `GET /probe ""`}},
		{"a long line that contains the names", rawhttp.Lines("GET /a HTTP/1.1", "Host: h", "X: "+strings.Repeat("Content-Length: 5 Transfer-Encoding: chunked ", 400), ""), []string{`GET /a ""`, `GET /probe ""`}},
		{"a folded line that contains the names", rawhttp.Lines("GET /a HTTP/1.1", "Host: h", "X: y", " Content-Length: 5", "\tTransfer-Encoding: chunked", ""), []string{`GET /a ""`, `GET /probe ""`}},
		{"HTTP/1.0 with a length", rawhttp.Lines("POST /a HTTP/1.0", "Connection: keep-alive", "Content-Length: 3", "") + "abc", []string{`POST /a "abc"`, `GET /probe ""`}},
	}

	// Lengths with two interpretations that net/http accepts. The handler must receive no
	// later request.
	ambiguousCases = []streamCase{
		{"length and coding", rawhttp.Lines("POST /a HTTP/1.1", "Host: h", "Content-Length: 5", "Transfer-Encoding: chunked", "", "0", ""), []string{`POST /a ""!~`}},
		{"coding and length", rawhttp.Lines("POST /a HTTP/1.1", "Host: h", "Transfer-Encoding: chunked", "Content-Length: 5", "", "0", ""), []string{`POST /a ""!~`}},
		{"length zero and coding", rawhttp.Lines("GET /a HTTP/1.1", "Host: h", "Content-Length: 0", "Transfer-Encoding: chunked", "", "0", ""), []string{`GET /a ""!~`}},
		{"the same length twice", rawhttp.Lines("POST /a HTTP/1.1", "Host: h", "Content-Length: 5", "Content-Length: 5", "") + "12345", []string{`POST /a ""!~`}},
		{"length and coding, bare line feeds", "POST /a HTTP/1.1\nHost: h\ncontent-length: 5\ntransfer-encoding: chunked\n\n0\r\n\r\n", []string{`POST /a ""!~`}},
		{"length in a folded line", rawhttp.Lines("POST /a HTTP/1.1", "Host: h", "Content-Length:", " 5", "") + "12345", []string{`POST /a ""!~`}},
		{"coding in a folded line", rawhttp.Lines("POST /a HTTP/1.1", "Host: h", "Transfer-Encoding:", "\tchunked", "", "0", ""), []string{`POST /a ""!~`}},
		{"length in a long line", rawhttp.Lines("POST /a HTTP/1.1", "Host: h", "Content-Length:"+strings.Repeat(" ", 200)+"5", "") + "12345", []string{`POST /a ""!~`}},
		{"length after many zeros", rawhttp.Lines("POST /a HTTP/1.1", "Host: h", "Content-Length: "+strings.Repeat("0", 200)+"5", "") + "12345", []string{`POST /a ""!~`}},
		{"coding in a long line", rawhttp.Lines("POST /a HTTP/1.1", "Host: h", "Transfer-Encoding: chunked"+strings.Repeat(" ", 200), "", "0", ""), []string{`POST /a ""!~`}},
		{"coding in HTTP/1.0", rawhttp.Lines("POST /a HTTP/1.0", "Connection: keep-alive", "Transfer-Encoding: chunked", "", "0", ""), []string{`POST /a ""!`}},
		{"after a valid request", rawhttp.Lines("POST /a HTTP/1.1", "Host: h", "Content-Length: 3", "") + "abc" +
			rawhttp.Lines("POST /b HTTP/1.1", "Host: h", "Content-Length: 5", "Transfer-Encoding: chunked", "", "0", ""), []string{`POST /a "abc"`, `POST /b ""!~`}},
		// net/http searches for CRLF CRLF before it reads a trailer. If the trailer ends in
		// LF CRLF, that search reads the next request, too.
		{"hidden by a trailer that ends early", rawhttp.Lines("POST /a HTTP/1.1", "Host: h", "Transfer-Encoding: chunked", "", "0") + "x: y\n\r\n" +
			"POST /b HTTP/1.0\nConnection: keep-alive\nTransfer-Encoding: chunked\n\n0\r\nx: y\n\r\n", []string{`POST /a ""~`}},
	}

	// Malformed bodies: the handler gets an error when it reads the body, and no later
	// request.
	brokenCases = []streamCase{
		{"chunk size without digits", chunked("\r\nx"), []string{`POST /a ""~`}},
		{"chunk size with a sign", chunked("+1\r\nx\r\n0\r\n\r\n"), []string{`POST /a ""~`}},
		{"chunk size with a prefix", chunked("0x1\r\nx\r\n0\r\n\r\n"), []string{`POST /a ""~`}},
		{"chunk size with an underscore", chunked("1_0\r\n0123456789012345\r\n0\r\n\r\n"), []string{`POST /a ""~`}},
		{"chunk size of 60 bits", chunked("1000000000000000\r\nx"), []string{`POST /a ""~`}},
		{"chunk size that overflows", chunked("10000000000000001\r\nx\r\n0\r\n\r\n"), []string{`POST /a ""~`}},
		{"chunk size with a bare line feed", chunked("1\nx\r\n0\r\n\r\n"), []string{`POST /a ""~`}},
		{"chunk size with a carriage return inside", chunked("1\r;\r\nx\r\n0\r\n\r\n"), []string{`POST /a ""~`}},
		{"long chunk extension", chunked("1;" + strings.Repeat("x", 200) + "\r\nx\r\n0\r\n\r\n"), []string{`POST /a ""~`}},
		{"long chunk extension with a carriage return at the end of what is kept", chunked("1;" + strings.Repeat("x", 125) + "\rx\r\nx\r\n0\r\n\r\n"), []string{`POST /a ""~`}},
		{"chunk size of 16 digits", chunked("0000000000000001\r\nx\r\n0\r\n\r\n"), []string{`POST /a ""~`}},
		{"chunk followed by a bare line feed", chunked("1\r\nx\n0\r\n\r\n"), []string{`POST /a "x"~`}},
		{"chunk that is longer than its size", chunked("1\r\nxy\r\n0\r\n\r\n"), []string{`POST /a "x"~`}},
		{"last chunk with a bare line feed", chunked("0\n\r\n"), []string{`POST /a ""~`}},
		{"end with a bare line feed", chunked("0\r\n\n"), []string{`POST /a ""~`}},
		{"trailer with a bare line feed", chunked("0\r\nx: y\n\r\n"), []string{`POST /a ""~`}},
	}

	// What net/http itself refuses before a handler sees it.
	refusedCases = []streamCase{
		{"two lengths", rawhttp.Lines("POST /a HTTP/1.1", "Host: h", "Content-Length: 5", "Content-Length: 6", "") + "123456", nil},
		{"length with a blank before the colon", rawhttp.Lines("POST /a HTTP/1.1", "Host: h", "Content-Length : 5", "") + "12345", nil},
		{"coding with a blank before the colon", rawhttp.Lines("POST /a HTTP/1.1", "Host: h", "Transfer-Encoding : chunked", "", "0", ""), nil},
		{"coding twice", rawhttp.Lines("POST /a HTTP/1.1", "Host: h", "Transfer-Encoding: chunked", "Transfer-Encoding: chunked", "", "0", ""), nil},
		{"gzip", rawhttp.Lines("POST /a HTTP/1.1", "Host: h", "Transfer-Encoding: gzip", "", "0", ""), nil},
		{"identity", rawhttp.Lines("POST /a HTTP/1.1", "Host: h", "Transfer-Encoding: identity", ""), nil},
		{"chunked, chunked", rawhttp.Lines("POST /a HTTP/1.1", "Host: h", "Transfer-Encoding: chunked, chunked", "", "0", ""), nil},
		{"gzip, chunked", rawhttp.Lines("POST /a HTTP/1.1", "Host: h", "Transfer-Encoding: gzip, chunked", "", "0", ""), nil},
		{"xchunked", rawhttp.Lines("POST /a HTTP/1.1", "Host: h", "Transfer-Encoding: xchunked", "", "0", ""), nil},
		{"chunked with the Kelvin sign", rawhttp.Lines("POST /a HTTP/1.1", "Host: h", "Transfer-Encoding: chun\u212aed", "", "0", ""), nil},
		{"an empty coding", rawhttp.Lines("POST /a HTTP/1.1", "Host: h", "Transfer-Encoding:", "", "0", ""), nil},
		{"an empty length", rawhttp.Lines("POST /a HTTP/1.1", "Host: h", "Content-Length:", ""), nil},
		{"a length with a sign", rawhttp.Lines("POST /a HTTP/1.1", "Host: h", "Content-Length: +5", "") + "12345", nil},
		{"a list of lengths", rawhttp.Lines("POST /a HTTP/1.1", "Host: h", "Content-Length: 5, 5", "") + "12345", nil},
		{"a length in hex", rawhttp.Lines("POST /a HTTP/1.1", "Host: h", "Content-Length: 0x5", "") + "12345", nil},
		{"a length of 64 bits", rawhttp.Lines("POST /a HTTP/1.1", "Host: h", "Content-Length: 18446744073709551616", "") + "12345", nil},
		{"a length in two folded lines", rawhttp.Lines("POST /a HTTP/1.1", "Host: h", "Content-Length: 5", " 6", "") + "12345", nil},
		{"coding with a vertical tab", rawhttp.Lines("POST /a HTTP/1.1", "Host: h", "Transfer-Encoding: \vchunked", "", "0", ""), nil},
		{"a field that begins with a carriage return", rawhttp.Lines("POST /a HTTP/1.1", "Host: h", "\rTransfer-Encoding: chunked", "", "0", ""), nil},
	}
)

func chunked(body string) string {
	return rawhttp.Lines("POST /a HTTP/1.1", "Host: h", "Transfer-Encoding: chunked", "") + body
}

func TestStreams(t *testing.T) {
	for _, group := range [][]streamCase{clearCases, ambiguousCases, brokenCases, refusedCases} {
		for _, tt := range group {
			t.Run(tt.name, func(t *testing.T) {
				stream := []byte(tt.stream + probe)
				whole := requests([][]byte{stream}, true)
				want := show(whole)
				if !slices.Equal(want, tt.want) {
					t.Errorf("requests %q, want %q", want, tt.want)
				}
				if have := show(requests(inPieces(stream, 1), true)); !slices.Equal(have, want) {
					t.Errorf("byte by byte %q, want %q", have, want)
				}
				for i := range min(len(stream), 600) {
					parts := [][]byte{stream[:i], stream[i:]}
					if have := show(requests(parts, true)); !slices.Equal(have, want) {
						t.Fatalf("split at %d: %q, want %q", i, have, want)
					}
				}
			})
		}
	}
}

// TestNothingAfterABrokenBody: a Conn returns no bytes after a malformed body, also if
// net/http kept reading.
func TestNothingAfterABrokenBody(t *testing.T) {
	for _, tt := range brokenCases {
		t.Run(tt.name, func(t *testing.T) {
			have := readAll(t, tt.stream+probe, 512)
			if !strings.HasPrefix(tt.stream+probe, have) || strings.Contains(have, "probe") {
				t.Errorf("read %q of %q", have, tt.stream+probe)
			}
		})
	}
}

func TestReadChangesNothing(t *testing.T) {
	var stream string
	for _, path := range []string{"/", "/bb", "/ccc", "/dddd"} {
		stream += rawhttp.Lines("POST "+path+" HTTP/1.1", "Content-Length: 2", "") + path[:1] + "\n"
	}
	for size := 1; size < len(stream); size++ {
		if have := readAll(t, stream, size); have != stream {
			t.Fatalf("read by %d bytes: %q, want %q", size, have, stream)
		}
	}
}

// readAll reads a stream that arrives at once, a few bytes at a time.
func readAll(t *testing.T, stream string, size int) string {
	t.Helper()
	conn, err := framing.NewListener(newOnce(&peer{parts: [][]byte{[]byte(stream)}}), framing.Options{}).Accept()
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for buf := make([]byte, size); ; {
		n, err := conn.Read(buf)
		all.Write(buf[:n])
		if errors.Is(err, io.EOF) || err != nil && err.Error() == "malformed chunked encoding" {
			return all.String()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// show formats requests like the tables.
func show(all []seen) []string {
	var out []string
	for _, s := range all {
		text := s.method + " " + s.target + " " + quote(s.body)
		if s.ambiguous {
			text += "!"
		}
		if s.broken {
			text += "~"
		}
		out = append(out, text)
	}
	return out
}

func quote(s string) string {
	return `"` + strings.NewReplacer("\r", `\r`, "\n", `\n`).Replace(s) + `"`
}

// TestByteOfTheNextRequest: the byte that net/http reads ahead while a handler runs has no
// effect on the handler's request.
func TestByteOfTheNextRequest(t *testing.T) {
	first := rawhttp.Lines("POST /a HTTP/1.1", "Host: h", "Content-Length: 3", "") + "abc"
	next := rawhttp.Lines("POST /b HTTP/1.1", "Host: h", "Content-Length: 1", "Transfer-Encoding: chunked", "", "0", "")
	reads := make(chan struct{}, len(first)+len(next))
	var have []bool
	handler := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if len(have) == 0 {
			_, _ = io.ReadAll(r.Body)
			<-reads // the first request
			<-reads // the byte ahead
		}
		have = append(have, framing.Begin(r))
	})
	serve(&peer{
		parts:  [][]byte{[]byte(first), []byte(next)},
		onRead: func() { reads <- struct{}{} },
	}, true, handler)
	if want := []bool{false, true}; !slices.Equal(have, want) {
		t.Errorf("ambiguous %t, want %t", have, want)
	}
}

func TestWithoutListener(t *testing.T) {
	r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
	if !framing.Begin(r) {
		t.Error("want a request ambiguous that did not arrive through a Listener")
	}
	server, client := net.Pipe()
	defer server.Close()
	defer client.Close()
	if !framing.Begin(r.WithContext(framing.Context(r.Context(), server))) {
		t.Error("want a request ambiguous that arrived on another connection")
	}
}

func TestExpectContinue(t *testing.T) {
	server, client := net.Pipe()
	defer client.Close()
	handled := make(chan seen, 1)
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		serve(server, true, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			handled <- seen{method: r.Method, target: r.RequestURI, body: string(body), broken: err != nil, ambiguous: framing.Begin(r)}
		}))
	}()
	send(t, client, rawhttp.Lines("POST /a HTTP/1.1", "Host: h", "Connection: close", "Expect: 100-continue", "Content-Length: 3", ""))
	want := "HTTP/1.1 100 Continue\r\n\r\n"
	have := make([]byte, len(want))
	if _, err := io.ReadFull(client, have); err != nil || string(have) != want {
		t.Fatalf("answer %q, %v: want %q", have, err, want)
	}
	send(t, client, "abc")
	if _, err := io.Copy(io.Discard, client); err != nil {
		t.Error(err)
	}
	<-finished
	if have, want := show([]seen{<-handled}), []string{`POST /a "abc"`}; !slices.Equal(have, want) {
		t.Errorf("request %q, want %q", have, want)
	}
}

func send(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
}

// finalError is a connection that returns its error together with its last bytes, as io.Reader
// allows.
type finalError struct {
	peer
	err error
}

func (l *finalError) Read(b []byte) (int, error) {
	n, err := l.peer.Read(b)
	if err == nil && (len(l.parts) == 0 || len(l.parts[0]) == 0) {
		err = l.err
	}
	return n, err
}

func TestErrorWithTheLastBytes(t *testing.T) {
	two := probe + probe + probe
	source := &finalError{peer{parts: [][]byte{[]byte(two)}}, io.ErrClosedPipe}
	conn, err := framing.NewListener(newOnce(source), framing.Options{}).Accept()
	if err != nil {
		t.Fatal(err)
	}
	have, err := io.ReadAll(conn)
	if string(have) != two || !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("read %q, %v: want all of it and then the connection's error", have, err)
	}
}

// TestCloseWrite: a client that still sends can read the refusal, because net/http closes the
// writing side first if the connection supports it.
func TestCloseWrite(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := framing.NewListener(inner, framing.Options{})
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	half, ok := server.(interface{ CloseWrite() error })
	if !ok {
		t.Fatal("want a connection that can close its writing side")
	}
	if err := half.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("client reads %v, want the end", err)
	}
	send(t, client, "x")
	if n, err := server.Read(make([]byte, 1)); n != 1 {
		t.Errorf("server reads %d bytes, %v: want one", n, err)
	}
}

func TestCloseWriteUnsupported(t *testing.T) {
	conn, err := framing.NewListener(newOnce(&peer{}), framing.Options{}).Accept()
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.(*framing.Conn).CloseWrite(); err == nil {
		t.Error("want an error, found none: nothing was closed")
	}
}
