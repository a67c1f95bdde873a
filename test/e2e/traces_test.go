package e2e

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	otlp "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/certgate/certgate/internal/core/certheader"
	"github.com/certgate/certgate/internal/testkit/collector"
	"github.com/certgate/certgate/test/harness"
)

// The traceparent of the client.
const (
	traceID     = "4bf92f3577b34da6a3ce929d0e0e4736"
	spanID      = "00f067aa0ba902b7"
	traceparent = "Traceparent: 00-" + traceID + "-" + spanID + "-01"
)

// TestTraces checks the spans of the real binary at a collector: their parents, their
// attributes, the traceparent that the service gets, and that they contain no credential.
func TestTraces(t *testing.T) {
	t.Parallel()
	for name, env := range bothHTTP() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := collector.New(t)
			m := harness.NewMasterKey(t, "p256")
			mail := NewSigner(t, m, harness.OU("mail"))
			g := harness.NewGateway(t, m, harness.AuthzEnabled.With(env).With(harness.Env{
				"OTEL_EXPORTER_OTLP_ENDPOINT": c.URL, "OTEL_SERVICE_NAME": "gate-1", "AUTH_PROOF": "observe", "PUBLIC_AUTHORITY": "app.example",
			}))
			read := harness.Get("/events?token=s3cret-query", mail.Certificate).With(traceparent, "Tracestate: vendor=1")
			head := g.WantAllowed(t, read)
			sent := onlyValue(t, head, "traceparent")
			if !strings.HasPrefix(sent, "00-"+traceID+"-") || strings.Contains(sent, spanID) || onlyValue(t, head, "tracestate") != "vendor=1" {
				t.Errorf("the service got traceparent %q, want the client's trace with another span, and its tracestate", sent)
			}
			covered := mail.Sign(t, harness.PlainRequest("GET", "/events").With(traceparent), harness.SignatureOptions{
				Components: []string{`"@method"`, `"@authority"`, `"@path"`, `"@query"`, `"x-ssl-auth"`, `"traceparent"`},
			})
			if sent := onlyValue(t, g.WantAllowed(t, covered), "traceparent"); "Traceparent: "+sent != traceparent {
				t.Errorf("the service got the covered traceparent %q, want it unchanged", sent)
			}
			refused := harness.Send(t, g.Addr, harness.PlainRequest("GET", "/events").With(traceparent)).Header.Get("X-Request-Id")
			verify := harness.Send(t, g.Authz.HTTP, harness.Request{Method: "GET", Target: "/verify", Header: read.Header}.With("X-Forwarded-Method: GET", "X-Forwarded-Uri: /events"))
			if verify.Status != http.StatusOK {
				t.Errorf("/verify: status %d, want 200", verify.Status)
			}
			g.Stop(t, harness.Terminate) // exports the last spans
			spans := c.Wait(t, 6)

			server := findSpan(t, spans, map[string]string{"certgate.auth": "bearer", "certgate.would_refuse": "proof_missing", "certgate.surface": ""})
			wantSpan(t, server, collector.Span{Name: "GET", Kind: otlp.Span_SPAN_KIND_SERVER, TraceID: traceID, ParentID: spanID}, map[string]string{
				"certgate.decision": "allowed", "certgate.client": "mail", "certgate.rule": "everybody", "certgate.reason": "",
				"http.request.method": "GET", "url.path": "/events", "http.response.status_code": "int_value:200",
			})
			if server.Resource["service.name"] != "gate-1" {
				t.Errorf("resource %v, want the name of OTEL_SERVICE_NAME", server.Resource)
			}
			call := findSpan(t, spans, map[string]string{"parent": server.SpanID})
			wantSpan(t, call, collector.Span{Name: "GET", Kind: otlp.Span_SPAN_KIND_CLIENT, TraceID: traceID, ParentID: server.SpanID}, map[string]string{
				"server.address": "127.0.0.1", "http.response.status_code": "int_value:200", "error.type": "",
			})
			if want := "00-" + traceID + "-" + call.SpanID + "-01"; sent != want {
				t.Errorf("the service got traceparent %q, want %q", sent, want)
			}
			signed := findSpan(t, spans, map[string]string{"certgate.auth": "signed"})
			wantSpan(t, findSpan(t, spans, map[string]string{"parent": signed.SpanID}), collector.Span{Name: "GET", Kind: otlp.Span_SPAN_KIND_CLIENT, TraceID: traceID, ParentID: signed.SpanID}, nil)
			wantSpan(t, findSpan(t, spans, map[string]string{"certgate.request_id": refused}), collector.Span{Name: "GET", Kind: otlp.Span_SPAN_KIND_SERVER, TraceID: traceID, ParentID: spanID}, map[string]string{
				"certgate.decision": "refused", "certgate.reason": "credential_missing", "http.response.status_code": "int_value:401", "certgate.client": "",
			})
			wantSpan(t, findSpan(t, spans, map[string]string{"certgate.surface": "verify"}), collector.Span{Name: "verify", Kind: otlp.Span_SPAN_KIND_SERVER, TraceID: traceID, ParentID: spanID}, map[string]string{
				"certgate.decision": "allowed", "certgate.client": "mail", "url.path": "/events",
			})
			if len(spans) != 6 {
				t.Errorf("%d spans, want 6", len(spans))
			}
			text := string(c.Bytes())
			for _, secret := range []string{"s3cret-query", mail.HeaderValue(certheader.Base64PEM)[:60], covered.Value("Signature")[:40]} {
				if strings.Contains(text, secret) {
					t.Errorf("the spans contain %q", secret)
				}
			}
			harness.RecordOutput("spans of "+t.Name(), text)
		})
	}
}

// onlyValue returns the value of a field that the service must get once.
func onlyValue(t *testing.T, head []string, name string) string {
	t.Helper()
	values := harness.HeaderValues(head, name)
	if len(values) != 1 {
		t.Fatalf("the service got %d fields %s, want one", len(values), name)
	}
	return values[0]
}

// findSpan returns the only span with these attributes. An attribute of the empty text must
// be missing. The name parent stands for the parent's id.
func findSpan(t *testing.T, spans []collector.Span, want map[string]string) collector.Span {
	t.Helper()
	var found []collector.Span
	for _, s := range spans {
		matches := true
		for name, value := range want {
			have := s.Attributes[name]
			if name == "parent" {
				have = s.ParentID
			}
			matches = matches && have == value
		}
		if matches {
			found = append(found, s)
		}
	}
	if len(found) != 1 {
		t.Fatalf("want one span with %v, found %+v among %+v", want, found, spans)
	}
	return found[0]
}

// wantSpan checks the name, the place and some attributes of a span.
func wantSpan(t *testing.T, have, want collector.Span, attributes map[string]string) {
	t.Helper()
	if have.Name != want.Name || have.Kind != want.Kind || have.TraceID != want.TraceID || have.ParentID != want.ParentID || have.Failed {
		t.Errorf("span %+v, want %+v", have, want)
	}
	for name, value := range attributes {
		if have.Attributes[name] != value {
			t.Errorf("span %s: %s %q, want %q", have.SpanID, name, have.Attributes[name], value)
		}
	}
}

// TestTracesWithoutCollector checks that a collector that is out or does not respond loses no
// request, and does not stop the gateway from ending.
func TestTracesWithoutCollector(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	stuck := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	t.Cleanup(stuck.Close)
	t.Cleanup(func() { close(release) }) // after the end of both gateways
	m := harness.NewMasterKey(t, "p256")
	mail := m.Issue(t, harness.OU("mail"))
	for name, url := range map[string]string{"out": "http://" + harness.FreeAddress(t), "stuck": stuck.URL} {
		t.Run(name, func(t *testing.T) {
			g := harness.NewGateway(t, m, harness.Env{
				"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_BSP_SCHEDULE_DELAY": "1", "SHUTDOWN_TIMEOUT": "300ms",
			})
			var workers sync.WaitGroup
			for range 4 {
				workers.Go(func() { sendMany(t, g.Addr, mail, 100) })
			}
			workers.Wait()
			g.Stop(t, harness.Terminate)
			text := g.Stderr.String()
			if n := strings.Count(text, `"spans were not exported"`); name == "out" && n != 1 {
				t.Errorf("%d lines about exports, want one", n)
			}
			if n := strings.Count(text, `"spans were lost`); name == "stuck" && n != 1 {
				t.Errorf("%d lines about lost spans, want one", n)
			}
			for line := range strings.Lines(text) {
				if !strings.HasPrefix(line, "{") {
					t.Errorf("%q, want every line of the log in JSON", line)
				}
			}
		})
	}
}

// sendMany sends n requests on one connection. All must get 200.
func sendMany(t *testing.T, addr string, as harness.Certificate, n int) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	for range n {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, fmt.Sprintf("http://%s/events", addr), http.NoBody)
		if err != nil {
			t.Error(err)
			return
		}
		r.Header.Set("X-SSL-Auth", as.HeaderValue(certheader.Base64PEM))
		res, err := client.Do(r)
		if err != nil {
			t.Error(err)
			return
		}
		_, err = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
		if err != nil || res.StatusCode != http.StatusOK {
			t.Errorf("status %d, %v: want 200", res.StatusCode, err)
			return
		}
	}
}
