package forward

import (
	"errors"
	"net"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// brokenPipe is a connection whose peer does not read any more.
type brokenPipe struct{ net.Conn }

func (brokenPipe) SetWriteDeadline(time.Time) error { return nil }
func (brokenPipe) Write([]byte) (int, error)        { return 0, syscall.EPIPE }
func (brokenPipe) Close() error                     { return nil }

// TestFailedWriteWaitsForResponse checks that a failed write returns only after the transport
// has delivered the response or reading has ended. The first bytes of a response do not
// suffice, because the transport drops a response that it has not delivered.
func TestFailedWriteWaitsForResponse(t *testing.T) {
	for name, end := range map[string]func(*conn){
		"response delivered": func(c *conn) { c.reusable.Store(true) },
		"reading ended":      func(c *conn) { c.failed.Store(true) },
		"connection closed":  func(c *conn) { _ = c.Close() },
		"no event":           func(*conn) { time.Sleep(2 * time.Second) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newConn(brokenPipe{}, nil, time.Minute)
				c.reusable.Store(false)
				c.answered.Store(true)
				var returned atomic.Bool
				go func() {
					if _, err := c.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
						t.Errorf("Write: %v, want %v", err, syscall.EPIPE)
					}
					returned.Store(true)
				}()
				synctest.Wait()
				if returned.Load() {
					t.Error("Write returned before the response was delivered")
				}
				end(c)
				time.Sleep(time.Second)
				synctest.Wait()
				if !returned.Load() {
					t.Error("Write did not return")
				}
			})
		})
	}
}

// TestWriteNamesEndOfReading checks that a write to a connection that was closed because
// reading had ended returns the error of the read. Otherwise it returns its own error.
func TestWriteNamesEndOfReading(t *testing.T) {
	for name, read := range map[string]bool{"reading ended before the close": true, "closed only": false} {
		t.Run(name, func(t *testing.T) {
			want := net.ErrClosed
			nc, peer := net.Pipe()
			defer peer.Close()
			c := newConn(closedConn{Conn: nc, readErr: errRefused}, nil, time.Minute)
			if read {
				want = errRefused
				if _, err := c.Read(make([]byte, 1)); !errors.Is(err, want) {
					t.Fatalf("Read: %v, want %v", err, want)
				}
			}
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
			if n, err := c.Write([]byte("x")); n != 0 || !errors.Is(err, want) || read && errors.Is(err, net.ErrClosed) {
				t.Errorf("Write: %d bytes and %v, want %v", n, err, want)
			}
		})
	}
}

var errRefused = errors.New("the certificate was refused")

// closedConn is a connection whose reads fail with readErr, and whose deadline cannot be set
// after Close.
type closedConn struct {
	net.Conn
	readErr error
}

func (c closedConn) Read([]byte) (int, error)         { return 0, c.readErr }
func (c closedConn) SetWriteDeadline(time.Time) error { return net.ErrClosed }
