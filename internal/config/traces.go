package config

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// traceEndpoint is the base URL of an OpenTelemetry collector, or nil.
type traceEndpoint struct {
	url *url.URL
}

func (e *traceEndpoint) UnmarshalText(text []byte) error {
	s := string(text)
	if strings.Contains(s, "@") { // an error must not quote a password
		return errors.New("a URL with user information")
	}
	parsed, err := url.Parse(s)
	switch {
	case err != nil:
		return fmt.Errorf("%s, which is not a URL", quote(s))
	case parsed.Scheme != "http" && parsed.Scheme != "https":
		return fmt.Errorf("%s without http:// or https://", quote(s))
	case parsed.Hostname() == "" || strings.HasSuffix(parsed.Host, ":"):
		return fmt.Errorf("%s without a host or with an empty port", quote(s))
	case strings.ContainsAny(s, "?#"):
		return errors.New("a URL with a query or a fragment")
	}
	e.url = parsed
	return nil
}

// checkTraces adds a fault for variables of OpenTelemetry that contradict the endpoint. The
// SDK reads them itself, and would report the fault when the gateway runs.
func (l *loader) checkTraces(v variables) {
	const variable = "OTEL_EXPORTER_OTLP_ENDPOINT"
	if v.TraceEndpoint.url == nil || l.hasFault(variable) {
		return
	}
	if protocol := l.environ["OTEL_EXPORTER_OTLP_PROTOCOL"]; protocol == "grpc" {
		l.addFault(variable, "found OTEL_EXPORTER_OTLP_PROTOCOL grpc, want http/protobuf and the port for it, which is usually 4318")
	}
	for _, name := range []string{"OTEL_EXPORTER_OTLP_CERTIFICATE", "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE"} {
		if l.environ[name] != "" && v.TraceEndpoint.url.Scheme == "http" {
			l.addFault(variable, fmt.Sprintf("found an http URL with %s, want an https URL", name))
			return
		}
	}
}
