package gateway

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"go.uber.org/zap"
)

// drainIdle is how long connections may stay idle once the gateway drains. A
// client or load balancer that sends its next request meanwhile gets an answer,
// with Connection: close, instead of a connection that vanished under it.
const drainIdle = time.Second

// delay lets health checks fail while everything else goes on, for
// SHUTDOWN_DELAY, so that load balancers choose other gateways before this one
// closes its listeners. An interruption or the failure of a listener, which it
// returns, ends the delay.
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

// shutdown drains every server but the operator's, which stays until the end, so
// that the drain can be watched.
func (g *Gateway) shutdown() error {
	g.stopping.Store(true)
	g.draining.Store(true)
	timeout := g.config.ShutdownTimeout
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	g.log.Info("draining", zap.Duration("timeout", timeout))
	drained := g.drained()
	for _, e := range drained {
		_ = e.listener.Close()
	}
	g.awaitIdle(ctx)
	var all []error
	for _, e := range drained {
		err := e.server.Shutdown(ctx)
		if err == nil || errors.Is(err, net.ErrClosed) { // the listener, above; Shutdown has waited all the same
			continue
		}
		all = append(all, fmt.Errorf("requests were cut after SHUTDOWN_TIMEOUT (%s): %w", timeout, err))
		_ = e.server.Close()
	}
	if g.admin.server != nil {
		_ = g.admin.server.Close()
	}
	g.forwarder.Close()
	return errors.Join(all...)
}

// drained are the endpoints but the operator's.
func (g *Gateway) drained() (list []*endpoint) {
	for _, e := range g.endpoints() {
		if e != &g.admin {
			list = append(list, e)
		}
	}
	return list
}

// awaitIdle waits until every connection is closed, but no longer than
// g.drainIdle: what is open then is idle, or in the middle of a request, which
// Shutdown waits for.
func (g *Gateway) awaitIdle(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, g.drainIdle)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for g.open() > 0 {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// open is how many connections are open.
func (g *Gateway) open() (n int64) {
	for _, e := range g.endpoints() {
		if e.watched != nil {
			n += e.watched.Open()
		}
	}
	return n
}
