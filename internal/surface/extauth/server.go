package extauth

import (
	"context"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	"github.com/certgate/certgate/internal/proxy/forward"
)

// Bounds are what peers can make a [Server] hold. All are required.
type Bounds struct {
	// MaxMessageBytes bounds a question, and with it the header of the request.
	MaxMessageBytes int
	// MaxHeldBytes bounds the questions that are being received on all connections,
	// beyond the first 64 KiB of each, and separately the contents of those that wait
	// for their answer. At least one question can always be received.
	MaxHeldBytes int
	// MaxQuestions bounds the questions that are open at a time on all connections;
	// one more is denied.
	MaxQuestions int
	// MaxStreams bounds the questions that are open at a time on one connection. Envoy
	// opens another connection then.
	MaxStreams int
	// MaxConnections bounds the connections that are open at a time; one more is
	// closed.
	MaxConnections int
	// HandshakeTimeout is the time in which a new connection has to send its first
	// frames.
	HandshakeTimeout time.Duration
	// MessageTimeout is the time between the first and the last byte of a question.
	MessageTimeout time.Duration
	// IdleTimeout is how long a connection may be without a question. A connection
	// that has questions and is silent for as long is pinged.
	IdleTimeout time.Duration
	// WriteTimeout is how long a peer may take to answer a ping.
	WriteTimeout time.Duration
}

const (
	// maxMetadata bounds the HTTP/2 header of a question, in bytes.
	maxMetadata = 16 << 10
	// connectionWindow is how much all questions of a connection may send before gRPC
	// has taken it from the connection, in bytes.
	connectionWindow = 1 << 20
	// minPingInterval is the shortest interval at which a peer may send pings.
	minPingInterval = 5 * time.Second
)

// Server is the surface for Envoy: ext_authz of the v3 API and gRPC's health check,
// both for peers only. It is safe for concurrent use; [NewServer] makes one.
type Server struct {
	grpc           *grpc.Server
	options        Options
	inbox          *inbox
	maxConnections int
}

// NewServer makes a server that has no listener yet.
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
	credentials, in := []string{o.Provenance.CredentialHeader, o.Provenance.ProxyHeader}, newInbox(b)
	c := &checker{Options: o, headers: forward.NewFilter(credentials), vary: forward.NewVary(credentials), inbox: in}
	s.RegisterService(c.service(), c)
	h := health{stopping: o.Stopping, inbox: in}
	s.RegisterService(h.service(), h)
	return &Server{s, o, in, b.MaxConnections}
}

// Serve answers until the listener fails or the server is shut down or closed; after
// a shutdown the error is nil. Connections that are not from a peer are closed before
// a byte is read.
func (s *Server) Serve(l net.Listener) error {
	return s.grpc.Serve(&admission{Listener: l, options: &s.options, most: int64(s.maxConnections)})
}

// Shutdown closes the listener, tells peers to ask elsewhere and waits for the
// questions that are open. When ctx is done first, it cuts them and returns ctx's
// error.
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

// Close cuts every connection.
func (s *Server) Close() error {
	s.grpc.Stop()
	return nil
}
