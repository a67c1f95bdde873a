package test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	bootstrap "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	extauthz "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_authz/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3" // named in the configuration
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3" // named in the configuration
	auth "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"go.yaml.in/yaml/v4"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/certgate/certgate/internal/core/refusal"
)

// checkRequest asks about r as Envoy does: with the values of one name joined with
// commas, or raw with encode_raw_headers.
func checkRequest(r request, raw bool) *auth.CheckRequest {
	attributes := &auth.AttributeContext_HttpRequest{
		Id: "12797634331110153037", Method: r.method, Path: r.target, Host: "app.example", Scheme: "https", Protocol: "HTTP/1.1",
	}
	lines := append([]string{":method: " + r.method, ":path: " + r.target, ":authority: app.example", ":scheme: https"}, r.header...)
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

// checkAt asks a gateway.
func checkAt(t *testing.T, addr string, r *auth.CheckRequest) *auth.CheckResponse {
	t.Helper()
	c, err := grpc.NewClient("passthrough:///"+addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	res, err := auth.NewAuthorizationClient(c).Check(ctx, r)
	if err != nil {
		t.Fatalf("want an answer, found %v", err)
	}
	return res
}

// byExtAuthz asks about the request as Envoy does.
func byExtAuthz(raw bool) func(t *testing.T, g *gateway, r request) judgement {
	return func(t *testing.T, g *gateway, r request) judgement {
		t.Helper()
		res := checkAt(t, g.authz.grpc, checkRequest(r, raw))
		g.upstream.wantNothing(t)
		ok, denied := res.GetOkResponse(), res.GetDeniedResponse()
		header := http.Header{}
		for _, option := range append(ok.GetHeaders(), denied.GetHeaders()...) {
			header.Add(option.Header.Key, option.Header.Value)
		}
		line := g.auditOf(t, header.Get("X-Request-Id"))
		if line.Surface != "ext_authz" || (line.Decision == "allowed") != (ok != nil) || (res.Status.GetCode() == 0) != (ok != nil) {
			t.Errorf("want the answer in the log, found %+v", line)
		}
		if ok != nil {
			return judgement{client: header.Get("X-Client-Id"), fingerprint: header.Get("X-Client-Cert-Fingerprint")}
		}
		g.wantProblem(t, answer{int(denied.GetStatus().GetCode()), header, denied.GetBody()}, refusal.Reason(header.Get("X-Certgate-Reason")))
		return judgement{reason: header.Get("X-Certgate-Reason")}
	}
}

// TestEnvoyAsks: the documented configuration is one that Envoy's API knows, and
// asks in a way that fails closed.
func TestEnvoyAsks(t *testing.T) {
	t.Parallel()
	text := strings.NewReplacer("${ADDRESS}", "127.0.0.1", "${PORT}", "1", "${AUTHZ_HOST}", "127.0.0.1", "${AUTHZ_PORT}", "2",
		"${SERVICE_HOST}", "127.0.0.1", "${SERVICE_PORT}", "3").Replace(string(readScriptFile(t, proxyFolder, "envoy-ext-authz.yaml")))
	var document any
	if err := yaml.Load([]byte(text), &document); err != nil {
		t.Fatal(err)
	}
	asJSON, err := json.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	var config bootstrap.Bootstrap
	if err := protojson.Unmarshal(asJSON, &config); err != nil {
		t.Fatal(err)
	}
	var manager hcm.HttpConnectionManager
	var filter extauthz.ExtAuthz
	if err := config.StaticResources.Listeners[0].FilterChains[0].Filters[0].GetTypedConfig().UnmarshalTo(&manager); err != nil {
		t.Fatal(err)
	}
	if err := manager.HttpFilters[0].GetTypedConfig().UnmarshalTo(&filter); err != nil {
		t.Fatal(err)
	}
	for _, valid := range []interface{ ValidateAll() error }{&config, &manager, &filter} {
		if err := valid.ValidateAll(); err != nil {
			t.Error(err)
		}
	}
	if filter.FailureModeAllow || !filter.EncodeRawHeaders || filter.AllowedHeaders != nil || filter.DisallowedHeaders != nil ||
		filter.GetGrpcService().GetEnvoyGrpc().GetClusterName() != config.StaticResources.Clusters[0].Name {
		t.Errorf("want certgate asked with every header, and nothing to pass without it, found %v", &filter)
	}
	if config.StaticResources.Clusters[0].HealthChecks[0].GetGrpcHealthCheck() == nil {
		t.Error("want certgate's health asked about, found no check")
	}
}
