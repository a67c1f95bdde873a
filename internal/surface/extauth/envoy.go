package extauth

import (
	"context"
	"net/http"
	"strings"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	auth "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	envoy "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"go.uber.org/zap"
	status "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/certgate/certgate/internal/audit"
	"github.com/certgate/certgate/internal/core/gate"
	"github.com/certgate/certgate/internal/core/headers"
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/proxy/forward"
	"github.com/certgate/certgate/internal/proxy/ingress"
	"github.com/certgate/certgate/internal/surface/problem"
)

// checker implements the server of Envoy's ext_authz filter. It refuses with a denied
// response and not with a gRPC error, because Envoy can be configured to forward a
// request after an error (failure_mode_allow). Messages that are too long or cannot be
// decoded are the exception: gRPC itself refuses them with an error.
type checker struct {
	auth.UnimplementedAuthorizationServer

	Options
	headers forward.Filter
	vary    *forward.Vary
	limiter *receiveLimiter
}

// service returns the gRPC description of ext_authz. It declares Check as a stream, which
// has the same wire format as a unary call. The handler of a stream starts before the
// message is received and can limit when and whether it is received.
func (s *checker) service() *grpc.ServiceDesc {
	return &grpc.ServiceDesc{
		ServiceName: auth.Authorization_ServiceDesc.ServiceName,
		HandlerType: (*auth.AuthorizationServer)(nil),
		Metadata:    auth.Authorization_ServiceDesc.Metadata,
		Streams:     []grpc.StreamDesc{{StreamName: "Check", ClientStreams: true, Handler: s.handle}},
	}
}

// handle receives one check and sends the response.
func (s *checker) handle(_ any, stream grpc.ServerStream) error {
	r := new(auth.CheckRequest)
	if refused := s.limiter.enter(); refused != nil {
		return s.refuse(stream, refused)
	}
	defer s.limiter.leave()
	if err := s.limiter.receive(stream, r); err != nil {
		if refused := refusal.Of(err); refused != nil {
			return s.refuse(stream, refused)
		}
		return err
	}
	res, err := s.Check(stream.Context(), r)
	if err != nil {
		return err
	}
	return stream.SendMsg(res)
}

// refuse records and denies a check that was not received.
func (s *checker) refuse(stream grpc.ServerStream, d *refusal.Error) error {
	q := s.begin(stream.Context(), nil, http.Header{})
	return stream.SendMsg(q.denied(d))
}

// Check decides about the request that the attributes describe.
func (s *checker) Check(ctx context.Context, r *auth.CheckRequest) (res *auth.CheckResponse, _ error) {
	attributes := r.GetAttributes()
	h := headerOf(attributes.GetRequest().GetHttp())
	q := s.begin(ctx, attributes.GetRequest().GetHttp(), h)
	s.Recorder.Enter()
	defer s.Recorder.Leave()
	defer func() {
		if reason := recover(); reason != nil {
			s.Log.Error("panic in a handler", zap.Any("panic", reason), zap.Stack("stack"))
			res = q.denied(refusal.New(refusal.Internal, "a handler panicked"))
		}
	}()
	held := int64(0)
	defer func() { s.limiter.budget.release(held) }()
	d := q.decide(func() (request, *refusal.Error) {
		described, refused := describeAttributes(attributes, h)
		held = s.limiter.hold(&described, attributes.GetRequest().GetHttp())
		return described, refused
	})
	if d.Refusal != nil {
		return q.denied(q.Provenance.AddHint(d.Refusal)), nil
	}
	return q.granted(d, s.toRemove(h, q.from.Metadata), s.vary.Value(q.from.Metadata.SignaturesRead)), nil
}

func (s *checker) begin(ctx context.Context, r *auth.AttributeContext_HttpRequest, h http.Header) authzCheck {
	remote := ""
	if p, ok := peer.FromContext(ctx); ok {
		remote = p.Addr.String()
	}
	var from ingress.Origin
	s.Provenance.Origin(ctx, &from, h, remote, r.GetHost())
	return beginCheck(&s.Options, from, audit.Record{Time: time.Now(), Surface: audit.ExtAuthz})
}

// granted returns the OK response. It contains the identity headers for the service, the
// dynamic metadata for Envoy's access log, and Vary for the service's response.
func (q *authzCheck) granted(d gate.Decision, remove []string, vary string) *auth.CheckResponse {
	ok := &auth.OkHttpResponse{HeadersToRemove: remove, ResponseHeadersToAdd: []*core.HeaderValueOption{{
		Header:       &core.HeaderValue{Key: "vary", Value: vary},
		AppendAction: core.HeaderValueOption_APPEND_IF_EXISTS_OR_ADD,
	}}}
	forward.Identity(d.Grant, q.from.Metadata, func(name, value string) { ok.Headers = append(ok.Headers, option(name, value)) })
	q.save(http.StatusOK, nil)
	return &auth.CheckResponse{
		Status:       &status.Status{Code: int32(codes.OK)},
		HttpResponse: &auth.CheckResponse_OkResponse{OkResponse: ok},
		DynamicMetadata: metadata(map[string]string{
			"client": d.Client.Name(), "rule": d.Rule, "key_id": d.Certificate.ShortKeyID(), "auth": d.Auth, "request_id": q.from.Metadata.RequestID,
		}),
	}
}

// denied returns the denied response. Its status, header and body are the same as in a
// refusal by the public surface.
func (q *authzCheck) denied(d *refusal.Error) *auth.CheckResponse {
	p := problem.Problem{
		Reason: d.Reason, Status: d.Reason.Status(), RequestID: q.from.Metadata.RequestID, Hint: d.Hint,
		Header: q.Provenance.CredentialHeader, AcceptSignature: d.AcceptSignature, RetryAfter: d.RetryAfter,
	}
	h := http.Header{"Content-Type": {problem.ContentType}, headers.Reason: {string(d.Reason)}}
	p.SetHeader(h)
	denied := &auth.DeniedHttpResponse{Status: &envoy.HttpStatus{Code: envoy.StatusCode(p.Status)}, Body: string(p.Document())} //nolint:gosec // a status has three digits
	for name, values := range h {
		denied.Headers = append(denied.Headers, option(name, values[0]))
	}
	code := codes.PermissionDenied
	if p.Status == http.StatusUnauthorized {
		code = codes.Unauthenticated
	}
	q.record.BytesOut = int64(len(denied.Body))
	q.save(p.Status, d)
	return &auth.CheckResponse{
		Status:          &status.Status{Code: int32(code)},
		HttpResponse:    &auth.CheckResponse_DeniedResponse{DeniedResponse: denied},
		DynamicMetadata: metadata(map[string]string{"reason": string(d.Reason), "request_id": q.from.Metadata.RequestID}),
	}
}

// option returns an option that replaces all fields of this name.
func option(name, value string) *core.HeaderValueOption {
	return &core.HeaderValueOption{
		Header:       &core.HeaderValue{Key: strings.ToLower(name), Value: value},
		AppendAction: core.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
	}
}

func metadata(texts map[string]string) *structpb.Struct {
	fields := make(map[string]*structpb.Value, len(texts))
	for name, text := range texts {
		fields[name] = structpb.NewStringValue(text)
	}
	return &structpb.Struct{Fields: fields}
}

// toRemove returns the names of the fields that Envoy must strip before it forwards the
// request. It excludes the identity headers: Envoy overwrites them, and it would remove
// the new values because it removes fields after it sets fields.
func (s *checker) toRemove(h http.Header, hop forward.Metadata) []string {
	names := []string{strings.ToLower(s.Provenance.CredentialHeader)}
	if s.Provenance.ProxyHeader != "" {
		names = append(names, strings.ToLower(s.Provenance.ProxyHeader))
	}
	for name := range h {
		lower := strings.ToLower(name)
		if s.headers.Protects(name) && !isSetByEnvoy(lower) && !overwrites(hop, lower) || hop.SignaturesRead && headers.IsSignature(name) {
			names = append(names, lower)
		}
	}
	return names
}

// overwrites reports whether Envoy replaces a client's field of this name with one of the
// identity headers.
func overwrites(hop forward.Metadata, name string) bool {
	return headers.IsIdentity(name) && (hop.Assertion != "" || !headers.Same(name, headers.ClientAssertion))
}

// isSetByEnvoy reports whether Envoy sets the field itself and needs it to forward the
// request.
func isSetByEnvoy(name string) bool {
	switch http.CanonicalHeaderKey(name) {
	case headers.ContentLength, headers.TransferEncoding, headers.ForwardedFor, headers.ForwardedProto:
		return true
	default:
		return strings.HasPrefix(name, ":")
	}
}
