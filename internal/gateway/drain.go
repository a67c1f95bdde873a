package gateway

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"go.uber.org/zap"
)

// drainIdle is the time for which idle connections stay open after the start of the
// drain. A client or load balancer that sends its next request in this time gets a
// response with Connection: close instead of a closed connection.
const drainIdle = time.Second

// delay makes health checks fail and waits for SHUTDOWN_DELAY while requests are served,
// so that load balancers choose other gateways before the listeners are closed. An
// interruption ends the delay. The failure of a listener ends it, too, and is returned.
func (g *Gateway) delay(failed <-chan error) error {
	g.stopping.Store(true)
	if g.config.ShutdownDelay == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), g.config.ShutdownDelay)
	defer cancel()
	if g.interrupted != nil {
		interrupted, stop := g.interrupted(ctx)
		defer stop()
		ctx = interrupted
	}
	g.log.Info("stopping: requests are accepted until the drain", zap.Duration("delay", g.config.ShutdownDelay))
	select {
	case <-ctx.Done():
		return nil
	case err := <-failed:
		return err
	}
}

// shutdown drains every server except the admin server, which is closed last, so that
// operators can monitor the drain. Then it exports the last spans. It returns an error if
// requests were cut.
func (g *Gateway) shutdown() error {
	g.stopping.Store(true)
	g.draining.Store(true)
	timeout := g.config.ShutdownTimeout
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	g.log.Info("draining", zap.Duration("timeout", timeout))
	drainable := g.drainable()
	for _, e := range drainable {
		_ = e.listener.Close()
	}
	g.awaitIdle(ctx)
	var all []error
	for _, e := range drainable {
		err := e.server.Shutdown(ctx)
		// The listener was closed above; Shutdown has waited for the requests nevertheless.
		if err == nil || errors.Is(err, net.ErrClosed) {
			continue
		}
		all = append(all, fmt.Errorf("requests were cut after SHUTDOWN_TIMEOUT (%s): %w", timeout, err))
		_ = e.server.Close()
	}
	if g.admin.server != nil {
		_ = g.admin.server.Close()
	}
	g.forwarder.Close()
	g.spans.Shutdown(ctx)
	return errors.Join(all...)
}

// drainable returns every endpoint except the admin endpoint.
func (g *Gateway) drainable() (list []*endpoint) {
	for _, e := range g.endpoints() {
		if e != &g.admin {
			list = append(list, e)
		}
	}
	return list
}

// awaitIdle waits until every connection is closed, for g.drainIdle at most. The
// connections that are open then are idle or have a request in flight, for which Shutdown
// waits.
func (g *Gateway) awaitIdle(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, g.drainIdle)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for g.openConnections() > 0 {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// openConnections returns the number of open HTTP/1.1 connections, except those of the
// admin listener.
func (g *Gateway) openConnections() (n int64) {
	for _, e := range g.endpoints() {
		if e.framed != nil {
			n += e.framed.Open()
		}
	}
	return n
}
