package gateway

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/certgate/certgate/internal/core/refusal"
)

// maxFailures is the number of goroutines of Run that can fail: four servers, the checks
// of the upstream, of Redis and of certificates, the exchange of the inventory, and the file
// watch.
const maxFailures = 9

// Run serves until ctx is done. Then health checks fail for SHUTDOWN_DELAY while requests
// are still accepted. After the delay the gateway drains: it accepts no connections, and
// requests in flight have SHUTDOWN_TIMEOUT to finish. Run returns nil after a clean drain,
// and an error if a listener failed or requests were cut. The files of the configuration
// are watched until the drain.
func (g *Gateway) Run(ctx context.Context) error {
	failed := make(chan error, maxFailures) // each goroutine sends at most one error
	var serving sync.WaitGroup
	// The Serve method of a server that was closed before it closes the listener.
	defer serving.Wait()
	for _, e := range g.endpoints() {
		serving.Go(func() { g.supervise(failed, func() error { return g.serve(e) }) })
	}
	g.logStart()
	// The checks run until the end of the drain, because requests in flight may need a
	// recovered upstream address or use a nonce.
	checking, endChecks := context.WithCancel(context.WithoutCancel(ctx))
	defer endChecks() // before serving.Wait
	serving.Go(func() { g.supervise(failed, func() error { g.pool.RunHealthChecks(checking); return nil }) })
	serving.Go(func() { g.supervise(failed, func() error { g.nonces.watch(checking); return nil }) })
	serving.Go(func() { g.supervise(failed, func() error { g.expiries.watch(checking); return nil }) })
	serving.Go(func() { g.supervise(failed, func() error { g.usage.Watch(checking); return nil }) })
	watching, stopWatch := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWatch()
	// Run does not wait for the watch, which an unresponsive file system can block.
	go g.supervise(failed, func() error { return g.watchFiles(watching, failed) })
	var err error
	select {
	case <-ctx.Done():
		err = g.delay(failed)
	case err = <-failed:
	}
	stopWatch()
	return errors.Join(err, g.shutdown())
}

// supervise calls f and sends its error to failed. It logs a panic of f in the format of
// the log and sends an error, so that the gateway drains.
func (g *Gateway) supervise(failed chan<- error, f func() error) {
	defer func() {
		if reason := recover(); reason != nil {
			g.log.Error("panic", zap.Any("panic", reason), zap.Stack("stack"))
			failed <- fmt.Errorf("panic: %v", reason)
		}
	}()
	if err := f(); err != nil {
		failed <- err
	}
}

// serve serves an endpoint until it is shut down. It returns nil then, and the error of
// a listener that fails earlier.
func (g *Gateway) serve(e *endpoint) error {
	l := e.listener
	if e.framed != nil {
		l = e.framed
	}
	err := e.server.Serve(l)
	if errors.Is(err, http.ErrServerClosed) || g.draining.Load() {
		return nil
	}
	return fmt.Errorf("listener %s: %w", l.Addr(), err)
}

// logStart logs the configuration in force and the bound addresses.
func (g *Gateway) logStart() {
	g.logKeys()
	g.logAssertionKeys()
	g.log.Info("configuration in force", g.inventoryFields()...)
	g.reportNextAtStart()
	g.expiries.observeClient(g.config.UpstreamSecurity)
	fields := []zap.Field{zap.String("addr", g.Addr().String()), zap.String("upstream", g.config.UpstreamURL())}
	for _, other := range []struct {
		key  string
		addr net.Addr
	}{{"authz_addr", g.AuthzAddr()}, {"authz_grpc_addr", g.AuthzGRPCAddr()}, {"admin_addr", g.AdminAddr()}} {
		if other.addr != nil {
			fields = append(fields, zap.String(other.key, other.addr.String()))
		}
	}
	g.log.Info("listening", fields...)
}

// logKeys logs the trusted keys, and warns of CA certificates outside of their validity
// period and of stale revocation lists. It is called before the file watch starts or with
// reloading held.
func (g *Gateway) logKeys() {
	now := time.Now()
	for _, a := range g.config.Keyring.Anchors() {
		g.log.Info("trusted key", zap.String("key_id", a.ID().Short()), zap.String("algorithm", a.Algorithm()))
		if ca := a.Certificate(); ca != nil && (now.Before(ca.NotBefore) || now.After(ca.NotAfter)) {
			g.log.Warn("the CA certificate is not valid now; certificates that it issued are refused",
				zap.String("key_id", a.ID().Short()), zap.Time("not_before", ca.NotBefore), zap.Time("not_after", ca.NotAfter))
		}
	}
	for _, list := range g.config.CRLs {
		if now.After(list.NextUpdate()) {
			g.log.Warn("the revocation list is stale",
				zap.String("key_id", list.KeyID().Short()), zap.Time("next_update", list.NextUpdate()))
		}
	}
}

// ready returns an error if load balancers should send requests to another gateway.
func (g *Gateway) ready() error {
	if g.stopping.Load() {
		return refusal.New(refusal.Draining, "shutting down")
	}
	return g.recorder.Ready()
}
