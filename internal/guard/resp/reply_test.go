package resp_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/guard/resp"
	"github.com/certgate/certgate/internal/testkit/redisserver"
)

const (
	testTimeout = 20 * time.Second

	ok   = "+OK\r\n"
	null = "$-1\r\n"
)

func parseServer(t *testing.T, text string) resp.Server {
	t.Helper()
	server, err := resp.ParseServer(text)
	if err != nil {
		t.Fatal(err)
	}
	return server
}

// eventually waits until holds returns true. what describes the condition in the
// failure message.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	for !holds() {
		if ctx.Err() != nil {
			t.Fatalf("want %s, found otherwise after %s", what, testTimeout)
		}
		runtime.Gosched()
	}
}

// TestUnsolicitedReply checks that an extra reply of the server is not taken for the reply
// to the next command, whether it arrives with the previous reply or later.
func TestUnsolicitedReply(t *testing.T) {
	tests := []struct {
		name   string
		answer func(c net.Conn, more <-chan struct{})
	}{
		{"with the reply", func(c net.Conn, _ <-chan struct{}) { _, _ = io.WriteString(c, ok+ok) }},
		{"after the reply", func(c net.Conn, more <-chan struct{}) {
			_, _ = io.WriteString(c, ok)
			<-more
			_, _ = io.WriteString(c, ok)
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			more := make(chan struct{})
			port := redisserver.Serve(t, redisserver.Listen(t), func(c net.Conn) {
				for r := bufio.NewReader(c); ; {
					command, err := redisserver.ReadCommand(r)
					switch {
					case err != nil:
						return
					case command[1] == "first":
						tt.answer(c, more)
					default:
						_, _ = io.WriteString(c, null)
					}
				}
			})
			p := resp.NewPool(parseServer(t, "redis://127.0.0.1:"+port), 1, resp.Limits{Acquire: testTimeout, Reply: testTimeout})
			t.Cleanup(p.Close)
			if answer, err := p.Do(t.Context(), "SET", "first"); err != nil || !answer.IsOK() {
				t.Errorf("the command with two replies: want OK, found %s, %v", answer, err)
			}
			close(more)
			eventually(t, "an unread reply", func() bool { return !p.IsQuiet() })
			if answer, err := p.Do(t.Context(), "SET", "next"); err != nil || !answer.IsNil() {
				t.Errorf("the next command: want nil, found %s, %v", answer, err)
			}
		})
	}
}

// batch is a connection that buffers writes. flush sends them all at once, and Read
// flushes first.
type batch struct {
	net.Conn
	unsent bytes.Buffer
}

func (b *batch) Write(p []byte) (int, error) { return b.unsent.Write(p) }

func (b *batch) Read(p []byte) (int, error) {
	if err := b.flush(); err != nil {
		return 0, err
	}
	return b.Conn.Read(p)
}

func (b *batch) flush() error {
	_, err := b.unsent.WriteTo(b.Conn)
	return err
}

// TestUnsolicitedReplyInTLS checks that an extra reply is also detected in a TLS record that
// crypto/tls has read from the socket but has not decrypted yet.
func TestUnsolicitedReplyInTLS(t *testing.T) {
	for _, tt := range []struct {
		name    string
		records []string
		want    bool
	}{
		{"one record", []string{ok}, true},
		{"two records", []string{ok, ok}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			certificate, roots := redisserver.SelfSigned(t)
			port := redisserver.Serve(t, redisserver.Listen(t), func(c net.Conn) {
				b := &batch{Conn: c}
				s := tls.Server(b, &tls.Config{Certificates: []tls.Certificate{certificate}})
				if _, err := redisserver.ReadCommand(bufio.NewReader(s)); err != nil {
					return
				}
				for _, record := range tt.records {
					_, _ = io.WriteString(s, record)
				}
				_ = b.flush()
				_, _ = c.Read(make([]byte, 1)) // until the client closes
			})
			socket, err := net.Dial("tcp", "127.0.0.1:"+port)
			if err != nil {
				t.Fatal(err)
			}
			defer socket.Close()
			c, err := resp.NewConn(t.Context(), socket, &tls.Config{RootCAs: roots, ServerName: "127.0.0.1"}, testTimeout)
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Do(t.Context(), "SET"); err != nil {
				t.Fatal(err)
			}
			if found := c.IsQuiet(); found != tt.want {
				t.Errorf("want quiet %t, found %t", tt.want, found)
			}
		})
	}
}

// FuzzReadReply checks that no input makes the reader panic, return more than the
// largest reply, or accept OK in another encoding.
func FuzzReadReply(f *testing.F) {
	for _, reply := range []string{ok, null, "+QUEUED\r\n", ":1\r\n", "-ERR no\r\n", "$2\r\nOK\r\n", "$-2\r\n", "*1\r\n", "|1\r\n", "+OK\n", "$9223372036854775807\r\n"} {
		f.Add([]byte(reply))
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		text, err := resp.ReadReply(bufio.NewReaderSize(bytes.NewReader(stream), 4<<10))
		if err == nil && len(text) > 64<<10 {
			t.Errorf("want at most 64 KiB, found %d bytes", len(text))
		}
		if err == nil && text == "OK" && !strings.HasPrefix(string(stream), ok) && !strings.HasPrefix(string(stream), "$2\r\nOK\r\n") {
			t.Errorf("want OK in its only encoding, found %.40q", stream)
		}
	})
}
