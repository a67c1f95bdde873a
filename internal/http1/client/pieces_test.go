package client_test

import (
	"errors"
	"net"
	"os"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/http1/client"
)

// TestLargePiecesAreBounded: 16 uploads have large pieces at most, and uploads that have ended
// do not count.
func TestLargePiecesAreBounded(t *testing.T) {
	t.Parallel()
	c := client.New(client.Options{})
	for range 3 {
		if n := c.UploadsWithLargePieces(40); n != 16 {
			t.Errorf("%d of 40 uploads have large pieces, want 16", n)
		}
	}
}

// TestTimeoutOfLargePieces: each 64 KiB of a large piece are one write with a deadline of its
// own, and the first error ends the upload.
func TestTimeoutOfLargePieces(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		capacity int // bytes that the upstream reads before it stops
		written  int
		want     error
	}{
		{"all", 256 << 10, 256 << 10, nil},
		{"a part", 100 << 10, 64 << 10, os.ErrDeadlineExceeded},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := &limitedConn{t: t, capacity: tt.capacity}
			err := client.WriteUpload(c, make([]byte, 256<<10))
			if !errors.Is(err, tt.want) || c.written != tt.written {
				t.Errorf("%d bytes written, %v: want %d and %v", c.written, err, tt.written, tt.want)
			}
		})
	}
}

// limitedConn is a connection to an upstream that stops reading after some bytes.
type limitedConn struct {
	net.Conn

	t                 *testing.T
	capacity, written int
	hasDeadline       bool
}

func (c *limitedConn) SetWriteDeadline(time.Time) error {
	c.hasDeadline = true
	return nil
}

func (c *limitedConn) Write(p []byte) (int, error) {
	if len(p) > 64<<10 || !c.hasDeadline {
		c.t.Errorf("a write of %d bytes, with a new deadline: %t; want at most 64 KiB with one", len(p), c.hasDeadline)
	}
	c.hasDeadline = false
	if c.written+len(p) > c.capacity {
		return 0, os.ErrDeadlineExceeded
	}
	c.written += len(p)
	return len(p), nil
}
