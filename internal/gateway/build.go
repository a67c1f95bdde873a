// Package gateway builds a gateway from a validated configuration and runs it.
package gateway

import (
	"context"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.uber.org/zap"

	"github.com/certgate/certgate/internal/audit"
	"github.com/certgate/certgate/internal/config"
	"github.com/certgate/certgate/internal/core/gate"
	"github.com/certgate/certgate/internal/core/httpsig"
	"github.com/certgate/certgate/internal/guard/certcache"
	"github.com/certgate/certgate/internal/guard/throttle"
	"github.com/certgate/certgate/internal/proxy/assertion"
	"github.com/certgate/certgate/internal/proxy/dialer"
	"github.com/certgate/certgate/internal/proxy/forward"
	"github.com/certgate/certgate/internal/proxy/ingress"
	"github.com/certgate/certgate/internal/proxy/upstream"
	"github.com/certgate/certgate/internal/surface/admin"
	"github.com/certgate/certgate/internal/surface/extauth"
	"github.com/certgate/certgate/internal/surface/public"
	"github.com/certgate/certgate/internal/tracing/otlp"
	"github.com/certgate/certgate/internal/usage"
)

// Gateway is one gateway: its listeners with their servers, and the state that they
// share.
type Gateway struct {
	log       *zap.Logger
	registry  *prometheus.Registry
	recorder  *audit.Recorder
	usage     *usage.Store // survives reloads
	build     Build
	started   time.Time
	stopping  atomic.Bool   // health checks fail
	draining  atomic.Bool   // connections are closed; implies stopping
	drainIdle time.Duration // the constant, except in tests

	interrupted func(context.Context) (context.Context, context.CancelFunc)

	throttle  *throttle.Guard // shared by successive gates: a reload keeps failure counts
	nonces    nonceStore      // shared by successive gates: a reload keeps used nonces
	reloader  reloader
	reloading sync.Mutex
	config    config.Config // with the latest valid contents of files; guarded by reloading
	gate      atomic.Pointer[gate.Gate]
	signer    atomic.Pointer[assertion.Signer] // nil without assertions

	dialer    *dialer.Dialer
	expiries  *expiries
	inForce   *inForce
	pool      *upstream.Pool
	upstreams upstreamMetrics
	forwarder *forward.Forwarder
	grpc      *extauth.Server // the server of extAuthz, or nil
	spans     *otlp.Provider  // nil without a collector

	public   endpoint
	authz    endpoint // without a listener if it is not configured, like the following
	extAuthz endpoint
	admin    endpoint
}

// Build describes how the program was built, for the metric certgate_build_info.
type Build struct{ Version, Commit, Go string }

// Options configures a [Gateway]. All fields are required, except Interrupted, Listener and
// Build.
type Options struct {
	Config config.Config
	Log    *zap.Logger
	Level  zap.AtomicLevel
	// Interrupted derives a context that ends when the operator interrupts
	// SHUTDOWN_DELAY. It is called at the start of the delay. Without it the delay
	// cannot be interrupted.
	Interrupted func(context.Context) (context.Context, context.CancelFunc)
	Build       Build
	// Listener replaces the listener on LISTEN_ADDR, such as a socket that was
	// inherited from the parent process.
	Listener net.Listener
}

// New builds a gateway and binds its addresses. It serves requests after the call of
// [Gateway.Run]. To close a gateway without serving, call Run with a cancelled context.
func New(ctx context.Context, o Options) (*Gateway, error) {
	c, registry := o.Config, newRegistry()
	ends := newExpiries(o.Log, registry, time.Now)
	dial := dialer.New(dialer.Options{Timeout: c.UpstreamTimeout, Verified: ends.observeService}, c.UpstreamSecurity)
	g := &Gateway{
		config: c, log: o.Log, registry: registry,
		throttle: newThrottle(c, registry), nonces: newNonceStore(c, o.Log, registry),
		dialer: dial, expiries: ends, pool: newPool(c, dial, o.Log, registry),
		reloader: newReloader(c), interrupted: o.Interrupted, drainIdle: drainIdle,
		inForce: newInForce(registry), build: o.Build, started: time.Now(),
	}
	g.usage = g.newUsage()
	g.recorder = audit.New(o.Log, registry, g.usage.Observe)
	g.upstreams = newUpstreamMetrics(g.pool, registry)
	registerBuild(o.Build, registry)
	g.publishInventory()
	for _, s := range g.sources() {
		if s.name != audit.NextRules || c.Next != nil {
			g.recorder.LoadedAtStart(s.name)
		}
	}
	g.gate.Store(g.newGate())
	signer, err := c.Signer()
	if err != nil {
		return nil, err
	}
	g.signer.Store(signer)
	g.forwarder = forward.New(forward.Options{
		Pool: g.pool, Dialer: dial, Timeout: c.UpstreamTimeout, FastPath: c.FastPath,
		MaxBodyBytes: c.MaxBodyBytes, CredentialHeaders: []string{c.AuthHeader, c.ProxyHeader},
		Signer: g.signer.Load, Observe: g.upstreams.observe,
	})
	if g.spans, err = newSpans(ctx, o, registry); err != nil {
		return nil, err
	}
	g.public.listener = o.Listener
	if err := g.bind(ctx); err != nil {
		g.spans.Shutdown(ctx)
		return nil, err
	}
	g.buildServers(o.Level)
	g.registerResources()
	return g, nil
}

// buildServers creates the server of each endpoint with a listener.
func (g *Gateway) buildServers(level zap.AtomicLevel) {
	c := g.config
	g.public.framed = g.framePublic(g.public.listener)
	g.public.server = g.newFastServer(public.NewHandler(public.Options{
		Gate: g.gate.Load, Forwarder: g.forwarder, Recorder: g.recorder, Log: g.log,
		Provenance: newIngress(c), Stopping: g.stopping.Load, Draining: g.draining.Load, EchoPath: c.EchoPath,
		KeySet: g.keySet(), Tracer: g.spans.Tracer(),
	}))
	if g.authz.listener != nil {
		g.authz.framed = g.framePeers(g.authz.listener)
		g.authz.server = g.newFastServer(extauth.NewHandler(g.authzOptions()))
	}
	if g.extAuthz.listener != nil {
		g.grpc = extauth.NewServer(g.authzOptions(), g.grpcBounds())
		g.extAuthz.server = g.grpc
	}
	if g.admin.listener != nil {
		g.admin.server = g.newServer(admin.NewHandler(admin.Options{
			Ready: g.ready, Gatherer: g.registry, Level: level, Log: g.log,
			Hosts:  append([]string{c.AdminAddr}, c.AdminHosts...),
			KeySet: g.keySet(), Status: g.status,
		}))
	}
}

// newGate returns the gate of the current configuration. A reload replaces the gate and
// its cache of certificates; throttle and nonces are shared with the previous gate.
func (g *Gateway) newGate() *gate.Gate {
	c := g.config
	verification := gate.Verification{Verifier: c.Verifier(), Names: c.Rules.Names, MaxCredentialBytes: c.MaxCredentialBytes}
	made := &gate.Gate{
		Policy:     c.Rules.Policy,
		Signatures: newSignaturePolicy(c, g.throttle, g.nonces),
		Throttle:   g.throttle.Refuse,
	}
	g.compareNext(made, &verification)
	made.Identifier = certcache.New(g.throttle.Wrap(verification))
	return made
}

// newSignaturePolicy returns the signature requirements of a configuration.
func newSignaturePolicy(c config.Config, guard *throttle.Guard, nonces httpsig.Nonces) gate.SignaturePolicy {
	return gate.SignaturePolicy{
		Default: c.Proof,
		Verifier: &httpsig.Verifier{
			CredentialHeader: c.AuthHeader, Authorities: c.PublicAuthorities,
			LegacyRSA: c.LegacyRSAProof, ClockSkew: c.Limits.ClockSkew, Nonces: nonces,
		},
		Guard: guard.Prove, Accepted: guard.Accept, Observer: guard.Observe,
	}
}

// newIngress returns the reader of trusted proxies' headers, which all surfaces use.
func newIngress(c config.Config) *ingress.Reader {
	return ingress.New(ingress.Options{
		CredentialHeader: c.AuthHeader, ProxyHeader: c.ProxyHeader, TrustedProxies: c.TrustedProxies,
		PublicAuthorities: c.PublicAuthorities,
	})
}

// newRegistry returns a registry with the metrics of the process and the Go runtime.
func newRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// registerBuild registers the metric of a build.
func registerBuild(b Build, registry prometheus.Registerer) {
	registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name:        "certgate_build_info",
		Help:        "1 for the version, the commit and the version of Go of the program.",
		ConstLabels: prometheus.Labels{"version": b.Version, "commit": b.Commit, "go_version": b.Go},
	}, func() float64 { return 1 }))
}

// newSpans returns the provider of spans of a configuration, or nil without a collector.
func newSpans(ctx context.Context, o Options, r prometheus.Registerer) (*otlp.Provider, error) {
	if o.Config.TraceEndpoint == nil {
		return nil, nil //nolint:nilnil // a nil Provider has a nil Tracer
	}
	return otlp.New(ctx, otlp.Options{
		Endpoint: o.Config.TraceEndpoint, Version: o.Build.Version, Log: o.Log, Registerer: r,
	})
}

// newThrottle returns the throttle of a configuration and registers its metric.
func newThrottle(c config.Config, r prometheus.Registerer) *throttle.Guard {
	guard := throttle.New(throttle.Options{FailuresPerSecond: c.FailureRate})
	r.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "certgate_held_answers_total",
		Help: "Refusals that were delayed because their source exceeded AUTH_FAILURE_RATE.",
	}, func() float64 { return float64(guard.Delayed()) }))
	return guard
}

// newPool returns the upstream pool of a configuration. It logs each change of an
// address and registers a metric for each address.
func newPool(c config.Config, d *dialer.Dialer, log *zap.Logger, registry prometheus.Registerer) *upstream.Pool {
	p := upstream.New(upstream.Options{
		Addresses: c.Upstreams, MaxInFlight: c.MaxInFlight, Now: time.Now,
		Check: upstream.HealthCheck{
			Path: c.UpstreamHealthPath, Timeout: c.UpstreamTimeout,
			Dial: func(ctx context.Context, u *url.URL) (net.Conn, error) { return d.Dial(ctx, u, nil) },
		},
		Changed: func(change upstream.Change) {
			if change.Up {
				log.Info("upstream is back", zap.String("upstream", change.Name))
				return
			}
			log.Warn("upstream is out", zap.String("upstream", change.Name), zap.Error(change.Err))
		},
	})
	for i := range p.Len() {
		registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name:        "certgate_upstream_up",
			Help:        "1 while an upstream address gets requests, 0 while it gets none because it does not respond.",
			ConstLabels: prometheus.Labels{"upstream": p.Name(i)},
		}, func() float64 { return toFloat(p.Up(i)) }))
	}
	return p
}

// toFloat returns the value of a gauge that reports a state.
func toFloat(state bool) float64 {
	if state {
		return 1
	}
	return 0
}
