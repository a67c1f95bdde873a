//go:build linux

package server_test

import (
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/testkit/rawhttp"
)

// deadlines is a listener whose connections record every read deadline.
type deadlines struct {
	net.Listener
	mu  sync.Mutex
	all []time.Time
}

func (d *deadlines) Accept() (net.Conn, error) {
	c, err := d.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &recorded{c.(*net.TCPConn), d}, nil
}

// wait returns the first deadline after a time that is neither the zero time nor in the past: those
// in the past interrupt a Read.
func (d *deadlines) wait(t *testing.T, from int) (found time.Time, next int) {
	t.Helper()
	for end := time.Now().Add(rawhttp.Timeout); time.Now().Before(end); time.Sleep(time.Millisecond) {
		d.mu.Lock()
		all := d.all
		d.mu.Unlock()
		for i := from; i < len(all); i++ {
			if all[i].After(time.Now()) {
				return all[i], i + 1
			}
		}
	}
	t.Fatalf("want another read deadline, found %v", d.all)
	return time.Time{}, 0
}

type recorded struct {
	*net.TCPConn
	to *deadlines
}

func (c *recorded) SetReadDeadline(t time.Time) error {
	c.to.mu.Lock()
	c.to.all = append(c.to.all, t)
	c.to.mu.Unlock()
	return c.TCPConn.SetReadDeadline(t)
}

// TestTimeoutsAfterHandOff: a connection that is handed off in the middle of a request keeps its
// deadlines.
func TestTimeoutsAfterHandOff(t *testing.T) {
	const header, whole = 10 * time.Minute, 30 * time.Minute
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := &deadlines{Listener: inner}
	r := start(t, false, options{listener: d, readHeader: header, read: whole}, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
	})
	c := r.dial()
	first, next := d.wait(t, 0)
	c.send("POST / HTTP/1.1\r\nHost: h\n") // net/http serves requests with a bare line feed
	if found, _ := d.wait(t, next); !found.Equal(first) {
		t.Errorf("deadline for the header %v after the first one, want the same", found.Sub(first))
	}
	c.send("Content-Length: 1\r\n\r\n")
	found := first
	for found.Equal(first) {
		found, next = d.wait(t, next)
	}
	if !found.Equal(first.Add(whole - header)) {
		t.Errorf("deadline for the whole request %v after that for the header, want %v", found.Sub(first), whole-header)
	}
	c.send("x").want(200, "")
}

// TestTimeoutsOfALaterRequest: the same after a request that was served.
func TestTimeoutsOfALaterRequest(t *testing.T) {
	const header, whole = 10 * time.Minute, 30 * time.Minute
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := &deadlines{Listener: inner}
	r := start(t, false, options{listener: d, readHeader: header, read: whole, idle: time.Hour}, func(http.ResponseWriter, *http.Request) {})
	c := r.dial()
	c.send(get("/")).want(200, "")
	_, next := d.wait(t, 0)
	c.send("GET / HTTP/1.1\r\n")
	begun, next := d.wait(t, next)
	for time.Until(begun) > whole { // those of the wait for it
		begun, next = d.wait(t, next)
	}
	c.send("Host: h\n")
	if found, _ := d.wait(t, next); found.After(begun) {
		t.Errorf("deadline for the header %v after the one that was set when it began, want none later", found.Sub(begun))
	}
	c.send("\n").want(200, "")
}
