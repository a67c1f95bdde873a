package upstream_test

import (
	"net"
	"testing"

	"github.com/certgate/certgate/internal/testkit/rawhttp"
	"github.com/certgate/certgate/internal/testkit/upstream"
)

// TestRefusing checks that the address refuses connections, and that no other test can listen
// on it.
func TestRefusing(t *testing.T) {
	addr := upstream.Refusing(t)
	if c, err := net.Dial("tcp", addr); err == nil {
		c.Close()
		t.Error("want an error, found a connection")
	}
	if l, err := net.Listen("tcp", addr); err == nil {
		l.Close()
		t.Error("want the port in use, found it free")
	}
}

// TestCleanup checks that the end of a test closes all connections and waits for serve.
func TestCleanup(t *testing.T) {
	ended, outer := false, t
	t.Run("server", func(t *testing.T) {
		began := make(chan struct{})
		up := upstream.New(t, func(n int, c *rawhttp.Conn) {
			if n != 1 {
				t.Errorf("want connection 1, found %d", n)
			}
			close(began)
			c.Rest()
			ended = true
		})
		rawhttp.Dial(outer, up.Addr) // closed after the server
		<-began
	})
	if !ended {
		t.Error("want serve ended, found it running")
	}
}
