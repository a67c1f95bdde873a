package extauth

import (
	"context"

	auth "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

// health implements Check of gRPC's health service. Watch is not implemented, because
// its stream never ends and would block a graceful shutdown.
type health struct {
	healthpb.UnimplementedHealthServer

	stopping func() bool
	limiter  *receiveLimiter
}

// service returns the gRPC description of the health service. It declares Check as a
// stream for the same reason as [checker.service].
func (h health) service() *grpc.ServiceDesc {
	return &grpc.ServiceDesc{
		ServiceName: healthpb.Health_ServiceDesc.ServiceName,
		HandlerType: (*healthpb.HealthServer)(nil),
		Metadata:    healthpb.Health_ServiceDesc.Metadata,
		Streams:     []grpc.StreamDesc{{StreamName: "Check", ClientStreams: true, Handler: h.handle}},
	}
}

func (h health) handle(_ any, stream grpc.ServerStream) error {
	r := new(healthpb.HealthCheckRequest)
	if refused := h.limiter.enter(); refused != nil {
		return status.Error(codes.ResourceExhausted, refused.Detail)
	}
	defer h.limiter.leave()
	if err := h.limiter.receive(stream, r); err != nil {
		return status.Error(codes.ResourceExhausted, err.Error())
	}
	res, err := h.Check(stream.Context(), r)
	if err != nil {
		return err
	}
	return stream.SendMsg(res)
}

// Check reports whether the server accepts checks. The service name may be empty or that
// of ext_authz.
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
