// Package collector is an OpenTelemetry collector for tests. It decodes the spans that it
// receives over OTLP/HTTP.
package collector

import (
	"bytes"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"time"

	common "go.opentelemetry.io/proto/otlp/common/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/certgate/certgate/internal/testkit/rawhttp"
)

// timeout bounds the wait for spans. It is longer than the interval of exports.
const timeout = 60 * time.Second

// Collector is a collector that listens on loopback. It is safe for concurrent use.
type Collector struct {
	URL string // the base URL

	mu    sync.Mutex
	spans []Span
	raw   bytes.Buffer
	more  chan struct{} // receives after each export
}

// Span is a received span. Attributes are formatted as text.
type Span struct {
	Name, TraceID, SpanID, ParentID string
	Kind                            otlp.Span_SpanKind
	Failed                          bool // whether its status is an error
	Attributes, Resource            map[string]string
}

// New starts a collector that accepts all spans. The test closes it at its end.
func New(tb rawhttp.TB) *Collector {
	tb.Helper()
	c := &Collector{more: make(chan struct{}, 1)}
	s := httptest.NewServer(c)
	tb.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	c.URL = s.URL
	return c
}

// ServeHTTP receives one export.
func (c *Collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var export otlp.TracesData // encoded like ExportTraceServiceRequest, whose package imports gRPC
	if err != nil || r.Method != http.MethodPost || r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/x-protobuf" || proto.Unmarshal(body, &export) != nil {
		http.Error(w, "want an export of spans in protobuf", http.StatusBadRequest)
		return
	}
	c.add(&export, body)
	w.Header().Set("Content-Type", "application/x-protobuf")
	select {
	case c.more <- struct{}{}:
	default:
	}
}

func (c *Collector) add(export *otlp.TracesData, body []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, _ = c.raw.Write(body)
	for _, of := range export.GetResourceSpans() {
		resource := texts(of.GetResource().GetAttributes())
		for _, scope := range of.GetScopeSpans() {
			for _, s := range scope.GetSpans() {
				c.spans = append(c.spans, Span{
					Name: s.GetName(), Kind: s.GetKind(), Failed: s.GetStatus().GetCode() == otlp.Status_STATUS_CODE_ERROR,
					TraceID: hex.EncodeToString(s.GetTraceId()), SpanID: hex.EncodeToString(s.GetSpanId()), ParentID: hex.EncodeToString(s.GetParentSpanId()),
					Attributes: texts(s.GetAttributes()), Resource: resource,
				})
			}
		}
	}
}

// texts returns attributes as text.
func texts(attributes []*common.KeyValue) map[string]string {
	all := map[string]string{}
	for _, a := range attributes {
		if text, ok := a.GetValue().GetValue().(*common.AnyValue_StringValue); ok {
			all[a.GetKey()] = text.StringValue
			continue
		}
		all[a.GetKey()] = a.GetValue().String()
	}
	return all
}

// Wait returns the spans when at least n have been received.
func (c *Collector) Wait(tb rawhttp.TB, n int) []Span {
	tb.Helper()
	deadline := time.NewTimer(timeout)
	defer deadline.Stop()
	for {
		c.mu.Lock()
		spans := slices.Clone(c.spans)
		c.mu.Unlock()
		if len(spans) >= n {
			return spans
		}
		select {
		case <-c.more:
		case <-deadline.C:
			tb.Fatalf("want %d spans, found %+v", n, spans)
		}
	}
}

// Bytes returns the bodies of all exports.
func (c *Collector) Bytes() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return bytes.Clone(c.raw.Bytes())
}
