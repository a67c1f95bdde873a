package framing_test

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"regexp"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/certgate/certgate/internal/http1/framing"
	"github.com/certgate/certgate/internal/testkit/leak"
)

func TestMain(m *testing.M) {
	leak.Main(m)
}

// seen is a request as the handler received it.
type seen struct {
	method, target, body string
	broken               bool // the body ended in an error
	ambiguous            bool // false without a Listener
}

// peer is a client that sends fixed parts and then nothing. Each Read returns bytes of one
// part.
type peer struct {
	parts  [][]byte
	onRead func() // after each successful Read
}

func (p *peer) Read(b []byte) (int, error) {
	for len(p.parts) > 0 && len(p.parts[0]) == 0 {
		p.parts = p.parts[1:]
	}
	if len(p.parts) == 0 {
		return 0, io.EOF
	}
	n := copy(b, p.parts[0])
	p.parts[0] = p.parts[0][n:]
	if p.onRead != nil {
		p.onRead()
	}
	return n, nil
}

func (*peer) Write(b []byte) (int, error)      { return len(b), nil }
func (*peer) Close() error                     { return nil }
func (*peer) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (*peer) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (*peer) SetDeadline(time.Time) error      { return nil }
func (*peer) SetReadDeadline(time.Time) error  { return nil }
func (*peer) SetWriteDeadline(time.Time) error { return nil }

// once is a listener with a single connection.
type once struct {
	conns chan net.Conn
	done  chan struct{}
	close sync.Once
}

func newOnce(c net.Conn) *once {
	l := &once{conns: make(chan net.Conn, 1), done: make(chan struct{})}
	l.conns <- c
	return l
}

func (l *once) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *once) Close() error {
	l.close.Do(func() { close(l.done) })
	return nil
}

func (*once) Addr() net.Addr { return &net.TCPAddr{} }

// serve runs net/http's server on one connection until the server closes it.
func serve(c net.Conn, watched bool, handler http.Handler) {
	closed := make(chan struct{})
	s := &http.Server{
		Handler:  handler,
		ErrorLog: zap.NewStdLog(zap.NewNop()),
		ConnState: func(c net.Conn, state http.ConnState) {
			framing.State(c, state)
			if state == http.StateClosed {
				close(closed)
			}
		},
	}
	var l net.Listener = newOnce(c)
	if watched {
		l, s.ConnContext = framing.NewListener(l, framing.Options{}), framing.Context
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = s.Serve(l)
	}()
	<-closed
	_ = s.Close()
	<-served
}

// requests returns the requests that a handler receives from a stream in parts. Like the
// gateway, the handler closes the connection after an ambiguous request.
func requests(parts [][]byte, watched bool) []seen {
	var all []seen
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := seen{method: r.Method, target: r.RequestURI}
		s.ambiguous = watched && framing.Begin(r)
		body, err := io.ReadAll(r.Body)
		s.body, s.broken = string(body), err != nil
		if s.ambiguous {
			w.Header().Set("Connection", "close")
		}
		all = append(all, s)
	})
	copied := make([][]byte, len(parts))
	copy(copied, parts)
	serve(&peer{parts: copied}, watched, handler)
	return all
}

// head is the raw header of a request.
type head struct {
	lengths, codings int
	version10        bool
	long             bool // it has a line that is longer than the package inspects
}

var (
	lengthLine  = regexp.MustCompile(`(?im)^content-length:`)
	codingLine  = regexp.MustCompile(`(?im)^transfer-encoding:`)
	longLine    = regexp.MustCompile(`(?i)(?m)^(content-length|transfer-encoding):.{100}`)
	version10   = regexp.MustCompile(`^[^\n]*HTTP/1\.0\r?\n`)
	foldedField = regexp.MustCompile(`\n[ \t]`)
)

// heads returns the raw headers of the requests that net/http reads from a stream without this
// package.
func heads(stream []byte) []head {
	var all []head
	source := bytes.NewReader(stream)
	r := bufio.NewReaderSize(source, 4096)
	at := func() int { return len(stream) - source.Len() - r.Buffered() }
	post := false
	for {
		if post {
			skipLineEnds(r)
		}
		start := at()
		req, err := http.ReadRequest(r)
		if err != nil {
			return all
		}
		raw := stream[start:at()]
		all = append(all, head{
			lengths: len(lengthLine.FindAll(raw, -1)), codings: len(codingLine.FindAll(raw, -1)),
			version10: version10.Match(raw), long: longLine.Match(raw) || foldedField.Match(raw),
		})
		post = req.Method == http.MethodPost
		if _, err := io.Copy(io.Discard, req.Body); err != nil {
			return all
		}
	}
}

// skipLineEnds skips line ends like net/http's server after a POST.
func skipLineEnds(r *bufio.Reader) {
	peek, _ := r.Peek(4)
	n := len(peek) - len(bytes.TrimLeft(peek, "\r\n"))
	_, _ = r.Discard(n)
}

// inPieces cuts a stream into reads of the given sizes, repeatedly.
func inPieces(stream []byte, sizes ...int) [][]byte {
	var parts [][]byte
	for i := 0; len(stream) > 0; i++ {
		n := min(max(sizes[i%len(sizes)], 1), len(stream))
		parts = append(parts, stream[:n])
		stream = stream[n:]
	}
	return parts
}
