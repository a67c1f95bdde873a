package forward

import (
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/url"
	"testing"
	"testing/synctest"
	"time"
)

// TestSettle: a kept connection is used when somebody reads from it, who has looked
// behind the answer before, and closed when nobody does.
func TestSettle(t *testing.T) {
	tests := []struct {
		name   string
		reused bool
		after  time.Duration // when somebody begins to read
		closed bool
	}{
		{"at once", true, 0, false},
		{"later", true, 100 * time.Millisecond, false},
		{"never", true, time.Hour, true},
		{"fresh", false, time.Hour, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				here, there := net.Pipe()
				defer there.Close()
				c := &conn{Conn: here, timeout: time.Minute}
				ended := make(chan struct{})
				go func() {
					defer close(ended)
					time.Sleep(tt.after)
					_, _ = c.Read(make([]byte, 1))
				}()
				if tt.after == 0 {
					synctest.Wait()
				}
				begun := time.Now()
				gotConn(t)(httptrace.GotConnInfo{Conn: c, Reused: tt.reused})
				if waited := time.Since(begun); tt.reused && !tt.closed && waited < tt.after {
					t.Errorf("used after %v, before anybody has looked", waited)
				}
				if c.closed.Load() != tt.closed {
					t.Errorf("closed: %t, want %t", c.closed.Load(), tt.closed)
				}
				_ = c.Close()
				<-ended
			})
		})
	}
}

// gotConn is what the transport calls with the connection of a request.
func gotConn(t *testing.T) func(httptrace.GotConnInfo) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
	out := new(Forwarder).outbound(&url.URL{Scheme: "https", Host: "upstream"}, &message{r: r})
	trace := httptrace.ContextClientTrace(out.Context())
	if trace == nil || trace.GotConn == nil {
		t.Fatal("nobody looks at the connection of a request")
	}
	return trace.GotConn
}
