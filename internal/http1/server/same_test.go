//go:build linux

package server_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/http1/framing"
	"github.com/certgate/certgate/internal/http1/server"
	"github.com/certgate/certgate/internal/testkit/rawhttp"
)

// seen is a request as the handler received it.
type seen struct {
	Method, Target, Proto, Host string
	Major, Minor                int
	URL                         url.URL
	Header                      http.Header
	Length                      int64
	Coding                      []string
	Close                       bool
	Trailer                     http.Header // when the body has been read
	NoBody                      bool
	Body, BodyEnd               string
	Remote, Local, Other        string
	Ambiguous                   bool
}

// record returns a request before the handler reads the body.
func record(r *http.Request) seen {
	s := seen{
		Method: r.Method, Target: r.RequestURI, Proto: r.Proto, Host: r.Host, Major: r.ProtoMajor, Minor: r.ProtoMinor,
		URL: *r.URL, Header: r.Header.Clone(), Length: r.ContentLength, Coding: slices.Clone(r.TransferEncoding), Close: r.Close,
		NoBody: r.Body == http.NoBody, Remote: r.RemoteAddr, Ambiguous: framing.Begin(r),
	}
	s.Local = fmt.Sprintf("%T %[1]v", r.Context().Value(http.LocalAddrContextKey))
	s.Other = fmt.Sprint(r.Form, r.PostForm, r.MultipartForm, r.TLS, r.Cancel, r.Response, r.Pattern, r.GetBody == nil, //nolint:staticcheck // Cancel is deprecated, and must be nil
		r.Context().Value(http.ServerContextKey) != nil)
	return s
}

// read reads up to n bytes of the body, all of it if n is negative.
func (s *seen) read(r *http.Request, n int64) {
	source := io.Reader(r.Body)
	if n >= 0 {
		source = io.LimitReader(r.Body, n)
	}
	body, err := io.ReadAll(source)
	s.Body, s.BodyEnd, s.Trailer = string(body), kind(err), r.Trailer.Clone()
}

// kind returns the text of an error without addresses.
func kind(err error) string {
	var timeout net.Error
	switch {
	case err == nil:
		return ""
	case errors.As(err, &timeout):
		return fmt.Sprintf("net.Error timeout=%v", timeout.Timeout())
	default:
		return err.Error()
	}
}

// pattern returns a body whose parts all differ.
func pattern(n int) []byte {
	var b bytes.Buffer
	for b.Len() < n {
		fmt.Fprintf(&b, "%d,", b.Len())
	}
	return b.Bytes()[:n]
}

// side is one of the two servers that are compared, and the requests that it received.
type side struct {
	conns chan net.Conn
	done  chan struct{}
	close sync.Once

	mu   sync.Mutex
	seen []seen
	fast int // how many of them the fast path served
}

func newSide() *side { return &side{conns: make(chan net.Conn), done: make(chan struct{})} }

func (s *side) Accept() (net.Conn, error) {
	select {
	case c := <-s.conns:
		return c, nil
	case <-s.done:
		return nil, net.ErrClosed
	}
}

func (s *side) Close() error {
	s.close.Do(func() { close(s.done) })
	return nil
}

func (*side) Addr() net.Addr { return &net.UnixAddr{Net: "unix"} }

func (s *side) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m := record(r)
	path := r.URL.Path
	switch {
	case path == "/half":
		m.read(r, r.ContentLength/2)
	case !unreading[path]:
		m.read(r, -1)
	}
	s.mu.Lock()
	s.seen = append(s.seen, m)
	if onFastPath(w) {
		s.fast++
	}
	s.mu.Unlock()
	if m.Ambiguous { // as the gateway does
		w.Header().Set("Connection", "close")
	}
	if behaviour, ok := behaviours[path]; ok {
		behaviour(w, r)
		return
	}
	if fast, ok := w.(fastWriter); ok {
		fast.ReuseRequest()
	}
	w.Header().Set("Content-Type", "text/plain")
	fmt.Fprintf(w, "%s %s %d %s", r.Method, r.RequestURI, len(m.Body), m.BodyEnd)
}

// pair is a server with the fast path and one without.
type pair struct{ with, without *side }

// maxHeader is the limit of the compared servers. It lets a buffer grow twice.
const maxHeader = 40 << 10

func newPair(tb testing.TB) *pair {
	tb.Helper()
	p := &pair{newSide(), newSide()}
	watch := framing.Options{Refuse: refuse, WriteTimeout: rawhttp.Timeout}
	plain := newHTTP(p.without, options{maxHeader: maxHeader}, io.Discard)
	addr := server.New(newHTTP(p.with, options{maxHeader: maxHeader}, io.Discard), rawhttp.Timeout)
	var ended sync.WaitGroup
	ended.Go(func() { _ = plain.Serve(framing.NewListener(p.without, watch)) })
	ended.Go(func() { _ = addr.Serve(framing.NewListener(p.with, watch)) })
	tb.Cleanup(func() {
		_, _ = p.with.Close(), p.without.Close()
		_, _ = plain.Close(), addr.Close()
		ended.Wait()
	})
	return p
}

// received is a response as the client reads it.
type received struct {
	Status        int
	Header        http.Header
	Length        int64
	Coding        []string
	Body, BodyEnd string
	Close         bool
	Date          bool
}

// outcome is everything that can be observed of a connection.
type outcome struct {
	Seen      []seen
	Responses []received
	Rest      string // bytes that are not a response
	fast      int
}

// send sends a stream in the given parts and reads to the end.
func (s *side) send(tb testing.TB, parts [][]byte) outcome {
	tb.Helper()
	s.mu.Lock()
	s.seen, s.fast = nil, 0
	s.mu.Unlock()
	served, client := sockets(tb)
	defer client.Close()
	s.conns <- served
	var sent sync.WaitGroup
	sent.Go(func() { sendParts(client, served, parts) })
	raw, err := io.ReadAll(client)
	served.end()
	_ = client.SetWriteDeadline(time.Now()) // net/http keeps the connection for 500 ms, but reads no more
	sent.Wait()
	if err != nil && !errors.Is(err, syscall.ECONNRESET) {
		tb.Fatalf("want the end of the connection, found %v", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	o := outcome{Seen: s.seen, fast: s.fast}
	o.Responses, o.Rest = parseResponses(raw, s.seen)
	return o
}

// parseResponses parses the responses. A 100 Continue counts as one.
func parseResponses(raw []byte, expectedRequest []seen) (all []received, rest string) {
	source := bytes.NewReader(raw)
	r := bufio.NewReader(source)
	for i := 0; ; {
		at := source.Len() + r.Buffered()
		if at == 0 {
			return all, ""
		}
		method := http.MethodGet
		if i < len(expectedRequest) {
			method = expectedRequest[i].Method
		}
		res, err := http.ReadResponse(r, &http.Request{Method: method})
		if err != nil {
			return all, string(raw[len(raw)-at:])
		}
		body, err := io.ReadAll(res.Body)
		dated := len(res.Header["Date"]) == 1
		res.Header.Del("Date")
		all = append(all, received{res.StatusCode, res.Header, res.ContentLength, res.TransferEncoding, string(body), kind(err), res.Close, dated})
		if res.StatusCode >= 200 {
			i++
		}
	}
}

// check compares the two servers and returns the number of requests on the fast path.
func (p *pair) check(tb testing.TB, parts [][]byte) (fast int) {
	tb.Helper()
	with, without := p.with.send(tb, parts), p.without.send(tb, parts)
	ignoreDifferences(&with, &without)
	fast, with.fast = with.fast, 0
	if reflect.DeepEqual(with, without) {
		return fast
	}
	tb.Errorf("%q:\nfast path %#v\nnet/http  %#v", parts, with, without)
	return fast
}

// segments cuts a stream. Each cut gives the size of a part; the last part is the rest.
func segments(stream, cuts []byte) [][]byte {
	var parts [][]byte
	for _, c := range cuts {
		n := 1 + int(c)
		if c >= 128 {
			n = (int(c) - 127) * 64
		}
		if n >= len(stream) {
			break
		}
		parts = append(parts, stream[:n])
		stream = stream[n:]
	}
	return append(parts, stream)
}

// padded adds a field of n bytes to the first header, to move its parts to the ends of
// buffers.
func padded(stream string, n uint16) string {
	line, rest, ok := strings.Cut(stream, "\r\n")
	if n == 0 || !ok {
		return stream
	}
	return line + "\r\nX-Pad: " + strings.Repeat("p", int(n)) + "\r\n" + rest
}

// repeated returns the stream and, for each two bytes of edits, the stream again with the
// second byte at the index that the first one gives. A second byte of 0 removes a byte.
func repeated(stream string, edits []byte) string {
	all := stream
	for edit := range slices.Chunk(edits, 2) {
		at := int(edit[0])
		switch {
		case len(edit) == 1 || at >= len(stream):
			all += stream
		case edit[1] == 0:
			all += stream[:at] + stream[at+1:]
		default:
			all += stream[:at] + string(edit[1:]) + stream[at+1:]
		}
	}
	return all
}

// FuzzSame: whatever a client sends, in whatever parts, a server with the fast path gives the
// handler the same requests as one without, and the client the same responses.
func FuzzSame(f *testing.F) {
	for _, s := range streams() {
		f.Add([]byte(s), []byte{3, 40, 0, 9}, uint16(0), true, []byte{})
		if !testing.Short() { // TestSame sends the whole stream, and the edited seed repeats it too
			f.Add([]byte(s), []byte{}, uint16(0), true, []byte{})
			f.Add([]byte(s), []byte{}, uint16(0), true, []byte{0})
		}
		f.Add([]byte(s), []byte{}, uint16(0), true, []byte{5, 'b', 34, 'y', 34, 0, 200})
	}
	for _, n := range []uint16{8<<10 - 60, 8 << 10, 32 << 10, maxHeader - 50, maxHeader + 50} {
		f.Add([]byte(get("/a")+post("/b", "body")), []byte{255, 255}, n, true, []byte{})
	}
	p := newPair(f)
	f.Fuzz(func(t *testing.T, stream, cuts []byte, pad uint16, probe bool, edits []byte) {
		if len(stream) > 32<<10 || len(cuts) > 200 || len(edits) > 10 {
			t.Skip("too long")
		}
		text := repeated(padded(string(stream), pad), edits)
		if probe {
			text += get("/probe")
		}
		p.check(t, segments([]byte(text), cuts))
	})
}
