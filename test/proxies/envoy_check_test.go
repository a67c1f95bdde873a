package proxies

import (
	"encoding/json"
	"strings"
	"testing"

	bootstrap "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	extauthz "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_authz/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	"go.yaml.in/yaml/v4"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/certgate/certgate/test/harness"
)

// TestEnvoyExtAuthzConfiguration checks that Envoy's API accepts the documented
// configuration and that it fails closed.
func TestEnvoyExtAuthzConfiguration(t *testing.T) {
	t.Parallel()
	text := strings.NewReplacer("${ADDRESS}", "127.0.0.1", "${PORT}", "1", "${AUTHZ_HOST}", "127.0.0.1", "${AUTHZ_PORT}", "2",
		"${SERVICE_HOST}", "127.0.0.1", "${SERVICE_PORT}", "3").Replace(string(harness.ReadFile(t, proxyFolder, "envoy-ext-authz.yaml")))
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
