package forward_test

import (
	"net"
	"net/http"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/certgate/certgate/internal/http1/framing"
	"github.com/certgate/certgate/internal/http1/server"
)

// fastServer is a server of package http1/server with its listener.
type fastServer struct {
	*server.Server
	listener net.Listener
	served   chan error
}

func newFastServer(t testing.TB, handler http.Handler, o options) (addr string, s fastServer) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	rest := &http.Server{
		Handler: handler, MaxHeaderBytes: 64 << 10, ReadHeaderTimeout: time.Minute, ReadTimeout: o.readTimeout,
		ConnContext: framing.Context, ConnState: framing.State, ErrorLog: zap.NewStdLog(zap.NewNop()),
	}
	watched := framing.NewListener(l, framing.Options{WriteTimeout: time.Minute})
	s = fastServer{server.New(rest, time.Minute), watched, make(chan error, 1)}
	go func() { s.served <- s.Serve(watched) }()
	t.Cleanup(s.Close)
	return l.Addr().String(), s
}

// Close ends the connections and waits for the server.
func (s fastServer) Close() {
	_ = s.listener.Close()
	_ = s.Server.Close()
	<-s.served
	s.served <- nil // so that Close can be called again
}
