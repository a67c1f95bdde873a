package gateway

import (
	"context"
	"fmt"
	"net"

	"github.com/certgate/certgate/internal/audit"
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/http1/framing"
	"github.com/certgate/certgate/internal/proxy/forward"
	"github.com/certgate/certgate/internal/surface/extauth"
	"github.com/certgate/certgate/internal/surface/public"
)

// bind binds every address of the configuration, or none.
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

// endpoints are those that have a listener, the operator's last.
func (g *Gateway) endpoints() (list []*endpoint) {
	for _, e := range []*endpoint{&g.public, &g.authz, &g.extAuthz, &g.admin} {
		if e.listener != nil {
			list = append(list, e)
		}
	}
	return list
}

// watch watches the public listener: what net/http refuses there is answered as the
// surface answers.
func (g *Gateway) watch(l net.Listener) *framing.Listener {
	return framing.NewListener(l, g.wireOptions(audit.Public, refusal.Reason.Status))
}

// watchPeers watches the listener for proxies that ask over HTTP. It accepts
// connections of peers only.
func (g *Gateway) watchPeers(l net.Listener) *framing.Listener {
	o, peers := g.wireOptions(audit.Verify, extauth.Status), g.config.AuthzPeers
	o.Admit = func(remote net.Addr) bool { return extauth.Admits(peers, remote) }
	return framing.NewListener(l, o)
}

func (g *Gateway) wireOptions(s audit.Surface, status func(refusal.Reason) int) framing.Options {
	return framing.Options{
		Refuse:       public.NewRefuser(g.recorder, s, status),
		WriteTimeout: g.config.WriteTimeout, MaxConnections: int64(g.config.MaxConnections),
	}
}

func (g *Gateway) authzOptions() extauth.Options {
	return extauth.Options{
		Gate: g.gate.Load, Recorder: g.recorder, Log: g.log,
		Provenance: newProvenance(g.config), Peers: g.config.AuthzPeers,
		Stopping: g.stopping.Load, Draining: g.draining.Load,
	}
}

// What the questions of Envoy may occupy.
const (
	maxEnvoyConnections = 1024
	maxEnvoyStreams     = 256 // on one connection
	maxEnvoyQuestions   = 4096
)

// authzBounds returns the bounds of the gRPC listener. Its timeouts are those of the
// public listener. Beside the header a question carries the certificate of the
// handshake, what Envoy says of the connection, and the content where Envoy sends it.
func (g *Gateway) authzBounds() extauth.Bounds {
	c := g.config
	content := int(min(c.MaxBodyBytes, forward.MaxHeldBody))
	return extauth.Bounds{
		MaxMessageBytes: maxHeaderBytes(c) + c.MaxCredentialBytes + 32<<10 + content,
		MaxHeldBytes:    int(forward.MaxHeld()),
		MaxQuestions:    maxEnvoyQuestions, MaxStreams: maxEnvoyStreams, MaxConnections: min(c.MaxConnections, maxEnvoyConnections),
		HandshakeTimeout: c.ReadHeaderTimeout, MessageTimeout: c.ReadTimeout, IdleTimeout: c.IdleTimeout, WriteTimeout: c.WriteTimeout,
	}
}

// Addr is the public listener's address, with the port that was bound.
func (g *Gateway) Addr() net.Addr { return g.public.listener.Addr() }

// AuthzAddr is where other proxies ask, nil when there is no such address.
func (g *Gateway) AuthzAddr() net.Addr { return g.authz.addr() }

// AuthzGRPCAddr is where Envoy asks, nil when there is no such address.
func (g *Gateway) AuthzGRPCAddr() net.Addr { return g.extAuthz.addr() }

// AdminAddr is the operator's address, nil when there is none.
func (g *Gateway) AdminAddr() net.Addr { return g.admin.addr() }

func (e *endpoint) addr() net.Addr {
	if e.listener == nil {
		return nil
	}
	return e.listener.Addr()
}
