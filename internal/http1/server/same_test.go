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
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/google/go-cmp/cmp"

	"github.com/certgate/certgate/internal/http1/framing"
	"github.com/certgate/certgate/internal/http1/server"
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

// met records a request before the handler reads the body.
func met(r *http.Request) seen {
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

// behaviours are what the handlers do, by the path of the target. All except those in
// unreading run after the body has been read.
var behaviours = map[string]func(w http.ResponseWriter, r *http.Request){
	"/nothing": func(http.ResponseWriter, *http.Request) {},
	"/length": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "5")
		fmt.Fprint(w, "he")
		fmt.Fprint(w, "llo")
	},
	"/lengthzero": func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Length", "0") },
	"/short": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "10")
		fmt.Fprint(w, "abc")
	},
	"/empty": func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Length", "10") },
	"/long": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "4")
		fmt.Fprint(w, "abc")
		_, err := fmt.Fprint(w, "defg")
		if !errors.Is(err, http.ErrContentLength) {
			panic(fmt.Sprintf("want ErrContentLength, found %v", err))
		}
	},
	"/over": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "3")
		fmt.Fprint(w, "abc")
		_, err := fmt.Fprint(w, "d")
		if !errors.Is(err, http.ErrContentLength) {
			panic(fmt.Sprintf("want ErrContentLength, found %v", err))
		}
	},
	"/large": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(pattern(20_000)) },
	"/largelength": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "20000")
		pieces(w, 20_000, 7000)
	},
	"/2048":       func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(pattern(2048)) },
	"/2049":       func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(pattern(2049)) },
	"/pieces":     func(w http.ResponseWriter, _ *http.Request) { pieces(w, 10_000, 999) },
	"/flush":      func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ab"); flush(w); fmt.Fprint(w, "cd") },
	"/flushfirst": func(w http.ResponseWriter, _ *http.Request) { flush(w); fmt.Fprint(w, "abcd") },
	"/flushonly":  func(w http.ResponseWriter, _ *http.Request) { flush(w) },
	"/flushlength": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "4")
		flush(w)
		fmt.Fprint(w, "abcd")
	},
	"/html": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<"); fmt.Fprint(w, "html>") },
	"/htmlbig": func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "<")
		fmt.Fprint(w, "html>"+string(pattern(5000)))
	},
	"/htmllength": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "6")
		fmt.Fprint(w, "<")
		fmt.Fprint(w, "html>")
	},
	"/202": func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusAccepted)
		w.WriteHeader(http.StatusInternalServerError)
	},
	"/204": func(w http.ResponseWriter, _ *http.Request) { noBody(w, 204) },
	"/304": func(w http.ResponseWriter, _ *http.Request) { noBody(w, 304) },
	"/304fields": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "77")
		w.Header().Set("Content-Type", "text/html")
		w.Header().Set("ETag", `"x"`)
		noBody(w, 304)
	},
	"/204fields": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "77")
		w.Header().Set("Content-Type", "text/html")
		noBody(w, 204)
	},
	"/205": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusResetContent) },
	"/404": func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusNotFound) },
	"/599": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(599); fmt.Fprint(w, "odd") },
	"/close": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "close")
		fmt.Fprint(w, "end")
	},
	"/notype": func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Content-Type"] = nil
		fmt.Fprint(w, "<html>")
	},
	"/nodate": func(w http.ResponseWriter, _ *http.Request) { w.Header()["Date"] = nil; fmt.Fprint(w, "x") },
	"/type": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "a/b")
		fmt.Fprint(w, "<html>")
	},
	"/encoded": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "br")
		fmt.Fprint(w, "<html>")
	},
	"/late": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Early", "1")
		w.WriteHeader(http.StatusOK)
		w.Header().Set("X-Late", "1")
		w.Header().Set("X-Early", "2")
		fmt.Fprint(w, "x")
	},
	"/values": func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		h["X-Two"] = []string{"b", "a"}
		h["x-lower"] = []string{"c"}
		h["X-Split"] = []string{"a\r\nX-Evil: 1", "b\nc", "d\re", "\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", "", "  f\t "}
		h["X-Evil\r\nX-Evil2: 3"] = []string{"x"}
		h["X Evil"] = []string{"x"}
		h["X(Evil)"] = []string{"x"}
		h["X\x80vil"] = []string{"x"}
		h[""] = []string{"x"}
		h["X-None"] = nil
		fmt.Fprint(w, "values")
	},
	"/abort": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	"/panic": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "secret"); panic("on purpose") },
	"/abortpart": func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "ab")
		flush(w)
		fmt.Fprint(w, "cd")
		panic(http.ErrAbortHandler)
	},
	"/abortlarge": func(w http.ResponseWriter, _ *http.Request) { pieces(w, 30_000, 3000); panic(http.ErrAbortHandler) },
	"/abortlength": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "10")
		fmt.Fprint(w, "abc")
		panic(http.ErrAbortHandler)
	},
	"/unread": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "unread") },
	"/unreadclose": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "close")
		fmt.Fprint(w, "unread")
	},
	"/half": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "half") },
	"/shut": func(w http.ResponseWriter, r *http.Request) {
		_ = r.Body.Close()
		_, err := r.Body.Read(make([]byte, 1))
		fmt.Fprint(w, "shut ", err)
	},
}

// unreading are the behaviours that do not read the body, or read half of it.
var unreading = map[string]bool{"/unread": true, "/unreadclose": true, "/half": true, "/shut": true}

// aborting are the behaviours that do not complete the response.
var aborting = map[string]bool{"/abort": true, "/panic": true, "/abortpart": true, "/abortlarge": true, "/abortlength": true}

func pieces(w http.ResponseWriter, n, size int) {
	for p := range slices.Chunk(pattern(n), size) {
		_, _ = w.Write(p)
	}
}

func flush(w http.ResponseWriter) { _ = http.NewResponseController(w).Flush() }

func noBody(w http.ResponseWriter, status int) {
	w.WriteHeader(status)
	if _, err := w.Write([]byte("x")); !errors.Is(err, http.ErrBodyNotAllowed) {
		panic(fmt.Sprintf("want ErrBodyNotAllowed, found %v", err))
	}
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
	m := met(r)
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
	watch := framing.Options{Refuse: refuse, WriteTimeout: patience}
	plain := newHTTP(p.without, options{maxHeader: maxHeader}, io.Discard)
	addr := server.New(newHTTP(p.with, options{maxHeader: maxHeader}, io.Discard), patience)
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

// answer is a response as the client reads it.
type answer struct {
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
	Seen    []seen
	Answers []answer
	Rest    string // what is no answer
	fast    int
}

// try sends a stream in the given parts and reads to the end.
func (s *side) try(tb testing.TB, parts [][]byte) outcome {
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
	served.end() // net/http may keep the connection for a while, but reads no more
	sent.Wait()
	if err != nil && !errors.Is(err, syscall.ECONNRESET) {
		tb.Fatalf("want the end of the connection, found %v", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	o := outcome{Seen: s.seen, fast: s.fast}
	o.Answers, o.Rest = answers(raw, s.seen)
	return o
}

// sockets returns a connected pair: the server's end and the client's.
func sockets(tb testing.TB) (served *observed, client *net.UnixConn) {
	tb.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		tb.Fatal(err)
	}
	var ends [2]*net.UnixConn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "")
		c, err := net.FileConn(f)
		_ = f.Close()
		if err != nil {
			tb.Fatal(err)
		}
		ends[i] = c.(*net.UnixConn)
	}
	_ = ends[1].SetDeadline(time.Now().Add(patience))
	return &observed{UnixConn: ends[0], waits: make(chan struct{}, 1), ended: make(chan struct{})}, ends[1]
}

// observed is a server's end of a connection. It reports when the server waits for more,
// so that a test can send the next part then, without polling.
type observed struct {
	*net.UnixConn
	waits chan struct{} // gets an element when a read finds nothing
	ended chan struct{} // closed when the server reads no more
	once  sync.Once
}

// Read reads like [net.UnixConn.Read], and reports a wait.
func (o *observed) Read(p []byte) (n int, err error) {
	raw, err := o.SyscallConn()
	if err != nil {
		return 0, err
	}
	var readErr error
	err = raw.Read(func(fd uintptr) bool {
		n, readErr = syscall.Read(int(fd), p)
		return !errors.Is(readErr, syscall.EAGAIN) && !errors.Is(readErr, syscall.EINTR)
	})
	switch {
	case err != nil:
		return 0, err
	case readErr != nil:
		return 0, readErr
	case n == 0 && len(p) > 0:
		return 0, io.EOF
	default:
		return n, nil
	}
}

func (o *observed) SyscallConn() (syscall.RawConn, error) {
	raw, err := o.UnixConn.SyscallConn()
	return observedRaw{raw, o}, err
}

func (o *observed) Close() error {
	o.end()
	return o.UnixConn.Close()
}

// end makes the client send the rest without waiting.
func (o *observed) end() { o.once.Do(func() { close(o.ended) }) }

type observedRaw struct {
	syscall.RawConn
	o *observed
}

// Read reports a wait when f finds nothing to read.
func (r observedRaw) Read(f func(fd uintptr) bool) error {
	return r.RawConn.Read(func(fd uintptr) bool {
		done := f(fd)
		if !done {
			select {
			case r.o.waits <- struct{}{}:
			default:
			}
		}
		return done
	})
}

// sendParts writes each part when the server has read the one before and waits for more,
// and then ends its side.
func sendParts(c *net.UnixConn, served *observed, parts [][]byte) {
	raw, err := c.SyscallConn()
	if err != nil {
		panic(err)
	}
	for i, p := range parts {
		if _, err := c.Write(p); err != nil {
			return
		}
		if i < len(parts)-1 {
			served.awaitRead(raw)
		}
	}
	_ = c.CloseWrite()
}

// unreadTime is how long a part may stay unread before the server seems not to want it: it
// has ended the connection's requests, but not the connection.
const unreadTime = 10 * time.Millisecond

// awaitRead waits until the server has read all that the client wrote, or stopped reading.
func (o *observed) awaitRead(client syscall.RawConn) {
	timer := time.NewTimer(unreadTime)
	defer timer.Stop()
	for unreadBytes(client) > 0 {
		select {
		case <-o.waits:
		case <-o.ended:
			return
		case <-timer.C:
			return
		}
	}
}

// unreadBytes returns how many bytes that were written the peer has not read.
func unreadBytes(raw syscall.RawConn) (n int32) {
	_ = raw.Control(func(fd uintptr) {
		_, _, _ = syscall.Syscall(syscall.SYS_IOCTL, fd, syscall.TIOCOUTQ, uintptr(unsafe.Pointer(&n)))
	})
	return n
}

// answers parses the responses. A 100 Continue counts as one.
func answers(raw []byte, asked []seen) (all []answer, rest string) {
	source := bytes.NewReader(raw)
	r := bufio.NewReader(source)
	for i := 0; ; {
		at := source.Len() + r.Buffered()
		if at == 0 {
			return all, ""
		}
		method := http.MethodGet
		if i < len(asked) {
			method = asked[i].Method
		}
		res, err := http.ReadResponse(r, &http.Request{Method: method})
		if err != nil {
			return all, string(raw[len(raw)-at:])
		}
		body, err := io.ReadAll(res.Body)
		dated := len(res.Header["Date"]) == 1
		res.Header.Del("Date")
		all = append(all, answer{res.StatusCode, res.Header, res.ContentLength, res.TransferEncoding, string(body), kind(err), res.Close, dated})
		if res.StatusCode >= 200 {
			i++
		}
	}
}

// check compares the two servers and returns the number of requests on the fast path.
func (p *pair) check(tb testing.TB, parts [][]byte) (fast int) {
	tb.Helper()
	with, without := p.with.try(tb, parts), p.without.try(tb, parts)
	ignoreDifferences(&with, &without)
	fast, with.fast = with.fast, 0
	if reflect.DeepEqual(with, without) {
		return fast
	}
	tb.Errorf("%q:\n(-net/http +fast path)\n%s", parts, cmp.Diff(without, with, cmp.AllowUnexported(outcome{}, url.Userinfo{})))
	return fast
}

// ignoreDifferences removes the differences that README.md of http1 lists as those that a
// client sees:
//
//   - A response that the handler aborted may be cut off anywhere. It must not look complete.
//   - net/http reads the unread rest of a body before it writes the header of the response,
//     and announces there that the connection ends if that failed. The fast path writes the
//     response first. So the last response may lack a "Connection: close" when its request
//     had a body.
//   - Package framing takes net/http's refusal for a part of a handler's response, and lets it
//     pass, when no request line was read since that handler. A connection that was handed
//     off has had no handler yet.
//   - net/http allows the header of a later request to be longer than that of the first one,
//     by what it had read ahead. A request that was handed off is the first one to net/http.
func ignoreDifferences(with, without *outcome) {
	for i, a := range without.Answers {
		if i < len(with.Answers) && a.Close && strings.HasPrefix(a.Body, fmt.Sprint(a.Status)) && with.Answers[i].Body == "" {
			without.Answers[i] = refused(a.Status)
		}
	}
	tooLong(with, without)
	n := len(without.Seen)
	if n == 0 || n != len(with.Seen) {
		return
	}
	last := without.Seen[n-1]
	if aborting[last.URL.Path] {
		aborted(with, n)
		aborted(without, n)
		return
	}
	finalWith, finalWithout := final(with, n), final(without, n)
	if last.Length > 0 && finalWith != nil && finalWithout != nil && finalWithout.Close {
		finalWith.Close = true
	}
}

// tooLong shortens the outcome of net/http where the fast path's connection ended in a header
// that was too long for a first request.
func tooLong(with, without *outcome) {
	n, last := len(with.Seen), len(with.Answers)-1
	if last < 0 || n >= len(without.Seen) || last >= len(without.Answers) || with.Answers[last].Status != http.StatusRequestHeaderFieldsTooLarge {
		return
	}
	size := 0
	for name, values := range without.Seen[n].Header {
		size += len(values) * len(name)
		for _, v := range values {
			size += len(": \r\n") + len(v)
		}
	}
	if size > maxHeader {
		without.Seen = without.Seen[:n]
		without.Answers = append(slices.Clone(without.Answers[:last]), refused(http.StatusRequestHeaderFieldsTooLarge))
		without.Rest = ""
	}
}

// refused returns the response of refuse.
func refused(status int) answer {
	return answer{Status: status, Header: http.Header{"Content-Length": {"0"}}, Close: true}
}

// final returns the response to the nth request if it is the last one.
func final(o *outcome, n int) *answer {
	i := slices.IndexFunc(o.Answers, func(a answer) bool {
		if a.Status >= 200 {
			n--
		}
		return n == 0
	})
	if i < 0 || i != len(o.Answers)-1 || o.Rest != "" {
		return nil
	}
	return &o.Answers[i]
}

// aborted removes the nth response if it is incomplete, and the bytes after it.
func aborted(o *outcome, n int) {
	o.Rest = ""
	head := o.Seen[n-1].Method == http.MethodHead // its answer has no end that could be missing
	if a := final(o, n); a != nil && (head || a.BodyEnd != "") {
		o.Answers = slices.Clone(o.Answers[:len(o.Answers)-1])
	}
	if len(o.Answers) == 0 {
		o.Answers = nil
	}
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
		f.Add([]byte(s), []byte{}, uint16(0), true, []byte{})
		f.Add([]byte(s), []byte{3, 40, 0, 9}, uint16(0), true, []byte{})
		f.Add([]byte(s), []byte{}, uint16(0), true, []byte{0})
		f.Add([]byte(s), []byte{}, uint16(0), true, []byte{5, 'b', 34, 'y', 34, 0, 200})
	}
	for _, n := range []uint16{8<<10 - 60, 8 << 10, 32 << 10, maxHeader - 50, maxHeader + 50} {
		f.Add([]byte(get("/a")+post("/b", "body")), []byte{255, 255}, n, true, []byte{})
	}
	p := newPair(f)
	f.Fuzz(func(t *testing.T, stream, cuts []byte, pad uint16, probe bool, edits []byte) {
		if len(stream) > 32<<10 || len(cuts) > 200 || len(edits) > 10 {
			t.Skip("too long to be of interest")
		}
		text := repeated(padded(string(stream), pad), edits)
		if probe {
			text += get("/probe")
		}
		p.check(t, segments([]byte(text), cuts))
	})
}
