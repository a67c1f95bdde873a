// Package agent is a local reverse proxy that signs the requests of programs that
// cannot sign for themselves.
//
// An agent listens on the same machine as the program. It forwards each request to
// one gateway, with the client's certificate attached and signed with the
// certificate's key. The program only needs another base URL.
//
// Every program that can connect to an agent can send requests as its client.
// Therefore an agent listens on loopback addresses and Unix sockets only, unless
// [Options.Exposed] is set, and refuses requests that a browser sends for a web page
// of another origin.
package agent

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/certgate/certgate/internal/tool/signing"
)

// Limits of the connection from the local program. They equal the defaults of the
// gateway's public listener.
const (
	readHeaderTimeout = 10 * time.Second
	readTimeout       = 60 * time.Second // for the request with its body
	idleTimeout       = 120 * time.Second
	maxHeaderBytes    = 64 << 10
)

// Options configure an [Agent].
type Options struct {
	// CertFile and KeyFile are regular files in the form that [signing.Parse]
	// accepts. The agent loads them again when they change.
	CertFile, KeyFile string
	// Target is the gateway's origin, such as https://schedule.example.com.
	Target *url.URL
	// Listen is a host and port, or "unix:" and the path of a socket.
	Listen string
	// Exposed permits an address that other machines can reach.
	Exposed bool
	// Names are further host names, in lower case, by which programs reach the
	// agent. localhost, the host of Listen and IP addresses are always accepted.
	Names []string
	// Header is the gateway's AUTH_HEADER.
	Header string
	// Roots are the CAs that may have signed the target's certificate. If nil, the
	// CAs of the system are used.
	Roots *x509.CertPool
	// MaxBodyBytes is the limit for the body of a request.
	MaxBodyBytes int64
	// ShutdownTimeout is how long open requests may take after Run's context ends.
	ShutdownTimeout time.Duration
	Log             *zap.Logger
	Now             func() time.Time
}

// ErrExposed is the error of [New] for an address that other machines can reach,
// if Exposed is not set.
var ErrExposed = errors.New("every program that reaches the agent can send requests as its client: want a loopback address or a Unix socket")

// Agent is a local listener that signs requests and forwards them to the gateway.
type Agent struct {
	log      *zap.Logger
	options  Options
	reloader *reloader
	listener net.Listener
	guard    guard
	proxy    *httputil.ReverseProxy
	base     *http.Transport
}

// New loads the certificate and binds the address. The agent serves no request
// before [Agent.Run].
//
// New returns an error if the files cannot be used or the address cannot be bound,
// an [ErrExposed], or an [ErrOwnAddress]. A certificate that has expired or is not
// valid yet is not an error, because it may be renewed while the agent runs.
func New(ctx context.Context, o Options) (*Agent, error) {
	reloader, err := newReloader(o)
	if err != nil {
		return nil, err
	}
	l, err := listen(ctx, o.Listen, o.Exposed)
	if err != nil {
		return nil, err
	}
	if isOwnAddress(o.Target, l.Addr(), o.Names) {
		return nil, errors.Join(fmt.Errorf("%w, found %q", ErrOwnAddress, o.Target), l.Close())
	}
	a := &Agent{
		log: o.Log, options: o, reloader: reloader, listener: l,
		guard: newGuard(o), base: newBase(o),
	}
	a.proxy = a.newProxy(&signing.Transport{
		Source: reloader.current.Load, Origin: o.Target.String(), Base: a.base,
		Header: o.Header, MaxBodyBytes: o.MaxBodyBytes,
	})
	return a, nil
}

// Addr returns the address of the listener, with the port that was bound.
func (a *Agent) Addr() net.Addr { return a.listener.Addr() }

// Reload requests that the certificate and key are loaded again. It returns at once;
// the files are read in the background while [Agent.Run] runs. The log contains the
// result: the pair in force; an error, after which the previous pair stays in force;
// or that a file was changed in place less than [filewatch.Quiet] ago and must first
// stay unchanged.
func (a *Agent) Reload() { a.reloader.requestReload() }

// Run serves requests until ctx is done. Then it waits for open requests for at most
// ShutdownTimeout. Run returns an error if the listener failed or requests were
// aborted.
func (a *Agent) Run(ctx context.Context) error {
	a.reloader.logCertificate()
	a.logWarnings()
	server := a.newServer()
	failed := make(chan error, 2)
	var running sync.WaitGroup
	defer running.Wait()
	watching, stop := context.WithCancel(ctx)
	defer stop()
	running.Go(func() {
		if err := a.reloader.run(watching); err != nil {
			failed <- fmt.Errorf("watching the certificate: %w", err)
		}
	})
	running.Go(func() {
		if err := server.Serve(a.listener); !errors.Is(err, http.ErrServerClosed) {
			failed <- err
		}
	})
	a.log.Info("listening", zap.String("addr", a.Addr().String()), zap.String("to", a.options.Target.String()))
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	return errors.Join(err, a.shutdown(server))
}

// logWarnings logs options that weaken the agent's security.
func (a *Agent) logWarnings() {
	if !isPrivate(a.listener.Addr()) {
		a.log.Warn("every program that reaches the agent can send requests as its client, and other machines can reach this address",
			zap.String("addr", a.Addr().String()))
	}
	if a.options.Target.Scheme == "http" {
		a.log.Warn("the target is not https: requests and responses can be read and changed in transit",
			zap.String("to", a.options.Target.String()))
	}
}

func (a *Agent) newServer() *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	s := &http.Server{
		Handler:           a,
		Protocols:         protocols,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		// Otherwise net/http would respond to OPTIONS * itself.
		DisableGeneralOptionsHandler: true,
	}
	if l, err := zap.NewStdLogAt(a.log, zap.WarnLevel); err == nil {
		s.ErrorLog, a.proxy.ErrorLog = l, l
	}
	return s
}

func (a *Agent) shutdown(server *http.Server) error {
	a.log.Info("draining", zap.Duration("timeout", a.options.ShutdownTimeout))
	ctx, cancel := context.WithTimeout(context.Background(), a.options.ShutdownTimeout)
	defer cancel()
	err := server.Shutdown(ctx)
	if err != nil {
		err = fmt.Errorf("open requests were aborted after %s: %w", a.options.ShutdownTimeout, err)
		_ = server.Close()
	}
	a.base.CloseIdleConnections()
	return err
}
