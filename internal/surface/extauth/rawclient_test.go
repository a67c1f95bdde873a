package extauth

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"sync"
	"testing"

	auth "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/protobuf/proto"

	"github.com/certgate/certgate/internal/testkit/rawhttp"
)

const (
	checkMethod  = "/envoy.service.auth.v3.Authorization/Check"
	healthMethod = "/grpc.health.v1.Health/Check"
)

// rawClient is an HTTP/2 connection that can send parts of a check, where a gRPC client
// always sends complete messages. It respects the flow-control windows of the server.
type rawClient struct {
	conn         net.Conn
	framer       *http2.Framer
	acknowledges pings // whether the client acknowledges pings

	mu         sync.Mutex
	changed    *sync.Cond
	window     int64
	streams    map[uint32]*rawStream
	maxStreams uint32 // of the server's SETTINGS
	initial    int64  // window of a stream
	next       uint32
	goneAway   bool
	ended      bool
}

type pings bool

// rawStream is the stream of one check.
type rawStream struct {
	id      uint32
	window  int64
	left    []byte // not sent yet
	sent    int64
	data    bytes.Buffer // of the response
	status  string       // of gRPC
	closed  bool
	refused bool // RST_STREAM with REFUSED_STREAM
}

// rawDial connects and exchanges SETTINGS.
func rawDial(t *testing.T, addr string, acknowledges pings) *rawClient {
	t.Helper()
	c := &rawClient{conn: rawhttp.Dial(t, addr), acknowledges: acknowledges, window: 65535, initial: 65535, streams: map[uint32]*rawStream{}, next: 1}
	c.changed = sync.NewCond(&c.mu)
	if _, err := io.WriteString(c.conn, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	c.framer = http2.NewFramer(c.conn, c.conn)
	c.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	if err := c.framer.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		c.read()
	}()
	t.Cleanup(func() {
		c.conn.Close()
		<-read
	})
	return c
}

// read handles the frames of the server until the connection ends.
func (c *rawClient) read() {
	for {
		f, err := c.framer.ReadFrame()
		c.mu.Lock()
		if err != nil {
			c.ended = true
			c.changed.Broadcast()
			c.mu.Unlock()
			return
		}
		c.handle(f)
		c.flush()
		c.changed.Broadcast()
		c.mu.Unlock()
	}
}

func (c *rawClient) handle(f http2.Frame) {
	s := c.streams[f.Header().StreamID]
	switch f := f.(type) {
	case *http2.SettingsFrame:
		c.settings(f)
	case *http2.PingFrame:
		if bool(c.acknowledges) && !f.IsAck() {
			_ = c.framer.WritePing(true, f.Data)
		}
	case *http2.GoAwayFrame:
		c.goneAway = true
	case *http2.WindowUpdateFrame:
		if s != nil {
			s.window += int64(f.Increment)
		} else if f.StreamID == 0 {
			c.window += int64(f.Increment)
		}
	case *http2.DataFrame:
		if s != nil {
			s.data.Write(f.Data())
		}
		if len(f.Data()) > 0 {
			_ = c.framer.WriteWindowUpdate(0, uint32(len(f.Data())))
		}
	case *http2.MetaHeadersFrame:
		for _, field := range f.Fields {
			if s != nil && field.Name == "grpc-status" {
				s.status = field.Value
			}
		}
		if s != nil && f.StreamEnded() {
			s.closed = true
		}
	case *http2.RSTStreamFrame:
		if s != nil {
			s.closed, s.refused = true, f.ErrCode == http2.ErrCodeRefusedStream
		}
	}
}

func (c *rawClient) settings(f *http2.SettingsFrame) {
	if f.IsAck() {
		return
	}
	if n, ok := f.Value(http2.SettingMaxConcurrentStreams); ok {
		c.maxStreams = n
	}
	if n, ok := f.Value(http2.SettingInitialWindowSize); ok {
		for _, s := range c.streams {
			s.window += int64(n) - c.initial
		}
		c.initial = int64(n)
	}
	_ = c.framer.WriteSettingsAck()
}

// flush sends as many pending bytes as the windows permit.
func (c *rawClient) flush() {
	for _, s := range c.streams {
		for !s.closed && len(s.left) > 0 && min(s.window, c.window) > 0 {
			n := min(int64(len(s.left)), 16<<10, s.window, c.window)
			_ = c.framer.WriteData(s.id, false, s.left[:n])
			s.left, s.sent, s.window, c.window = s.left[n:], s.sent+n, s.window-n, c.window-n
		}
	}
}

// startStream opens a stream and sends data, as far as the windows permit. It does not end the
// stream.
func (c *rawClient) startStream(t *testing.T, method string, data []byte) *rawStream {
	t.Helper()
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for _, field := range [][2]string{
		{":method", "POST"}, {":scheme", "http"}, {":path", method}, {":authority", "certgate"},
		{"content-type", "application/grpc"}, {"te", "trailers"},
	} {
		if err := encoder.WriteField(hpack.HeaderField{Name: field[0], Value: field[1]}); err != nil {
			t.Fatal(err)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s := &rawStream{id: c.next, window: c.initial, left: data}
	c.next += 2
	c.streams[s.id] = s
	if err := c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: s.id, BlockFragment: block.Bytes(), EndHeaders: true}); err != nil {
		t.Fatal(err)
	}
	c.flush()
	return s
}

// await waits until the condition is true. The condition is evaluated with the lock held
// after each received frame. The deadline of the connection ends the wait.
func (c *rawClient) await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	for !holds() {
		if c.ended {
			t.Fatalf("want %s, found the end of the connection", what)
		}
		c.changed.Wait()
	}
}

// awaitEnd waits until the server has closed the connection.
func (c *rawClient) awaitEnd() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for !c.ended {
		c.changed.Wait()
	}
}

// receive waits for the response to a check.
func (c *rawClient) receive(t *testing.T, s *rawStream) *auth.CheckResponse {
	t.Helper()
	c.await(t, "a response", func() bool { return s.closed })
	if s.data.Len() < 5 {
		t.Fatalf("want a response, found %q", s.data.String())
	}
	res := new(auth.CheckResponse)
	if err := proto.Unmarshal(s.data.Bytes()[5:], res); err != nil {
		t.Fatal(err)
	}
	return res
}

// framed returns a message with the length prefix of gRPC.
func framed(t *testing.T, m proto.Message) []byte {
	t.Helper()
	message, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...)
}

// unfinished returns a check of n bytes without its last byte.
func unfinished(n int) []byte {
	return binary.BigEndian.AppendUint32(make([]byte, 1, n+4), uint32(n))[:n+4]
}
