package extauth

import (
	"context"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	auth "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/certgate/certgate/internal/core/refusal"
)

// serveEnvoy starts the surface for Envoy and returns a connection to it and the server.
func (b *fixture) serveEnvoy(t *testing.T) (*grpc.ClientConn, *Server) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	bounds := largeBounds()
	bounds.MaxMessageBytes = 64 << 10
	s := NewServer(b.options, bounds)
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	c, err := grpc.NewClient("passthrough:///"+l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Errorf("Serve: %v, want nil", err)
		}
	})
	return c, s
}

// newCheck returns the check that Envoy 1.40 sends for GET /events with mail's certificate,
// without encode_raw_headers. TestEnvoyCheckRequest compares the form with that of a real
// Envoy.
func newCheck(t *testing.T) *auth.CheckRequest {
	t.Helper()
	return &auth.CheckRequest{Attributes: &auth.AttributeContext{
		Source:      &auth.AttributeContext_Peer{Address: socketAddress("198.51.100.7", 49231)},
		Destination: &auth.AttributeContext_Peer{Address: socketAddress("192.0.2.1", 443)},
		Request: &auth.AttributeContext_Request{Http: &auth.AttributeContext_HttpRequest{
			Id: "12797634331110153037", Method: "GET", Path: "/events?a=1", Host: "app.example", Scheme: "https", Protocol: "HTTP/2",
			Headers: map[string]string{
				":authority": "app.example", ":method": "GET", ":path": "/events?a=1", ":scheme": "https",
				"user-agent": "curl/8.5.0", "x-forwarded-for": "198.51.100.7", "x-forwarded-proto": "https", "x-request-id": "11f3e0b2",
				"x-envoy-external-address": "198.51.100.7", "traceparent": "00-" + traceID + "-" + spanID + "-01", "x-ssl-auth": encode(newCertificates(t).mail),
			},
		}},
	}}
}

func socketAddress(host string, port uint32) *core.Address {
	return &core.Address{Address: &core.Address_SocketAddress{SocketAddress: &core.SocketAddress{
		Address: host, PortSpecifier: &core.SocketAddress_PortValue{PortValue: port},
	}}}
}

func httpOf(r *auth.CheckRequest) *auth.AttributeContext_HttpRequest {
	return r.Attributes.Request.Http
}

// encodeRaw converts the header to the form of encode_raw_headers.
func encodeRaw(r *auth.CheckRequest) *auth.CheckRequest {
	h := httpOf(r)
	h.HeaderMap = &core.HeaderMap{}
	for name, value := range h.Headers {
		addRaw(r, name, value)
	}
	h.Headers = nil
	return r
}

func addRaw(r *auth.CheckRequest, name, value string) {
	h := httpOf(r).HeaderMap
	h.Headers = append(h.Headers, &core.HeaderValue{Key: name, RawValue: []byte(value)})
}

func check(t *testing.T, c *grpc.ClientConn, r *auth.CheckRequest) *auth.CheckResponse {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	res, err := auth.NewAuthorizationClient(c).Check(ctx, r)
	if err != nil {
		t.Fatalf("want a response, found %v", err)
	}
	return res
}

// wantDenied checks the response and the record of a refusal.
func wantDenied(t *testing.T, b *fixture, res *auth.CheckResponse, reason refusal.Reason) map[string]any {
	t.Helper()
	denied := res.GetDeniedResponse()
	code := codes.PermissionDenied
	if reason.Status() == http.StatusUnauthorized {
		code = codes.Unauthenticated
	}
	if res.GetOkResponse() != nil || denied == nil || res.Status.GetCode() != int32(code) || int(denied.Status.GetCode()) != reason.Status() ||
		!strings.Contains(denied.Body, `"reason":"`+string(reason)+`"`) || res.DynamicMetadata.Fields["reason"].GetStringValue() != string(reason) {
		t.Fatalf("%v: want %s, code %d and status %d", res, reason, code, reason.Status())
	}
	h := headersOf(t, denied.Headers)
	if h["x-certgate-reason"] != string(reason) || h["content-type"] != "application/problem+json" || h["cache-control"] != "no-store" ||
		(h["www-authenticate"] != "") != (reason.Status() == http.StatusUnauthorized) {
		t.Errorf("header %v: want a problem of %s", h, reason)
	}
	line := b.record(t)
	if line["reason"] != string(reason) || line["decision"] != "refused" || line["surface"] != "ext_authz" || line["detail"] == nil ||
		line["status"] != float64(reason.Status()) || line["request_id"] != h["x-request-id"] {
		t.Errorf("record %v: want %s, refused, of ext_authz, with the request ID of the response", line, reason)
	}
	return line
}

// headersOf returns the options by name. It checks that each replaces existing fields.
func headersOf(t *testing.T, options []*core.HeaderValueOption) map[string]string {
	t.Helper()
	h := map[string]string{}
	for _, o := range options {
		if _, twice := h[o.Header.Key]; twice || o.AppendAction != core.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD || o.Header.Key != strings.ToLower(o.Header.Key) {
			t.Errorf("%v: want each name once, in lower case, and its value in place of the client's", o)
		}
		h[o.Header.Key] = o.Header.Value
	}
	return h
}
