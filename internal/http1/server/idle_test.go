//go:build linux

package server_test

import (
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// maxIdleBytes bounds the memory of an idle connection, including the test's end: the stack of
// the goroutine, the structures of the descriptors and the connection's own.
const maxIdleBytes = 24 << 10

// TestIdleConnections: hundreds of idle connections that have served a request need little
// memory, and another client is served at the same time.
func TestIdleConnections(t *testing.T) {
	tests := []struct{ name, request string }{
		{"a body", post("/", strings.Repeat("b", 2000))},
		{"a large header", header("X: " + strings.Repeat("x", 16<<10))},
		{"many fields", header(slices.Repeat([]string{"X:"}, 1000)...)},
		{"more than was read at once", get("/") + get("/") + "GE"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { idleConnections(t, []byte(tt.request)) })
	}
}

func idleConnections(t *testing.T, request []byte) {
	t.Helper()
	n := idleCount(t)
	r := start(t, false, options{}, func(http.ResponseWriter, *http.Request) {})
	response := make([]byte, 1<<10)
	before := inUse()
	all := make([]net.Conn, 0, n)
	t.Cleanup(func() {
		for _, c := range all {
			_ = c.Close()
		}
	})
	for range n {
		c, err := net.Dial("tcp", r.listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
		if _, err := c.Write(request); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(response); err != nil {
			t.Fatal(err)
		}
	}
	each := (inUse() - before) / int64(n)
	t.Logf("%d idle connections cost %d bytes each", n, each)
	if each > maxIdleBytes {
		t.Errorf("an idle connection costs %d bytes, want at most %d", each, maxIdleBytes)
	}
	r.dial().send(get("/")).want(200, "")
	if open := r.listener.Open(); open != int64(n)+1 {
		t.Errorf("%d connections are open, want %d", open, n+1)
	}
}

// idleCount returns the number of connections that the limit on descriptors allows.
func idleCount(t *testing.T) int {
	t.Helper()
	if testing.Short() {
		t.Skip("opens many connections")
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	const spare = 100 // for other descriptors
	n := min(500, int(min(limit.Cur, 1<<20))/2-spare)
	if n < 300 {
		t.Skipf("%d file descriptors are too few", limit.Cur)
	}
	return n
}

// inUse returns the bytes of memory in use, after garbage collection.
func inUse() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}
