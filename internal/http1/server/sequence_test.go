//go:build linux

package server_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/testkit/rawhttp"
)

// randomClient is a client with one connection that behaves at random.
type randomClient struct {
	stream
	*rand.Rand

	in   *bufio.Reader
	name string
}

type stream interface {
	net.Conn
	CloseWrite() error
}

// expectedRequest is a request and its expected response.
type expectedRequest struct{ text, echo, body string }

// oneOf returns one of the values at random. It prefers the first ones.
func oneOf[T any](l *randomClient, all ...T) T { return all[min(l.IntN(len(all)), l.IntN(len(all)))] }

// newRequest returns a complete request.
func (l *randomClient) newRequest() expectedRequest {
	path := oneOf(l, "/all", "/half", "/none", "/pause")
	target := path + oneOf(l, "", fmt.Sprint("?", l.IntN(100)))
	fields := []string{"Host: h", "X-Client: " + l.name}
	more := oneOf(l, nil, []string{"1"}, []string{"2"}, []string{"1", "2"}, []string{strings.Repeat("f", l.IntN(20_000))})
	for _, value := range more {
		fields = append(fields, "X-More: "+value)
	}
	if l.IntN(100) == 0 {
		fields = append(fields, "TE: trailers") // net/http serves the rest
	}
	body := strings.Repeat("b", oneOf(l, 0, 1, 10, 100, 8000, 30_000, 64<<10, 70<<10, 200<<10))
	fields = append(fields, fmt.Sprintf("Content-Length: %d", len(body)), "")
	a := expectedRequest{text: rawhttp.Lines(append([]string{"POST " + target + " HTTP/1.1"}, fields...)...) + body, echo: echoOf(target, l.name, more), body: body}
	switch path {
	case "/half":
		a.body = body[:len(body)/2]
	case "/none":
		a.body = ""
	}
	return a
}

func echoOf(target, name string, more []string) string {
	text := strings.Join(more, ",")
	return fmt.Sprintf("%s %s %.10s %d", target, name, text, len(text))
}

// echoHandler reads the part of the body that the path requests, and responds with it and with
// the fields of the request.
func echoHandler(w http.ResponseWriter, r *http.Request) {
	size := r.ContentLength
	switch r.URL.Path {
	case "/half":
		size /= 2
	case "/none":
		size = 0
	case "/pause":
		time.Sleep(rand.N(3 * time.Millisecond))
	}
	body := make([]byte, size)
	_, _ = io.ReadFull(r.Body, body)
	w.Header().Set("X-Echo", echoOf(r.RequestURI, r.Header.Get("X-Client"), r.Header["X-More"]))
	_, _ = w.Write(body)
}

func (l *randomClient) run() error {
	for range l.IntN(4) {
		if err := l.exchange(l.burst(), "", false); err != nil {
			return err
		}
	}
	switch all := l.burst(); l.IntN(4) {
	case 0: // ends the stream together with its last request
		if err := l.exchange(all, "", true); err != nil {
			return err
		}
		if rest, err := io.ReadAll(l.in); err != nil || len(rest) > 0 {
			return fmt.Errorf("%.80q, %w: want the end of the connection", rest, err)
		}
	case 1: // ends the stream in a request
		text := l.newRequest().text
		if err := l.exchange(all, text[:1+l.IntN(len(text)-1)], true); err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, l.in); errors.Is(err, os.ErrDeadlineExceeded) {
			return fmt.Errorf("want the end of the connection: %w", err)
		}
	case 2: // does not read its responses
		_, _ = io.WriteString(l, all[0].text)
		if c, ok := l.stream.(*net.TCPConn); ok {
			_ = c.SetLinger(0)
		}
	}
	return nil
}

func (l *randomClient) burst() (all []expectedRequest) {
	for range oneOf(l, 1, 2, 3, 8) {
		all = append(all, l.newRequest())
	}
	return all
}

// exchange sends requests, and then the rest and the end of the stream, and expects all
// responses.
func (l *randomClient) exchange(all []expectedRequest, rest string, ends bool) error {
	var text bytes.Buffer
	for _, a := range all {
		text.WriteString(a.text)
	}
	text.WriteString(rest)
	sent, rnd := make(chan error, 1), rand.New(rand.NewPCG(l.Uint64(), 0))
	go func() { sent <- l.send(rnd, text.Bytes(), ends) }()
	for i, a := range all {
		if err := l.want(a); err != nil {
			return fmt.Errorf("response %d of %d to %.80q: %w", i, len(all), a.text, err)
		}
	}
	if err := <-sent; rest == "" {
		return err
	}
	return nil
}

// send sends in parts, with pauses between some of them.
func (l *randomClient) send(rnd *rand.Rand, text []byte, ends bool) error {
	for len(text) > 0 {
		n := min(len(text), []int{1 + len(text)/8, 20, 300, 8 << 10, 50_000, 1 << 20}[rnd.IntN(6)])
		if _, err := l.Write(text[:n]); err != nil {
			return err
		}
		if text = text[n:]; rnd.IntN(8) == 0 {
			time.Sleep(rand.N(500 * time.Microsecond))
		}
	}
	if ends {
		return l.CloseWrite()
	}
	return nil
}

func (l *randomClient) want(a expectedRequest) error {
	res, err := http.ReadResponse(l.in, nil)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(res.Body)
	if echo := res.Header.Get("X-Echo"); err != nil || echo != a.echo || string(body) != a.body {
		return fmt.Errorf("response %d %q with %d bytes, %w; want %q with %d bytes", res.StatusCode, echo, len(body), err, a.echo, len(a.body))
	}
	return nil
}

// TestRandomClients: whatever else a client does, each complete request gets its own
// response, in order.
func TestRandomClients(t *testing.T) {
	t.Parallel()
	duration := 200 * time.Millisecond
	if testing.Short() {
		duration /= 4
	}
	for kind, bare := range both {
		for _, network := range []string{"tcp", "unix"} {
			t.Run(kind+" "+network, func(t *testing.T) {
				t.Parallel()
				address := "127.0.0.1:0"
				if network == "unix" {
					address = filepath.Join(t.TempDir(), "s")
				}
				l, err := net.Listen(network, address)
				if err != nil {
					t.Fatal(err)
				}
				r := start(t, bare, options{listener: l}, echoHandler)
				var clients sync.WaitGroup
				for range 16 {
					clients.Go(func() { runRandomClients(t, l.Addr(), time.Now().Add(duration)) })
				}
				clients.Wait()
				r.wantNone()
			})
		}
	}
}

// runRandomClients runs one random client after the other.
func runRandomClients(t *testing.T, addr net.Addr, until time.Time) {
	t.Helper()
	for time.Now().Before(until) && !t.Failed() {
		c, err := net.Dial(addr.Network(), addr.String())
		if err != nil {
			t.Error(err)
			return
		}
		_ = c.SetDeadline(time.Now().Add(rawhttp.Timeout))
		seed := rand.Uint64()
		l := &randomClient{c.(stream), rand.New(rand.NewPCG(seed, 0)), bufio.NewReader(c), fmt.Sprint(seed)}
		if err := l.run(); err != nil {
			t.Errorf("client %d: %v", seed, err)
		}
		_ = c.Close()
	}
}

// wantNone waits until no connection is open.
func (r *running) wantNone() {
	r.t.Helper()
	for end := time.Now().Add(rawhttp.Timeout); r.listener.Open() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			r.t.Fatalf("%d connections are open", r.listener.Open())
		}
	}
}
