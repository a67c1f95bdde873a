// Package gateway runs the whole gateway from a checked configuration.
package gateway

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.uber.org/zap"

	"github.com/certgate/certgate/internal/admin"
	"github.com/certgate/certgate/internal/audit"
	"github.com/certgate/certgate/internal/config"
	"github.com/certgate/certgate/internal/denial"
	"github.com/certgate/certgate/internal/flood"
	"github.com/certgate/certgate/internal/forward"
	"github.com/certgate/certgate/internal/gate"
	"github.com/certgate/certgate/internal/httpapi"
	"github.com/certgate/certgate/internal/lane"
	"github.com/certgate/certgate/internal/remember"
	"github.com/certgate/certgate/internal/upstream"
	"github.com/certgate/certgate/internal/wire"
)

// drainIdle is how long connections may stay idle once the gateway drains. A
// client or load balancer that sends its next request meanwhile gets an answer,
// with Connection: close, instead of a connection that vanished under it.
const drainIdle = time.Second

// Gateway is one running gateway: its listeners and what stands behind them.
type Gateway struct {
	log      *zap.Logger
	recorder *audit.Recorder
	draining atomic.Bool

	guard     *flood.Guard // of every gate: a reload forgives nobody
	reloading sync.Mutex
	config    config.Config // its sources are the last good ones; under reloading
	gate      atomic.Pointer[gate.Gate]

	pool *upstream.Pool
	// headroom is memory that nobody touches, so the machine never gives it. The
	// collector runs when the heap has doubled, and without it that would be every
	// few megabytes.
	headroom []byte

	forwarder *forward.Forwarder
	public    endpoint
	watched   *wire.Listener // the public one
	admin     endpoint       // without a listener when the configuration has none
}

// endpoint is a server and the listener it answers on.
type endpoint struct {
	server   server
	listener net.Listener
}

// server is what [http.Server] and [lane.Server] have in common.
type server interface {
	Serve(l net.Listener) error
	Shutdown(ctx context.Context) error
	Close() error
}

// Options are what a [Gateway] is made of. All fields are required, except
// Listener.
type Options struct {
	Config config.Config
	Log    *zap.Logger
	Level  zap.AtomicLevel
	// Listener, when given, is used instead of binding LISTEN_ADDR: a socket
	// that a parent process holds.
	Listener net.Listener
}

// New builds the gateway and binds its addresses; nothing is answered before
// [Gateway.Run]. A gateway that is not run is closed by cancelling Run's
// context before calling it.
func New(ctx context.Context, o Options) (*Gateway, error) {
	c := o.Config
	registry := newRegistry()
	g := &Gateway{headroom: make([]byte, 16<<20), config: c, log: o.Log, recorder: audit.New(o.Log, registry), guard: newGuard(c, registry)}
	g.gate.Store(newGate(c, g.guard))
	g.pool = newPool(c, o.Log, registry)
	g.forwarder = forward.New(forward.Options{
		Pool: g.pool, Timeout: c.UpstreamTimeout,
		MaxBodyBytes: c.MaxBodyBytes, CredentialHeaders: []string{c.AuthHeader, c.ProxyHeader},
	})
	g.public.server, g.public.listener = g.publicServer(), o.Listener
	if err := g.public.listen(ctx, "LISTEN_ADDR", c.ListenAddr); err != nil {
		return nil, err
	}
	g.watched = wire.NewListener(g.public.listener, wire.Options{
		Refuse: httpapi.NewRefuser(g.recorder, audit.Public, denial.Reason.Status), WriteTimeout: c.WriteTimeout, MaxConnections: int64(c.MaxConnections),
	})
	if c.AdminAddr == "" {
		return g, nil
	}
	g.admin.server = g.server(admin.NewHandler(admin.Options{Ready: g.ready, Gatherer: registry, Level: o.Level, Log: o.Log}))
	if err := g.admin.listen(ctx, "ADMIN_ADDR", c.AdminAddr); err != nil {
		_ = g.public.listener.Close()
		return nil, err
	}
	return g, nil
}

// newGate is the gate of a configuration. It is replaced whole, never changed,
// and what it remembers goes with it. The guard stays.
func newGate(c config.Config, guard *flood.Guard) *gate.Gate {
	verification := gate.Verification{Verifier: c.Verifier(), MaxCredentialBytes: c.MaxCredentialBytes}
	return &gate.Gate{
		Identifier: remember.New(guard.Before(verification)),
		Policy:     c.Rules.Policy,
		Now:        time.Now,
	}
}

func newRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

func (e *endpoint) listen(ctx context.Context, variable, addr string) error {
	if e.listener != nil {
		return nil
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return fmt.Errorf("%s: want an address that can be bound, found %q: %w", variable, addr, err)
	}
	e.listener = l
	return nil
}

func (g *Gateway) publicServer() server {
	c := g.config
	s := g.server(httpapi.NewHandler(httpapi.Options{
		Gate: g.gate.Load, Forwarder: g.forwarder, Recorder: g.recorder, Log: g.log,
		Provenance: newProvenance(c), Draining: g.draining.Load,
	}))
	s.ConnContext = wire.Context
	if !c.FastLane {
		return s
	}
	return lane.New(s, c.WriteTimeout)
}

// server is hardened the same way for everybody: no wait without an end, no
// HTTP/2 in cleartext, a bound on headers.
func (g *Gateway) server(h http.Handler) *http.Server {
	c := g.config
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	s := &http.Server{
		Handler:           h,
		Protocols:         protocols,
		ReadHeaderTimeout: c.ReadHeaderTimeout,
		ReadTimeout:       c.ReadTimeout,
		IdleTimeout:       c.IdleTimeout,
		// Room for the largest credential and one that is over the limit, which
		// then gets its own answer, beside ordinary headers.
		MaxHeaderBytes: 2*c.MaxCredentialBytes + 32<<10,
		// net/http would answer OPTIONS * itself, past the gate and the log.
		DisableGeneralOptionsHandler: true,
	}
	// What net/http has to say is for the operator: a failing Accept, a panic that
	// nobody caught.
	if l, err := zap.NewStdLogAt(g.log, zap.WarnLevel); err == nil {
		s.ErrorLog = l
	}
	return s
}

// Addr is the public listener's address, with the port that was bound.
func (g *Gateway) Addr() net.Addr { return g.public.listener.Addr() }

// AdminAddr is the operator's address, nil when there is none.
func (g *Gateway) AdminAddr() net.Addr {
	if g.admin.listener == nil {
		return nil
	}
	return g.admin.listener.Addr()
}

// Run serves until ctx is done, then drains: not ready any more, no new
// connections, requests in flight are finished within SHUTDOWN_TIMEOUT. It
// returns nil after a clean drain, and an error when a listener failed or
// requests had to be cut. Meanwhile the configuration's files are watched.
func (g *Gateway) Run(ctx context.Context) error {
	failed := make(chan error, 3)
	var serving sync.WaitGroup
	// A server that is closed before it serves closes its listener only then.
	defer serving.Wait()
	serving.Go(func() {
		g.serve(g.public.server, g.watched, failed)
	})
	if g.admin.server != nil {
		serving.Go(func() { g.serve(g.admin.server, g.admin.listener, failed) })
	}
	g.announce()
	// To the very end: requests in flight may still need an address that is back.
	checking, endChecks := context.WithCancel(context.WithoutCancel(ctx))
	defer endChecks() // before serving.Wait
	serving.Go(func() { g.pool.Watch(checking) })
	watching, stop := context.WithCancel(ctx)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		if err := g.watchFiles(watching); err != nil {
			failed <- fmt.Errorf("watching the configuration's files: %w", err)
		}
	}()
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	stop()
	<-watched
	return errors.Join(err, g.shutdown())
}

func (g *Gateway) serve(s server, l net.Listener, failed chan<- error) {
	err := s.Serve(l)
	if !errors.Is(err, http.ErrServerClosed) && !g.draining.Load() {
		failed <- fmt.Errorf("listener %s: %w", l.Addr(), err)
	}
}

func (g *Gateway) announce() {
	g.reloading.Lock() // a SIGHUP may come that early
	defer g.reloading.Unlock()
	if g.config.KeyringFile == "" { // or the watch's first look announces them
		g.announceKeys()
	}
	fields := []zap.Field{zap.String("addr", g.Addr().String()), zap.String("upstream", g.config.UpstreamURL())}
	if a := g.AdminAddr(); a != nil {
		fields = append(fields, zap.String("admin_addr", a.String()))
	}
	g.log.Info("listening", fields...)
}

// announceKeys says what is trusted, and what of it is of no use today. It is
// called under reloading.
func (g *Gateway) announceKeys() {
	now := time.Now()
	for _, a := range g.config.Keyring.Anchors() {
		g.log.Info("trusted key", zap.String("key_id", a.ID().Short()), zap.String("algorithm", a.Algorithm()))
		if ca := a.Certificate(); ca != nil && (now.Before(ca.NotBefore) || now.After(ca.NotAfter)) {
			g.log.Warn("the CA certificate is not valid now, nothing below it passes",
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

// ready is what the operator's /readyz answers.
func (g *Gateway) ready() error {
	if g.draining.Load() {
		return denial.New(denial.Draining, "shutting down")
	}
	return nil
}

// shutdown drains the public server first; the operator's stays until the end,
// so that the drain can be watched.
func (g *Gateway) shutdown() error {
	g.draining.Store(true)
	timeout := g.config.ShutdownTimeout
	g.log.Info("draining", zap.Duration("timeout", timeout))
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	_ = g.public.listener.Close()
	g.awaitIdle(ctx)
	err := g.public.server.Shutdown(ctx)
	if errors.Is(err, net.ErrClosed) { // the listener, above; Shutdown has waited all the same
		err = nil
	}
	if err != nil {
		err = fmt.Errorf("requests were cut after SHUTDOWN_TIMEOUT (%s): %w", timeout, err)
		_ = g.public.server.Close()
	}
	if g.admin.server != nil {
		_ = g.admin.server.Close()
	}
	g.forwarder.Close()
	return err
}

// awaitIdle waits until every connection is closed, but no longer than
// drainIdle: what is open then is idle, or in the middle of a request, which
// Shutdown waits for.
func (g *Gateway) awaitIdle(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, drainIdle)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for g.watched.Open() > 0 {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
