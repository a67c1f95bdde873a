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

	"github.com/certgate/certgate/internal/audit"
	"github.com/certgate/certgate/internal/config"
	"github.com/certgate/certgate/internal/core/gate"
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/guard/certcache"
	"github.com/certgate/certgate/internal/guard/throttle"
	"github.com/certgate/certgate/internal/http1/framing"
	"github.com/certgate/certgate/internal/http1/server"
	"github.com/certgate/certgate/internal/proxy/forward"
	"github.com/certgate/certgate/internal/proxy/ingress"
	"github.com/certgate/certgate/internal/proxy/upstream"
	"github.com/certgate/certgate/internal/surface/admin"
	"github.com/certgate/certgate/internal/surface/extauth"
	"github.com/certgate/certgate/internal/surface/public"
)

// Gateway is one running gateway: its listeners and what stands behind them.
type Gateway struct {
	log       *zap.Logger
	recorder  *audit.Recorder
	stopping  atomic.Bool   // health checks fail
	draining  atomic.Bool   // connections are closed; never without stopping
	drainIdle time.Duration // the constant, except in tests

	interrupted func(context.Context) (context.Context, context.CancelFunc)

	guard     *throttle.Guard // of every gate: a reload forgives nobody
	nonces    nonces          // and forgets no signature
	reloader  reloader
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
	authz     endpoint // the others are without a listener when the configuration has none
	extAuthz  endpoint
	admin     endpoint
}

// endpoint is a server and the listener it answers on.
type endpoint struct {
	server   httpServer
	listener net.Listener
	watched  *framing.Listener // the same, for servers that are drained; else nil
}

// server is what [http.Server], [server.Server] and [extauth.Server] have in common.
type httpServer interface {
	Serve(l net.Listener) error
	Shutdown(ctx context.Context) error
	Close() error
}

// Options are what a [Gateway] is made of. All fields are required, except
// Interrupted and Listener.
type Options struct {
	Config config.Config
	Log    *zap.Logger
	Level  zap.AtomicLevel
	// Interrupted derives a context that ends when the operator does not want to
	// wait for SHUTDOWN_DELAY. It is called when the delay begins. Without it the
	// delay always takes its time.
	Interrupted func(context.Context) (context.Context, context.CancelFunc)
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
	g := &Gateway{
		headroom: make([]byte, 16<<20), config: c, log: o.Log, recorder: audit.New(o.Log, registry),
		guard: newGuard(c, registry), interrupted: o.Interrupted, drainIdle: drainIdle,
	}
	g.nonces = newNonces(c, o.Log, registry)
	g.reloader = newReloader(c)
	g.countLoaded()
	g.gate.Store(g.newGate())
	g.pool = newPool(c, o.Log, registry)
	g.forwarder = forward.New(forward.Options{
		Pool: g.pool, Timeout: c.UpstreamTimeout, FastPath: c.FastPath,
		MaxBodyBytes: c.MaxBodyBytes, CredentialHeaders: []string{c.AuthHeader, c.ProxyHeader},
	})
	g.public.listener = o.Listener
	if err := g.bind(ctx); err != nil {
		return nil, err
	}
	g.public.watched = g.watch(g.public.listener)
	g.public.server = g.quick(public.NewHandler(public.Options{
		Gate: g.gate.Load, Forwarder: g.forwarder, Recorder: g.recorder, Log: g.log,
		Provenance: newProvenance(c), Stopping: g.stopping.Load, Draining: g.draining.Load, EchoPath: c.EchoPath,
	}))
	if g.authz.listener != nil {
		g.authz.watched = g.watchPeers(g.authz.listener)
		g.authz.server = g.quick(extauth.NewHandler(g.authzOptions()))
	}
	if g.extAuthz.listener != nil {
		g.extAuthz.server = extauth.NewServer(g.authzOptions(), g.authzBounds())
	}
	if g.admin.listener != nil {
		g.admin.server = g.server(admin.NewHandler(admin.Options{
			Ready: g.ready, Gatherer: registry, Level: o.Level, Log: o.Log,
			Hosts: append([]string{c.AdminAddr}, c.AdminHosts...),
		}))
	}
	return g, nil
}

// newGate is the gate of the configuration. It is replaced whole, never changed,
// and what it remembers of certificates goes with it. The guard and the nonces stay.
func (g *Gateway) newGate() *gate.Gate {
	c := g.config
	verification := gate.Verification{Verifier: c.Verifier(), MaxCredentialBytes: c.MaxCredentialBytes}
	return &gate.Gate{
		Identifier: certcache.New(g.guard.Before(verification)),
		Policy:     c.Rules.Policy,
		Possession: possession(c, g.guard, g.nonces),
		Throttle:   g.guard.Refuse,
	}
}

func newRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// quick returns a server with the fast path for plain requests, or a net/http server if
// HTTP_FAST_PATH is false. Its listener must be one of watch or watchPeers.
func (g *Gateway) quick(h http.Handler) httpServer {
	s := g.server(h)
	s.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		return ingress.Context(framing.Context(ctx, c), c)
	}
	s.ConnState = framing.State
	if !g.config.FastPath {
		return s
	}
	return server.New(s, g.config.WriteTimeout)
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
		MaxHeaderBytes:    maxHeaderBytes(c),
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

// maxHeaderBytes is room for the largest credential and one that is over the
// limit, which then gets its own answer, beside ordinary headers.
func maxHeaderBytes(c config.Config) int { return 2*c.MaxCredentialBytes + 32<<10 }

// Run serves until ctx is done. Then health checks fail while requests are still
// accepted, for SHUTDOWN_DELAY. After that the gateway drains: it accepts no new
// connections, and finishes requests in flight within SHUTDOWN_TIMEOUT. Run
// returns nil after a clean drain, and an error when a listener failed or
// requests had to be cut. The configuration's files are watched until the drain.
func (g *Gateway) Run(ctx context.Context) error {
	failed := make(chan error, 7) // each goroutine below sends at most one error
	var serving sync.WaitGroup
	// A server that is closed before it serves closes its listener only then.
	defer serving.Wait()
	for _, e := range g.endpoints() {
		serving.Go(func() { g.supervise(failed, func() error { return g.serve(e) }) })
	}
	g.announce()
	// To the very end: requests in flight may still need an address that is back, or
	// have their nonces to spend.
	checking, endChecks := context.WithCancel(context.WithoutCancel(ctx))
	defer endChecks() // before serving.Wait
	serving.Go(func() { g.supervise(failed, func() error { g.pool.Watch(checking); return nil }) })
	serving.Go(func() { g.supervise(failed, func() error { g.nonces.watch(checking); return nil }) })
	watching, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	// Nothing waits for the watch: a file system that does not answer can hold it up.
	go g.supervise(failed, func() error { return g.watchFiles(watching, failed) })
	var err error
	select {
	case <-ctx.Done():
		err = g.delay(failed)
	case err = <-failed:
	}
	stop()
	return errors.Join(err, g.shutdown())
}

// supervise calls f and sends its error to failed. A panic of f is logged and sent as an
// error, so that the log has it in its own format and the gateway drains.
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

func (g *Gateway) serve(e *endpoint) error {
	l := e.listener
	if e.watched != nil {
		l = e.watched
	}
	err := e.server.Serve(l)
	if errors.Is(err, http.ErrServerClosed) || g.draining.Load() {
		return nil
	}
	return fmt.Errorf("listener %s: %w", l.Addr(), err)
}

func (g *Gateway) announce() {
	g.announceKeys()
	g.log.Info("configuration in force", g.inventory()...)
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

// announceKeys logs which keys are trusted, and warns of CA certificates and
// revocation lists that are out of their time. It is called before the watch
// begins or under reloading.
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

// ready returns why load balancers should choose another gateway, or nil.
func (g *Gateway) ready() error {
	if g.stopping.Load() {
		return refusal.New(refusal.Draining, "shutting down")
	}
	return g.recorder.Ready()
}
