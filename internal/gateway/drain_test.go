package gateway

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"go.uber.org/zap/zapcore"

	"github.com/certgate/certgate/internal/audit"
	"github.com/certgate/certgate/internal/config"
)

// startWithDelay starts a gateway. A call of interrupt ends its SHUTDOWN_DELAY.
func startWithDelay(t *testing.T, c config.Config) (r *running, interrupt context.CancelFunc) {
	t.Helper()
	interrupted, interrupt := context.WithCancel(context.Background())
	var b buffer
	log, level := audit.NewLogger(c.LogLevel, c.LogFormat, zapcore.AddSync(&b))
	g, err := New(context.Background(), Options{
		Config: c, Log: log, Level: level,
		Interrupted: func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			stop := context.AfterFunc(interrupted, cancel)
			return ctx, func() { stop(); cancel() }
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return runInBackground(t, g, &b), interrupt
}

// TestShutdownDelay checks that after the first signal health checks fail while new
// connections are accepted and served, and that the second signal ends the delay.
func TestShutdownDelay(t *testing.T) {
	t.Parallel()
	s := newFiles(t)
	c := load(t, hello(t), map[string]string{"SHUTDOWN_DELAY": "1h", "AUTH_PUBLIC_KEY_FILE": s.keys, "ACCESS_RULES_FILE": s.rules})
	r, interrupt := startWithDelay(t, c)
	want(t, r, r.Addr(), "/healthz", http.StatusOK, "ok")
	r.cancel()
	eventually(t, "the delay announced", func() bool { return strings.Contains(r.log.String(), "stopping") })
	want(t, r, r.Addr(), "/healthz", http.StatusServiceUnavailable, "draining")
	want(t, r, r.AdminAddr(), "/readyz", http.StatusServiceUnavailable, "draining")
	want(t, r, r.AdminAddr(), "/healthz", http.StatusOK, "ok")
	for range 3 {
		want(t, r, r.Addr(), "/events", http.StatusOK, "hello")
	}
	if strings.Contains(r.log.String(), `"draining"`) {
		t.Errorf("want no drain before the delay has ended, found %s", r.log)
	}
	write(t, s.rules, deniesMail)
	eventually(t, "the rules reloaded during the delay", func() bool {
		status, _, err := r.get(t, r.Addr(), "/events")
		return err == nil && status == http.StatusForbidden
	})
	interrupt()
	r.client.CloseIdleConnections()
	if err := <-r.done; err != nil {
		t.Errorf("Run: %v, want nil", err)
	}
	if !strings.Contains(r.log.String(), `"draining"`) {
		t.Errorf("want a drain after the delay, found %s", r.log)
	}
}

// TestShutdownDelayEnds checks that the delay ends after its time without Interrupted.
func TestShutdownDelayEnds(t *testing.T) {
	c := load(t, hello(t), map[string]string{"SHUTDOWN_DELAY": "10ms"})
	withSignal, interrupt := startWithDelay(t, c)
	defer interrupt()
	for _, r := range []*running{withSignal, start(t, c)} {
		r.cancel()
		if err := <-r.done; err != nil {
			t.Errorf("Run: %v, want nil", err)
		}
		if !strings.Contains(r.log.String(), "stopping") || !isFree(r.Addr().String()) {
			t.Errorf("want a delay and the address free, found %s", r.log)
		}
	}
}

// TestListenerFailsDuringDelay checks that the failure ends the delay and is returned.
func TestListenerFailsDuringDelay(t *testing.T) {
	r, interrupt := startWithDelay(t, load(t, hello(t), map[string]string{"SHUTDOWN_DELAY": "1h"}))
	defer interrupt()
	want(t, r, r.AdminAddr(), "/readyz", http.StatusOK, "ready")
	r.cancel()
	eventually(t, "the delay announced", func() bool { return strings.Contains(r.log.String(), "stopping") })
	r.client.CloseIdleConnections()
	_ = r.public.listener.Close()
	if err := <-r.done; err == nil || !strings.Contains(err.Error(), r.Addr().String()) {
		t.Errorf("Run: %v, want an error that names the listener", err)
	}
}
