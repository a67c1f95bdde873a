package extauth

import (
	"context"

	auth "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

// health answers Check only: a Watch would stay open for ever, and no drain would
// end.
type health struct {
	healthpb.UnimplementedHealthServer

	stopping func() bool
	inbox    *inbox
}

// service describes the health check to gRPC, as a stream for the reason that
// [checker.service] gives.
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
	if refused := h.inbox.enter(); refused != nil {
		return status.Error(codes.ResourceExhausted, refused.Detail)
	}
	defer h.inbox.leave()
	if err := h.inbox.receive(stream, r); err != nil {
		return status.Error(codes.ResourceExhausted, err.Error())
	}
	res, err := h.Check(stream.Context(), r)
	if err != nil {
		return err
	}
	return stream.SendMsg(res)
}

// Check reports whether the whole server, or the service by name, accepts questions.
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
