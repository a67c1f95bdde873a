// Package agent signs the requests of programs that cannot sign for themselves.
//
// An agent listens beside the program, on this machine, and sends what comes to
// one gateway, with the client's certificate attached and signed with its key.
// The program knows nothing of either: it only has another base URL.
//
// Whoever reaches an agent speaks as its client. So it listens on loopback
// addresses and Unix sockets, unless it is told that more are meant, and answers no
// web page of somebody else.
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

// Bounds of a local program's connection; those of the gateway's own listener have
// the same values by default.
const (
	readHeaderTimeout = 10 * time.Second
	readTimeout       = 60 * time.Second // to the end of the body
	idleTimeout       = 120 * time.Second
	maxHeaderBytes    = 64 << 10
)

// Options are what an [Agent] is made of.
type Options struct {
	// CertFile and KeyFile are regular files with what [signing.Parse] wants. They are
	// read again when they change.
	CertFile, KeyFile string
	// Target is the gateway's origin, such as https://schedule.example.com.
	Target *url.URL
	// Listen is a host and port, or unix: and the path of a socket.
	Listen string
	// Exposed takes an address that is not loopback.
	Exposed bool
	// Names are hosts by which the program knows the agent, in lower case, beside
	// localhost, the one of Listen and every IP address.
	Names []string
	// Header is the gateway's AUTH_HEADER.
	Header string
	// Roots vouch for the target; nil: those of the machine.
	Roots *x509.CertPool
	// MaxBodyBytes is the longest body of a request.
	MaxBodyBytes int64
	// ShutdownTimeout is how long requests may go on once Run's context is done.
	ShutdownTimeout time.Duration
	Log             *zap.Logger
	Now             func() time.Time
}

// ErrExposed is that Listen is not a loopback address and Exposed is not set.
var ErrExposed = errors.New("whoever reaches the agent speaks as its client: want a loopback address or a Unix socket")

// Agent is a listener with what stands behind it.
type Agent struct {
	log      *zap.Logger
	options  Options
	keeper   *keeper
	listener net.Listener
	guard    guard
	proxy    *httputil.ReverseProxy
	base     *http.Transport
}

// New reads the certificate and binds the address; nothing is answered before
// [Agent.Run]. The error is that of the files, an [ErrExposed], or that of the
// address. A certificate that is out of its time is none: there may soon be another.
func New(ctx context.Context, o Options) (*Agent, error) {
	keeper, err := newKeeper(o)
	if err != nil {
		return nil, err
	}
	l, err := listen(ctx, o.Listen, o.Exposed)
	if err != nil {
		return nil, err
	}
	a := &Agent{
		log: o.Log, options: o, keeper: keeper, listener: l,
		guard: newGuard(o), base: newBase(o),
	}
	a.proxy = a.newProxy(&signing.Transport{
		Source: keeper.current.Load, Origin: o.Target.String(), Base: a.base,
		Header: o.Header, MaxBodyBytes: o.MaxBodyBytes,
	})
	return a, nil
}

// Addr is where the agent listens, with the port that was bound.
func (a *Agent) Addr() net.Addr { return a.listener.Addr() }

// Reload asks for a look at the certificate and key, which happens in the
// background while [Agent.Run] runs. The log has the result: the pair in force, an
// error, with which the last good pair stays, or that a file was changed in place
// less than [filewatch.Quiet] ago and has to stay the same first.
func (a *Agent) Reload() { a.keeper.reload() }

// Run serves until ctx is done and then until the requests in flight are finished,
// but no longer than ShutdownTimeout. It returns nil after that, and an error when
// the listener failed or requests had to be cut.
func (a *Agent) Run(ctx context.Context) error {
	a.keeper.announce()
	a.warn()
	server := a.server()
	failed := make(chan error, 2)
	var running sync.WaitGroup
	defer running.Wait()
	watching, stop := context.WithCancel(ctx)
	defer stop()
	running.Go(func() {
		if err := a.keeper.run(watching); err != nil {
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

// warn says what an operator should know of the options.
func (a *Agent) warn() {
	if !isPrivate(a.listener.Addr()) {
		a.log.Warn("whoever reaches the agent speaks as its client, and it listens for more than this machine",
			zap.String("addr", a.Addr().String()))
	}
	if a.options.Target.Scheme == "http" {
		a.log.Warn("the target is not https: whoever is on the way can read and change requests and answers",
			zap.String("to", a.options.Target.String()))
	}
}

func (a *Agent) server() *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	s := &http.Server{
		Handler:           a,
		Protocols:         protocols,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		// net/http would answer OPTIONS * itself.
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
		err = fmt.Errorf("requests were cut after %s: %w", a.options.ShutdownTimeout, err)
		_ = server.Close()
	}
	a.base.CloseIdleConnections()
	return err
}
