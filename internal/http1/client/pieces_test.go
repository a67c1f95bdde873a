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

// TestTimeoutOfLargePieces: a write of a large piece continues after the timeout if at least
// 64 KiB were written in that time, and fails otherwise.
func TestTimeoutOfLargePieces(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		perTime int // bytes that the upstream reads in each timeout
		want    error
	}{
		{"64 KiB in each timeout", 64 << 10, nil},
		{"less in each timeout", 64<<10 - 1, os.ErrDeadlineExceeded},
	} {
		t.Run(tt.name, func(t *testing.T) {
			slow := &slowConn{perTime: tt.perTime}
			if err := client.WriteUpload(slow, make([]byte, 256<<10)); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
			if tt.want == nil && slow.written != 256<<10 {
				t.Errorf("%d bytes written, want all", slow.written)
			}
		})
	}
}

// slowConn is a connection on which every write passes its deadline after perTime bytes.
type slowConn struct {
	net.Conn

	perTime, written int
}

func (c *slowConn) SetWriteDeadline(time.Time) error { return nil }

func (c *slowConn) Write(p []byte) (int, error) {
	if len(p) <= c.perTime {
		c.written += len(p)
		return len(p), nil
	}
	c.written += c.perTime
	return c.perTime, os.ErrDeadlineExceeded
}
