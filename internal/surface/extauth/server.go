package extauth

import (
	"context"
	"net"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	"github.com/certgate/certgate/internal/proxy/forward"
)

// Bounds limits the resources that peers can make a [Server] use. All fields are
// required.
type Bounds struct {
	// MaxMessageBytes limits a check, including the header of the described request.
	MaxMessageBytes int
	// MaxHeldBytes limits the total size of the checks that are being received on all
	// connections, excluding the first 64 KiB of each. The same limit applies separately
	// to the request contents of the checks that await a response. At least one check
	// can always be received.
	MaxHeldBytes int
	// MaxChecks limits the concurrent checks on all connections. Excess checks are
	// denied.
	MaxChecks int
	// MaxStreams limits the concurrent checks on one connection. At the limit Envoy opens
	// another connection.
	MaxStreams int
	// MaxConnections limits the open connections. Excess connections are closed.
	MaxConnections int
	// HandshakeTimeout limits the time until a new connection has sent its first frames.
	HandshakeTimeout time.Duration
	// MessageTimeout limits the time between the first and the last byte of a check.
	MessageTimeout time.Duration
	// IdleTimeout is the time after which a connection without checks is closed. A
	// connection with open checks is pinged after the same time without traffic.
	IdleTimeout time.Duration
	// WriteTimeout limits the time until a peer acknowledges a ping.
	WriteTimeout time.Duration
}

const (
	// maxMetadata limits the HTTP/2 header of a check, in bytes.
	maxMetadata = 16 << 10
	// connectionWindow is the HTTP/2 flow-control window of a connection, in bytes.
	connectionWindow = 1 << 20
	// minPingInterval is the shortest interval at which a peer may send pings.
	minPingInterval = 5 * time.Second
)

// Server serves Envoy's ext_authz v3 API and gRPC's health check, both for peers only.
// It is safe for concurrent use. Use [NewServer] to create one.
type Server struct {
	grpc           *grpc.Server
	options        Options
	limiter        *receiveLimiter
	maxConnections int
	open           atomic.Int64 // connections
}

// NewServer returns a server without a listener.
func NewServer(o Options, b Bounds) *Server {
	s := grpc.NewServer(
		grpc.MaxRecvMsgSize(b.MaxMessageBytes),
		grpc.MaxHeaderListSize(maxMetadata),
		grpc.MaxConcurrentStreams(uint32(b.MaxStreams)), //nolint:gosec // a few hundred
		// Without fixed windows gRPC adapts them to the peer, to up to 16 MiB.
		grpc.StaticStreamWindowSize(streamWindow),
		grpc.StaticConnWindowSize(connectionWindow),
		grpc.ConnectionTimeout(b.HandshakeTimeout),
		grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionIdle: b.IdleTimeout, Time: b.IdleTimeout, Timeout: b.WriteTimeout}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: minPingInterval, PermitWithoutStream: true}),
		grpc.WaitForHandlers(true),
	)
	credentials, in := []string{o.Provenance.CredentialHeader, o.Provenance.ProxyHeader}, newReceiveLimiter(b)
	c := &checker{Options: o, headers: forward.NewFilter(credentials), vary: forward.NewVary(credentials), limiter: in}
	s.RegisterService(c.service(), c)
	h := health{stopping: o.Stopping, limiter: in}
	s.RegisterService(h.service(), h)
	return &Server{grpc: s, options: o, limiter: in, maxConnections: b.MaxConnections}
}

// Serve accepts connections until the listener fails or the server is shut down or
// closed. After a shutdown the error is nil. Connections from other addresses than the
// peers' are closed before a byte is read.
func (s *Server) Serve(l net.Listener) error {
	return s.grpc.Serve(&peerListener{Listener: l, options: &s.options, limit: int64(s.maxConnections), open: &s.open})
}

// Connections returns the number of open connections, and the maximum.
func (s *Server) Connections() (open, capacity int64) {
	return s.open.Load(), int64(s.maxConnections)
}

// Shutdown closes the listener, sends GOAWAY to the peers and waits for the open checks.
// If ctx is done first, Shutdown closes all connections and returns the error of ctx.
func (s *Server) Shutdown(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.grpc.GracefulStop()
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		s.grpc.Stop()
		<-done
		return ctx.Err()
	}
}

// Close closes the listener and all connections immediately.
func (s *Server) Close() error {
	s.grpc.Stop()
	return nil
}
