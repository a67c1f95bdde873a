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
