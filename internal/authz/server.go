package authz

import (
	"context"
	"net"
	"time"

	auth "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"github.com/certgate/certgate/internal/forward"
)

// Bounds are what peers can make a [Server] hold. All are required.
type Bounds struct {
	// MaxMessageBytes bounds a question, and with it the header of the request.
	MaxMessageBytes int
	// MaxConnections bounds the connections that are open at a time; one more is
	// closed.
	MaxConnections int
	// HandshakeTimeout is for the first bytes of a connection.
	HandshakeTimeout time.Duration
	// IdleTimeout is how long a connection may be without a question, and how long
	// one that has some may be silent before it is asked for a sign of life.
	IdleTimeout time.Duration
	// WriteTimeout is how long a peer may take to give that or to read an answer.
	WriteTimeout time.Duration
}

const (
	// maxStreams is how many questions may be open on one connection, as many as
	// Envoy by default has open at all addresses of a cluster.
	maxStreams = 1024
	// maxMetadata bounds the header of a question itself, in bytes.
	maxMetadata = 16 << 10
	// keepaliveInterval is the shortest at which a peer may ask for a sign of life.
	keepaliveInterval = 5 * time.Second
)

// Server is the surface for Envoy: ext_authz of the v3 API and gRPC's health check,
// both for peers only. It is safe for concurrent use; [NewServer] makes one.
type Server struct {
	grpc           *grpc.Server
	options        Options
	maxConnections int
}

// NewServer makes a server that has no listener yet.
func NewServer(o Options, b Bounds) *Server {
	s := grpc.NewServer(
		grpc.MaxRecvMsgSize(b.MaxMessageBytes),
		grpc.MaxHeaderListSize(maxMetadata),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.ConnectionTimeout(b.HandshakeTimeout),
		grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionIdle: b.IdleTimeout, Time: b.IdleTimeout, Timeout: b.WriteTimeout}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: keepaliveInterval, PermitWithoutStream: true}),
		grpc.WaitForHandlers(true),
	)
	credentials := []string{o.Provenance.CredentialHeader, o.Provenance.ProxyHeader}
	auth.RegisterAuthorizationServer(s, &checker{
		Options: o, headers: forward.NewFilter(credentials), vary: forward.NewVary(credentials),
	})
	healthpb.RegisterHealthServer(s, health{stopping: o.Stopping})
	return &Server{s, o, b.MaxConnections}
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

// health answers Check only: a Watch would be a question that is open for ever,
// and no drain would come to its end.
type health struct {
	healthpb.UnimplementedHealthServer

	stopping func() bool
}

// Check is about the whole server or the service by name.
func (h health) Check(_ context.Context, r *healthpb.HealthCheckRequest) (*healthpb.HealthCheckResponse, error) {
	switch {
	case r.GetService() != "" && r.GetService() != auth.Authorization_ServiceDesc.ServiceName:
		return nil, status.Error(codes.NotFound, "no such service")
	case h.stopping():
		return &healthpb.HealthCheckResponse{Status: healthpb.HealthCheckResponse_NOT_SERVING}, nil
	default:
		return &healthpb.HealthCheckResponse{Status: healthpb.HealthCheckResponse_SERVING}, nil
	}
}
