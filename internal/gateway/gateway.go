// Package gateway runs the whole gateway from a checked configuration.
package gateway

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.uber.org/zap"

	"github.com/certgate/certgate/internal/admin"
	"github.com/certgate/certgate/internal/audit"
	"github.com/certgate/certgate/internal/config"
	"github.com/certgate/certgate/internal/denial"
	"github.com/certgate/certgate/internal/forward"
	"github.com/certgate/certgate/internal/gate"
	"github.com/certgate/certgate/internal/httpapi"
	"github.com/certgate/certgate/internal/trust"
	"github.com/certgate/certgate/internal/wire"
)

// Gateway is one running gateway: its listeners and what stands behind them.
type Gateway struct {
	config   config.Config
	log      *zap.Logger
	draining atomic.Bool

	forwarder *forward.Forwarder
	public    endpoint
	admin     endpoint // without a listener when the configuration has none
}

// endpoint is a server and the listener it answers on.
type endpoint struct {
	server   *http.Server
	listener net.Listener
}

// New builds the gateway and binds its addresses; nothing is answered before
// [Gateway.Run]. A gateway that is not run is closed by cancelling Run's
// context before calling it.
func New(ctx context.Context, c config.Config, log *zap.Logger, level zap.AtomicLevel) (*Gateway, error) {
	g := &Gateway{config: c, log: log}
	registry := newRegistry()
	g.forwarder = forward.New(forward.Options{
		Upstream: c.Upstream, Timeout: c.UpstreamTimeout,
		MaxBodyBytes: c.MaxBodyBytes, CredentialHeader: c.AuthHeader,
	})
	if err := g.public.listen(ctx, "LISTEN_ADDR", c.ListenAddr, g.publicServer(audit.New(log, registry))); err != nil {
		return nil, err
	}
	if c.AdminAddr == "" {
		return g, nil
	}
	operator := admin.NewHandler(admin.Options{Ready: g.ready, Gatherer: registry, Level: level, Log: log})
	if err := g.admin.listen(ctx, "ADMIN_ADDR", c.AdminAddr, g.server(operator)); err != nil {
		_ = g.public.listener.Close()
		return nil, err
	}
	return g, nil
}

func newRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

func (e *endpoint) listen(ctx context.Context, variable, addr string, s *http.Server) error {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return fmt.Errorf("%s: want an address that can be bound, found %q: %w", variable, addr, err)
	}
	e.server, e.listener = s, l
	return nil
}

func (g *Gateway) publicServer(recorder *audit.Recorder) *http.Server {
	c := g.config
	s := g.server(httpapi.NewHandler(httpapi.Options{
		Gate: &gate.Gate{
			Verifier:           trust.NewVerifier(c.Keyring, c.Rules.Revocations, c.Limits),
			Policy:             c.Rules.Policy,
			MaxCredentialBytes: c.MaxCredentialBytes,
			Now:                time.Now,
		},
		Forwarder: g.forwarder, Recorder: recorder, Log: g.log,
		CredentialHeader: c.AuthHeader, TrustedProxies: c.TrustedProxies,
		Draining: g.draining.Load,
	}))
	s.ConnContext = wire.Context
	return s
}

// server is hardened the same way for everybody: no wait without an end, no
// HTTP/2 in cleartext, a bound on headers.
func (g *Gateway) server(h http.Handler) *http.Server {
	c := g.config
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Server{
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
		ErrorLog:                     zap.NewStdLog(g.log.WithOptions(zap.IncreaseLevel(zap.WarnLevel))),
	}
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
// requests had to be cut.
func (g *Gateway) Run(ctx context.Context) error {
	failed := make(chan error, 2)
	g.serve(g.public.server, wire.Listener{Listener: g.public.listener}, failed)
	if g.admin.server != nil {
		g.serve(g.admin.server, g.admin.listener, failed)
	}
	g.announce()
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	return errors.Join(err, g.shutdown())
}

func (g *Gateway) serve(s *http.Server, l net.Listener, failed chan<- error) {
	go func() {
		if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			failed <- fmt.Errorf("listener %s: %w", l.Addr(), err)
		}
	}()
}

func (g *Gateway) announce() {
	for _, a := range g.config.Keyring.Anchors() {
		g.log.Info("trusted key", zap.String("key_id", a.ID().Short()), zap.String("algorithm", a.Algorithm()))
	}
	fields := []zap.Field{zap.String("addr", g.Addr().String()), zap.String("upstream", g.config.Upstream.String())}
	if a := g.AdminAddr(); a != nil {
		fields = append(fields, zap.String("admin_addr", a.String()))
	}
	g.log.Info("listening", fields...)
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
	g.log.Info("draining", zap.Duration("timeout", g.config.ShutdownTimeout))
	ctx, cancel := context.WithTimeout(context.Background(), g.config.ShutdownTimeout)
	defer cancel()
	err := g.public.server.Shutdown(ctx)
	if err != nil {
		err = fmt.Errorf("requests were cut after SHUTDOWN_TIMEOUT (%s): %w", g.config.ShutdownTimeout, err)
		_ = g.public.server.Close()
	}
	if g.admin.server != nil {
		_ = g.admin.server.Close()
	}
	g.forwarder.Close()
	return err
}
