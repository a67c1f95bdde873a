package extauth

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/testkit/rawhttp"
)

// eventually waits until the condition is true.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !holds(); runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("want %s, found otherwise", what)
		}
	}
}

// listenEnvoy serves the surface for Envoy and returns its address.
func (b *fixture) listenEnvoy(t *testing.T, bounds Bounds) string {
	t.Helper()
	addr, _ := b.startEnvoy(t, bounds)
	return addr
}

func (b *fixture) startEnvoy(t *testing.T, bounds Bounds) (string, *Server) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := NewServer(b.options, bounds)
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Errorf("Serve: %v, want nil", err)
		}
	})
	return l.Addr().String(), s
}

// largeBounds returns bounds that are too large for a test to reach by accident.
func largeBounds() Bounds {
	return Bounds{
		MaxMessageBytes: 2 << 20, MaxHeldBytes: 64 << 20, MaxChecks: 1000, MaxStreams: 1000, MaxConnections: 1000,
		MessageTimeout: time.Minute, HandshakeTimeout: time.Minute, IdleTimeout: time.Minute, WriteTimeout: time.Minute,
	}
}

// records returns the parsed lines of the log.
func (b *fixture) records(t *testing.T) (lines []map[string]any) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for line := range bytes.Lines(b.log.Bytes()) {
		var fields map[string]any
		if err := json.Unmarshal(line, &fields); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, fields)
	}
	return lines
}

// TestConnectionsFromOtherAddresses checks that connections from other addresses than the
// peers' are closed before a byte is read or written, and that each is recorded.
func TestConnectionsFromOtherAddresses(t *testing.T) {
	t.Parallel()
	b := newFixture(t, func(b *fixture) { b.options.Peers = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")} })
	addr := b.listenEnvoy(t, largeBounds())
	connections := 300
	if testing.Short() {
		connections /= 3
	}
	part := strings.Repeat("q", 1<<20)
	for range connections {
		c := rawhttp.Dial(t, addr)
		// The write fails when the connection is closed before it ends.
		_, _ = io.WriteString(c, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"+part)
		// An error is a reset, which the unread bytes cause.
		if written, _ := io.ReadAll(c); len(written) != 0 {
			t.Fatalf("want no bytes written to an unknown address, found %q", written)
		}
		c.Close()
	}
	eventually(t, "every record", func() bool { return len(b.records(t)) >= connections }) // after the end of the connection
	lines := b.records(t)
	if len(lines) != connections {
		t.Fatalf("want %d records, found %d", connections, len(lines))
	}
	for _, line := range lines {
		if line["reason"] != string(refusal.PeerUntrusted) || line["surface"] != "ext_authz" || line["source"] != "127.0.0.1" ||
			line["decision"] != "refused" || line["status"] != 403.0 || line["request_id"] == "" {
			t.Fatalf("record %v: want peer_untrusted of 127.0.0.1", line)
		}
	}
}

// TestMaxConnections checks that a connection beyond the limit is closed and recorded,
// and that another is accepted after one has been closed.
func TestMaxConnections(t *testing.T) {
	b := newFixture(t, nil)
	bounds := largeBounds()
	bounds.MaxConnections = 2
	addr := b.listenEnvoy(t, bounds)
	isAccepted := func(c net.Conn) bool {
		_, _ = io.WriteString(c, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")
		n, _ := c.Read(make([]byte, 9)) // the beginning of the server's SETTINGS
		return n > 0
	}
	first, second := rawhttp.Dial(t, addr), rawhttp.Dial(t, addr)
	if !isAccepted(first) || !isAccepted(second) {
		t.Fatal("want two connections accepted")
	}
	if isAccepted(rawhttp.Dial(t, addr)) {
		t.Error("want the third connection closed, found it accepted")
	}
	eventually(t, "a record", func() bool { return len(b.records(t)) > 0 }) // after the end of the connection
	if lines := b.records(t); len(lines) != 1 || lines[0]["reason"] != string(refusal.Overloaded) {
		t.Errorf("records %v: want one with overloaded", lines)
	}
	first.Close()
	eventually(t, "another connection accepted", func() bool { return isAccepted(rawhttp.Dial(t, addr)) })
}

// TestAdmits checks which addresses are peers.
func TestAdmits(t *testing.T) {
	peers := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("fe80::/64")}
	tests := []struct {
		addr net.Addr
		want bool
	}{
		{&net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1}, true},
		{&net.TCPAddr{IP: net.IPv4(192, 0, 2, 1).To16(), Port: 1}, true},
		{&net.TCPAddr{IP: net.ParseIP("::ffff:192.0.2.1"), Port: 1}, true},
		{&net.TCPAddr{IP: net.ParseIP("fe80::1"), Port: 1, Zone: "eth0"}, true},
		{&net.TCPAddr{IP: net.IPv4(192, 0, 3, 1), Port: 1}, false},
		{&net.TCPAddr{IP: net.ParseIP("::192.0.2.1"), Port: 1}, false},
		{&net.TCPAddr{}, false},
		{&net.UnixAddr{Name: "/run/certgate.sock", Net: "unix"}, false},
		{&net.UnixAddr{}, false},
		{nil, false},
	}
	for _, tt := range tests {
		if found := Admits(peers, tt.addr); found != tt.want {
			t.Errorf("%v: want %t, found %t", tt.addr, tt.want, found)
		}
	}
	if Admits(nil, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}) {
		t.Error("want no address admitted without peers")
	}
}
