package config_test

import (
	"maps"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/config"
)

func TestTraceEndpoint(t *testing.T) {
	const variable = "OTEL_EXPORTER_OTLP_ENDPOINT"
	tests := []struct {
		name  string
		value string
		more  map[string]string
		want  string // a part of the fault, or empty
	}{
		{name: "http", value: "http://127.0.0.1:4318"},
		{name: "https with a path", value: "https://collector.example/otlp/"},
		{name: "https with a CA", value: "https://collector.example", more: map[string]string{"OTEL_EXPORTER_OTLP_CERTIFICATE": "/ca.pem"}},
		{name: "empty", value: "", want: "an empty value"},
		{name: "no scheme", value: "collector:4318", want: "without http:// or https://"},
		{name: "grpc", value: "grpc://collector:4317", want: "without http:// or https://"},
		{name: "no host", value: "http://", want: "without a host"},
		{name: "port without a host", value: "http://:4318", want: "without a host"},
		{name: "empty port", value: "http://collector:", want: "empty port"},
		{name: "not a URL", value: "http://collector:port", want: "not a URL"},
		{name: "password", value: "http://user:secret@collector", want: "user information"},
		{name: "query", value: "http://collector/?token=secret", want: "a query or a fragment"},
		{name: "fragment", value: "http://collector/#secret", want: "a query or a fragment"},
		{name: "protocol grpc", value: "http://collector:4317", more: map[string]string{"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, want: "want http/protobuf"},
		{name: "CA without TLS", value: "http://collector", more: map[string]string{"OTEL_EXPORTER_OTLP_CERTIFICATE": "/ca.pem"}, want: "found an http URL with OTEL_EXPORTER_OTLP_CERTIFICATE"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			environ := required(t)
			maps.Copy(environ, tt.more)
			environ[variable] = tt.value
			c, err := config.Load(environ)
			switch {
			case tt.want == "" && (err != nil || c.TraceEndpoint.String() != tt.value):
				t.Errorf("%v, %v: want %s", c.TraceEndpoint, err, tt.value)
			case tt.want != "" && (err == nil || !strings.HasPrefix(err.Error(), variable+": ") || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "secret")):
				t.Errorf("%v: want a fault of %s with %q", err, variable, tt.want)
			}
		})
	}
}
