//go:build linux

package server_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/http1/server"
	"github.com/certgate/certgate/internal/testkit/rawhttp"
)

// TestWorkers: requests that are served at the same time have a worker each. Later requests use
// the same workers, and no more than the limit are kept. TestMain checks that none are left
// after the server has closed.
func TestWorkers(t *testing.T) {
	const n = server.MaxIdleWorkers + 20
	var waiting sync.WaitGroup
	proceed := make(chan struct{})
	r := start(t, false, options{}, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/wait" {
			waiting.Done()
			<-proceed
		}
		w.WriteHeader(http.StatusNoContent)
	})
	s := r.server.(*server.Server)
	awaitIdle := func(want int) {
		t.Helper()
		for deadline := time.Now().Add(rawhttp.Timeout); s.IdleWorkers() != want; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%d idle workers, want %d", s.IdleWorkers(), want)
			}
		}
	}
	one := r.dial()
	for range 3 {
		one.send(get("/")).want(http.StatusNoContent, "")
		awaitIdle(1)
	}
	waiting.Add(n)
	conns := make([]*rawClient, n)
	for i := range conns {
		conns[i] = r.dial().send(get("/wait"))
	}
	waiting.Wait()
	awaitIdle(0)
	close(proceed)
	for _, c := range conns {
		c.want(http.StatusNoContent, "")
	}
	awaitIdle(server.MaxIdleWorkers)
}

// TestPanicInWorker: a panic outside the handler ends its connection only, and the server
// serves the next one.
func TestPanicInWorker(t *testing.T) {
	var once sync.Once
	intern := func([]byte) (string, bool) {
		once.Do(func() { panic("on purpose") })
		return "", false
	}
	s := start(t, false, options{intern: intern}, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNoContent)
	})
	request := rawhttp.Lines("GET / HTTP/1.1", "Host: h", "X-Long: "+strings.Repeat("x", 1000), "")
	broken, other := s.dial(), s.dial()
	broken.send(request).wantEnd()
	other.send(request).want(http.StatusNoContent, "")
	s.dial().send(request).want(http.StatusNoContent, "")
	if log := s.log.String(); strings.Count(log, "on purpose") != 1 {
		t.Errorf("log %q, want the panic once", log)
	}
}
