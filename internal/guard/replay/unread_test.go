package replay_test

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

	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/guard/replay"
)

// eventually waits until holds returns true. what describes the condition in the
// failure message.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for !holds() {
		if ctx.Err() != nil {
			t.Fatalf("want %s, found otherwise after %s", what, patience)
		}
		runtime.Gosched()
	}
}

// TestUnaskedReply checks that an extra reply of the server is not taken for the reply
// to the next nonce, whether it arrives with the previous reply or later.
func TestUnaskedReply(t *testing.T) {
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
			first, more := fresh("mail", 1), make(chan struct{})
			port := serve(t, listen(t), func(c net.Conn) {
				for r := bufio.NewReader(c); ; {
					command, err := readCommand(r)
					switch {
					case err != nil:
						return
					case command[0] == "SET" && command[1] == replay.Name(first):
						tt.answer(c, more)
					default:
						_, _ = io.WriteString(c, null)
					}
				}
			})
			r := replay.NewPatientRedis(replay.RedisOptions{Server: parseServer(t, "redis://127.0.0.1:"+port)}, patience)
			stopped, stop := context.WithCancel(t.Context())
			stop()
			t.Cleanup(func() { r.Watch(stopped) }) // closes the connections
			wantReason(t, "the nonce with two replies", r.Use(first), "")
			close(more)
			eventually(t, "an unread reply", func() bool { return !r.IsQuiet() })
			wantReason(t, "the next nonce", r.Use(fresh("mail", 2)), refusal.ProofReplayed)
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

// TestUnaskedReplyInTLS checks that an extra reply is also detected in a TLS record that
// crypto/tls has read from the socket but has not decrypted yet.
func TestUnaskedReplyInTLS(t *testing.T) {
	for _, tt := range []struct {
		name    string
		records []string
		want    bool
	}{
		{"one record", []string{ok}, true},
		{"two records", []string{ok, ok}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			certificate, roots := selfSigned(t)
			port := serve(t, listen(t), func(c net.Conn) {
				b := &batch{Conn: c}
				s := tls.Server(b, &tls.Config{Certificates: []tls.Certificate{certificate}})
				if _, err := readCommand(bufio.NewReader(s)); err != nil {
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
			c, err := replay.NewConn(t.Context(), socket, &tls.Config{RootCAs: roots, ServerName: "127.0.0.1"}, patience)
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
	for _, reply := range []string{ok, null, "+QUEUED\r\n", ":1\r\n", "-ERR no\r\n", bulk("OK"), "$-2\r\n", "*1\r\n", "|1\r\n", "+OK\n", "$9223372036854775807\r\n"} {
		f.Add([]byte(reply))
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		text, err := replay.ReadReply(bufio.NewReaderSize(bytes.NewReader(stream), 4<<10))
		if err == nil && len(text) > 64<<10 {
			t.Errorf("want at most 64 KiB, found %d bytes", len(text))
		}
		if err == nil && text == "OK" && !strings.HasPrefix(string(stream), ok) && !strings.HasPrefix(string(stream), bulk(text)) {
			t.Errorf("want OK in its only encoding, found %.40q", stream)
		}
	})
}
