package e2e

import (
	"context"
	"net/http"
	"strings"
	"testing"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	auth "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/test/harness"
)

// checkRequest returns the check that Envoy sends for r: with the values of one name joined
// with commas, or, if raw is true, in the form of encode_raw_headers.
func checkRequest(r harness.Request, raw bool) *auth.CheckRequest {
	attributes := &auth.AttributeContext_HttpRequest{
		Id: "12797634331110153037", Method: r.Method, Path: r.Target, Host: "app.example", Scheme: "https", Protocol: "HTTP/1.1",
	}
	lines := append([]string{":method: " + r.Method, ":path: " + r.Target, ":authority: app.example", ":scheme: https"}, r.Header...)
	if !raw {
		attributes.Headers = map[string]string{}
	} else {
		attributes.HeaderMap = &core.HeaderMap{}
	}
	for _, line := range lines {
		i := strings.Index(line[1:], ":") + 1
		name, value := strings.ToLower(line[:i]), strings.TrimSpace(line[i+1:])
		before, there := attributes.GetHeaders()[name]
		switch {
		case raw:
			attributes.HeaderMap.Headers = append(attributes.HeaderMap.Headers, &core.HeaderValue{Key: name, RawValue: []byte(value)})
		case there:
			attributes.Headers[name] = before + "," + value
		default:
			attributes.Headers[name] = value
		}
	}
	return &auth.CheckRequest{Attributes: &auth.AttributeContext{Request: &auth.AttributeContext_Request{Http: attributes}}}
}

// checkAt sends the check to a gateway.
func checkAt(t *testing.T, addr string, r *auth.CheckRequest) *auth.CheckResponse {
	t.Helper()
	c, err := grpc.NewClient("passthrough:///"+addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), harness.Timeout)
	defer cancel()
	res, err := auth.NewAuthorizationClient(c).Check(ctx, r)
	if err != nil {
		t.Fatalf("want a response, found %v", err)
	}
	return res
}

// byExtAuthz returns a function that sends the check of a request and returns the decision.
func byExtAuthz(raw bool) func(t *testing.T, g *harness.Gateway, r harness.Request) decision {
	return func(t *testing.T, g *harness.Gateway, r harness.Request) decision {
		t.Helper()
		res := checkAt(t, g.Authz.GRPC, checkRequest(r, raw))
		g.Upstream.WantNothing(t)
		ok, denied := res.GetOkResponse(), res.GetDeniedResponse()
		header := http.Header{}
		for _, option := range append(ok.GetHeaders(), denied.GetHeaders()...) {
			header.Add(option.Header.Key, option.Header.Value)
		}
		g.CheckAuditLine(t, header.Get("X-Request-Id"), func(t testing.TB, line harness.AuditLine) {
			t.Helper()
			if line.Surface != "ext_authz" || (line.Decision == "allowed") != (ok != nil) || (res.Status.GetCode() == 0) != (ok != nil) {
				t.Errorf("want the response in the log, found %+v", line)
			}
		})
		if ok != nil {
			return decision{client: header.Get("X-Client-Id"), fingerprint: header.Get("X-Client-Cert-Fingerprint")}
		}
		g.WantProblem(t, harness.Response{Status: int(denied.GetStatus().GetCode()), Header: header, Body: denied.GetBody()}, refusal.Reason(header.Get("X-Certgate-Reason")))
		return decision{reason: header.Get("X-Certgate-Reason")}
	}
}
