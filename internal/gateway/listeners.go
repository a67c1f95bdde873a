package gateway

import (
	"context"
	"fmt"
	"net"
	"net/http"

	"go.uber.org/zap"

	"github.com/certgate/certgate/internal/audit"
	"github.com/certgate/certgate/internal/config"
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/guard/certcache"
	"github.com/certgate/certgate/internal/http1/framing"
	"github.com/certgate/certgate/internal/http1/server"
	"github.com/certgate/certgate/internal/proxy/body"
	"github.com/certgate/certgate/internal/proxy/ingress"
	"github.com/certgate/certgate/internal/surface/extauth"
	"github.com/certgate/certgate/internal/surface/public"
)

// endpoint is a server and its listener. The listener is nil if the configuration has no
// address for the endpoint.
type endpoint struct {
	server   httpServer
	listener net.Listener
	framed   *framing.Listener // around listener, for HTTP/1.1 servers that are drained; else nil
}

// httpServer has the common methods of [http.Server], [server.Server] and
// [extauth.Server].
type httpServer interface {
	Serve(l net.Listener) error
	Shutdown(ctx context.Context) error
	Close() error
}

// bind binds every address of the configuration. After an error no address is bound.
func (g *Gateway) bind(ctx context.Context) error {
	c := g.config
	for _, b := range []struct {
		endpoint       *endpoint
		variable, addr string
	}{
		{&g.public, "LISTEN_ADDR", c.ListenAddr},
		{&g.authz, "AUTHZ_ADDR", c.AuthzAddr},
		{&g.extAuthz, "AUTHZ_GRPC_ADDR", c.AuthzGRPCAddr},
		{&g.admin, "ADMIN_ADDR", c.AdminAddr},
	} {
		if b.endpoint.listener != nil || b.addr == "" {
			continue
		}
		var lc net.ListenConfig
		l, err := lc.Listen(ctx, "tcp", b.addr)
		if err != nil {
			for _, e := range g.endpoints() {
				_ = e.listener.Close()
			}
			return fmt.Errorf("%s: want an address that can be bound, found %q: %w", b.variable, b.addr, err)
		}
		b.endpoint.listener = l
	}
	return nil
}

// endpoints returns the endpoints that have a listener. The admin endpoint is the last.
func (g *Gateway) endpoints() (list []*endpoint) {
	for _, e := range []*endpoint{&g.public, &g.authz, &g.extAuthz, &g.admin} {
		if e.listener != nil {
			list = append(list, e)
		}
	}
	return list
}

// newFastServer returns a server with the fast path for plain requests, or a net/http
// server if HTTP_FAST_PATH is false. Its listener must be a [framing.Listener].
func (g *Gateway) newFastServer(h http.Handler) httpServer {
	s := g.newServer(h)
	s.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		return ingress.ConnContext(framing.Context(ctx, c), c)
	}
	s.ConnState = framing.State
	if !g.config.FastPath {
		return s
	}
	fast := server.New(s, g.config.WriteTimeout)
	fast.Intern = g.internCredential
	return fast
}

// internCredential returns the cached credential with the same bytes.
func (g *Gateway) internCredential(value []byte) (string, bool) {
	cache, ok := g.gate.Load().Identifier.(*certcache.Cache)
	if !ok {
		return "", false
	}
	return cache.Intern(value)
}

// newServer returns a net/http server with the timeouts and the header limit of the
// configuration, and without HTTP/2.
func (g *Gateway) newServer(h http.Handler) *http.Server {
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
		// Otherwise net/http responds to OPTIONS * without the gate and the audit log.
		DisableGeneralOptionsHandler: true,
	}
	// net/http logs errors of Accept and panics of handlers.
	if l, err := zap.NewStdLogAt(g.log, zap.WarnLevel); err == nil {
		s.ErrorLog = l
	}
	return s
}

// maxHeaderBytes returns the header limit of net/http. A header with a credential up to
// twice the limit still reaches the handler, which responds with credential_too_large.
func maxHeaderBytes(c config.Config) int { return 2*c.MaxCredentialBytes + 32<<10 }

// framePublic returns the listener of the public endpoint, which responds to requests
// that net/http refuses in the format of the public surface.
func (g *Gateway) framePublic(l net.Listener) *framing.Listener {
	return framing.NewListener(l, g.framingOptions(audit.Public, refusal.Reason.Status))
}

// framePeers returns the listener for other proxies that request decisions over HTTP. It
// accepts only connections from AUTHZ_PEERS.
func (g *Gateway) framePeers(l net.Listener) *framing.Listener {
	o, peers := g.framingOptions(audit.Verify, extauth.Status), g.config.AuthzPeers
	o.Admit = func(remote net.Addr) bool { return extauth.Admits(peers, remote) }
	return framing.NewListener(l, o)
}

// framingOptions returns the options of a framing listener of the surface.
func (g *Gateway) framingOptions(s audit.Surface, status func(refusal.Reason) int) framing.Options {
	return framing.Options{
		Refuse:       public.NewRefuser(g.recorder, s, status),
		WriteTimeout: g.config.WriteTimeout, MaxConnections: int64(g.config.MaxConnections),
	}
}

// authzOptions returns the options of both surfaces for other proxies.
func (g *Gateway) authzOptions() extauth.Options {
	return extauth.Options{
		Gate: g.gate.Load, Recorder: g.recorder, Log: g.log, Signer: g.signer.Load, Tracer: g.spans.Tracer(),
		Provenance: newIngress(g.config), Peers: g.config.AuthzPeers,
		Stopping: g.stopping.Load, Draining: g.draining.Load,
	}
}

// Limits of the gRPC listener.
const (
	maxEnvoyConnections = 1024
	maxEnvoyStreams     = 256 // per connection
	maxEnvoyRequests    = 4096
)

// grpcBounds returns the limits of the gRPC listener, with the timeouts of the public
// listener. A message contains the request header, the certificate of the TLS handshake,
// attributes of the connection, and the request body if Envoy sends it.
func (g *Gateway) grpcBounds() extauth.Bounds {
	c := g.config
	longest := int(min(c.MaxBodyBytes, body.MaxHeldBytes))
	return extauth.Bounds{
		MaxMessageBytes: maxHeaderBytes(c) + c.MaxCredentialBytes + 32<<10 + longest,
		MaxHeldBytes:    int(body.DefaultBudget()),
		MaxChecks:       maxEnvoyRequests, MaxStreams: maxEnvoyStreams, MaxConnections: min(c.MaxConnections, maxEnvoyConnections),
		HandshakeTimeout: c.ReadHeaderTimeout, MessageTimeout: c.ReadTimeout, IdleTimeout: c.IdleTimeout, WriteTimeout: c.WriteTimeout,
	}
}

// Addr returns the address of the public listener, with the port that was bound.
func (g *Gateway) Addr() net.Addr { return g.public.listener.Addr() }

// AuthzAddr returns the address for decisions over HTTP, or nil.
func (g *Gateway) AuthzAddr() net.Addr { return g.authz.addr() }

// AuthzGRPCAddr returns the address for decisions over gRPC, or nil.
func (g *Gateway) AuthzGRPCAddr() net.Addr { return g.extAuthz.addr() }

// AdminAddr returns the address of the admin listener, or nil.
func (g *Gateway) AdminAddr() net.Addr { return g.admin.addr() }

// addr returns the address of the listener, or nil.
func (e *endpoint) addr() net.Addr {
	if e.listener == nil {
		return nil
	}
	return e.listener.Addr()
}
