package otlp

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.uber.org/zap/zapcore"

	"github.com/certgate/certgate/internal/audit"
)

// TestStuckCollector checks that spans are dropped and counted while the collector does not
// respond, that half of the queue is reserved for verified clients, and that Shutdown ends
// with its context.
func TestStuckCollector(t *testing.T) {
	stuck := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-stuck }))
	defer s.Close()
	defer close(stuck)
	f := newFixture(t, s.URL)
	for range maxQueued {
		f.Start(caller, time.Now()).End(&audit.Record{Decision: audit.Refused})
	}
	if have := f.dropped(t)["queue_full"]; have != maxQueued/2 {
		t.Errorf("%v spans of unverified requests dropped, want %d", have, maxQueued/2)
	}
	for range maxQueued {
		f.Start(caller, time.Now()).End(granted())
	}
	if have := f.dropped(t)["queue_full"]; have != maxQueued {
		t.Errorf("%v spans dropped, want %d", have, maxQueued)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	f.Shutdown(ctx)
	if n := f.lines(`"spans were lost`); n != 1 || f.lines(`"spans":8192`) != 1 {
		t.Errorf("log %s: want one line with 8192 lost spans", f.log.String())
	}
}

// stuckExporter is a collector that never responds.
type stuckExporter struct{}

func (stuckExporter) ExportSpans(ctx context.Context, _ []sdktrace.ReadOnlySpan) error {
	<-ctx.Done()
	return ctx.Err()
}
func (stuckExporter) Shutdown(context.Context) error { return nil }

// TestShutdownWithStuckCollector checks how long Shutdown waits, with a fake clock.
func TestShutdownWithStuckCollector(t *testing.T) {
	for _, tt := range []struct{ name, limit, want string }{
		{"SHUTDOWN_TIMEOUT is shorter", "200ms", "200ms"},
		{"SHUTDOWN_TIMEOUT is longer", "1h", "5s"},
		{"SHUTDOWN_TIMEOUT is over", "0s", "0s"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				limit, err := time.ParseDuration(tt.limit)
				if err != nil {
					t.Fatal(err)
				}
				f := &fixture{registry: prometheus.NewRegistry()}
				log, _ := audit.NewLogger(zapcore.InfoLevel, "json", zapcore.AddSync(f))
				f.use(newProvider(newQueue(stuckExporter{}, newReporter(log), f.registry), resource.Empty(), log))
				for range 1000 { // two batches
					f.Start(caller, time.Now()).End(granted())
				}
				began := time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), limit)
				defer cancel()
				f.Shutdown(ctx)
				if have := time.Since(began).String(); have != tt.want {
					t.Errorf("%s, want %s", have, tt.want)
				}
				if f.lines(`"spans":1000`) != 1 {
					t.Errorf("log %s: want 1000 lost spans", f.log.String())
				}
			})
		})
	}
}

// TestFailedExports checks that the spans of failed exports are counted, and that a minute
// has one line of the log, which is short.
func TestFailedExports(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, strings.Repeat("no ", 10000), http.StatusBadRequest)
	}))
	defer s.Close()
	f := newFixture(t, s.URL)
	for range 2 {
		f.Start(caller, time.Now()).End(granted())
		if err := f.provider.ForceFlush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	f.Shutdown(t.Context())
	if have := f.dropped(t)["export_failed"]; have != 2 {
		t.Errorf("%v spans dropped, want 2", have)
	}
	if n := f.lines("spans were not exported"); n != 1 || f.log.Len() > 1000 || f.lines("400 Bad Request") != 1 {
		t.Errorf("log %.2000s: want one short line with the status", f.log.String())
	}
}

// TestReports checks that an error that the SDK reports globally is a line of the log.
func TestReports(t *testing.T) {
	t.Setenv("OTEL_TRACES_SAMPLER", "no-such-sampler")
	f := newFixture(t, "http://127.0.0.1:1")
	f.Shutdown(t.Context())
	if f.lines("no-such-sampler") != 1 {
		t.Errorf("log %q: want the unsupported sampler", f.log.String())
	}
}

// TestWithoutProvider checks that a gateway without a collector needs no condition.
func TestWithoutProvider(t *testing.T) {
	var none *Provider
	if none.Tracer() != nil {
		t.Error("found a tracer, want none")
	}
	none.Shutdown(t.Context())
}
