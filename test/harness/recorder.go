package harness

import (
	"io"
	"net"
	"strings"
	"sync"
	"testing"
)

// Recorder is a TCP proxy between a proxy and a gateway. It records the bytes that the
// proxy sends, and counts the connections.
type Recorder struct {
	Addr string

	mu     sync.Mutex
	bytes  strings.Builder
	opened int
}

// NewRecorder starts a recorder that forwards to the address until the test ends.
func NewRecorder(t *testing.T, to string) *Recorder {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	tp := &Recorder{Addr: l.Addr().String()}
	var open sync.WaitGroup
	t.Cleanup(func() {
		_ = l.Close()
		open.Wait()
	})
	open.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			tp.mu.Lock()
			tp.opened++
			tp.mu.Unlock()
			open.Go(func() { tp.forward(c, to) })
		}
	})
	return tp
}

// forward copies in both directions, and closes both connections when one of them ends.
func (tp *Recorder) forward(from net.Conn, to string) {
	defer from.Close()
	gateway, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer gateway.Close()
	go func() {
		_, _ = io.Copy(from, gateway)
		_ = from.Close()
	}()
	_, _ = io.Copy(io.MultiWriter(tp, gateway), from)
}

func (tp *Recorder) Write(p []byte) (int, error) {
	tp.mu.Lock()
	defer tp.mu.Unlock()
	return tp.bytes.Write(p)
}

// Take returns the bytes that the proxy has sent since the last call.
func (tp *Recorder) Take() string {
	tp.mu.Lock()
	defer tp.mu.Unlock()
	text := tp.bytes.String()
	tp.bytes.Reset()
	return text
}

// Connections returns the number of connections so far.
func (tp *Recorder) Connections() int {
	tp.mu.Lock()
	defer tp.mu.Unlock()
	return tp.opened
}
