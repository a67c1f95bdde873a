package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	assertion "github.com/certgate/certgate/cmd/certgate/service"
	"github.com/certgate/certgate/cmd/demo/internal/transcript"
	"github.com/certgate/certgate/cmd/schedule/service"
	"github.com/certgate/certgate/internal/audit"
	"github.com/certgate/certgate/internal/config"
	"github.com/certgate/certgate/internal/core/certheader"
	"github.com/certgate/certgate/internal/core/httpsig"
	"github.com/certgate/certgate/internal/gateway"
	"github.com/certgate/certgate/internal/tool/pki"
)

// rules are the access rules. The client mail only attaches its certificate, as in 2012.
// The client social must sign its requests.
const rules = `rules:
  - name: mail-by-certificate
    clients: [mail]
    allow: ["POST /events", "GET /events", "GET /events/{id}"]
  - name: social-by-signature
    clients: [social]
    allow: ["POST /events", "GET /events", "GET /events/{id}"]
    proof: require
`

// The issuer and the audience of the gateway's assertions.
const (
	issuer   = "https://gateway.example"
	audience = "schedule"
)

// system is the running gateway and service with their files.
type system struct {
	dir         string
	gatewayURL  string
	scheduleURL string
	listener    net.Listener // of the schedule service
	callers     map[string]transcript.Caller
	received    atomic.Pointer[transcript.Identity] // the identity in the last request to the service

	cancel  context.CancelFunc
	stopped chan error
	closers []func() error
}

// start creates the keys and certificates and starts the service and the gateway on
// loopback addresses.
func start(ctx context.Context, listen string, now time.Time) (_ *system, err error) {
	dir, err := os.MkdirTemp("", "certgate-demo-")
	if err != nil {
		return nil, err
	}
	s := &system{dir: dir, callers: map[string]transcript.Caller{}, stopped: make(chan error, 1), cancel: func() {}}
	defer func() {
		if err != nil {
			s.cancel()
			err = errors.Join(err, s.close())
		}
	}()
	publicKey, err := s.makeCertificates(now)
	if err != nil {
		return nil, err
	}
	if err := s.listen(ctx); err != nil {
		return nil, err
	}
	if err := s.startGateway(ctx, listen, publicKey); err != nil {
		return nil, err
	}
	return s, s.startSchedule(ctx)
}

// makeCertificates issues a certificate for each caller. It writes the certificate, the
// key and the header value, which curl can send, to the folder.
func (s *system) makeCertificates(now time.Time) (publicKey []byte, err error) {
	master, err := pki.New(pki.Options{Name: "demo master key", Algorithm: pki.P256, Lifetime: 365 * 24 * time.Hour, Now: now.Add(-48 * time.Hour)})
	if err != nil {
		return nil, err
	}
	untrusted, err := pki.New(pki.Options{Name: "another master key", Algorithm: pki.P256, Lifetime: 365 * 24 * time.Hour, Now: now})
	if err != nil {
		return nil, err
	}
	day := 24 * time.Hour
	return master.PublicKeyPEM(), errors.Join(
		s.issue(master, "mail", "mail", now, day),
		s.issue(master, "social", "social", now, day),
		s.issue(master, "billing", "billing", now, day),
		s.issue(untrusted, "untrusted", "mail", now, day),
		s.issue(master, "expired", "mail", now.Add(-day), time.Hour),
	)
}

func (s *system) issue(a *pki.Authority, name, client string, at time.Time, lifetime time.Duration) error {
	key, err := pki.P256.Generate()
	if err != nil {
		return err
	}
	cert, err := a.Issue(pki.Request{Client: client, PublicKey: key.Public(), Lifetime: lifetime, Now: at})
	if err != nil {
		return err
	}
	signer, err := httpsig.NewSigner(cert, key, transcript.CredentialHeader)
	if err != nil {
		return err
	}
	keyPEM, err := pki.EncodeKey(key)
	if err != nil {
		return err
	}
	c := transcript.Caller{Header: certheader.Encode(certheader.Base64DER, cert.Raw), File: s.file(name, "header"), Signer: signer}
	s.callers[name] = c
	return errors.Join(
		os.WriteFile(c.File, []byte(c.Header), 0o600),
		os.WriteFile(s.file(name, "crt"), pki.EncodeCertificate(cert), 0o600),
		os.WriteFile(s.file(name, "key"), keyPEM, 0o600),
	)
}

// file returns the path of a file of the caller. The extension is header, crt or key.
func (s *system) file(caller, extension string) string {
	return filepath.Join(s.dir, caller+"."+extension)
}

// listen opens the listener of the schedule service, whose address the gateway needs.
func (s *system) listen(ctx context.Context) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s.listener, s.scheduleURL = l, "http://"+l.Addr().String()
	s.closers = append(s.closers, func() error {
		_ = l.Close() // the server may have closed it
		return nil
	})
	return nil
}

// startSchedule starts the schedule service, which accepts only requests with an assertion
// of the gateway.
func (s *system) startSchedule(ctx context.Context) error {
	verifier, err := assertion.New(assertion.Options{KeySetURL: s.gatewayURL + "/.well-known/jwks.json", Issuer: issuer, Audience: audience})
	if err != nil {
		return err
	}
	example, err := service.Open(ctx, service.Options{
		Database: filepath.Join(s.dir, "schedule.db"), Log: zap.NewNop(), Now: time.Now, Verifier: verifier,
	})
	if err != nil {
		return err
	}
	s.closers = append(s.closers, example.Close)
	server := &http.Server{Handler: s.recordIdentity(example), ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(s.listener) }()
	s.closers = append(s.closers, server.Close)
	return nil
}

// recordIdentity stores the identity headers of each request to the service.
func (s *system) recordIdentity(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.received.Store(&transcript.Identity{Client: r.Header.Get("X-Client-Id"), Auth: r.Header.Get("X-Client-Auth")})
		next.ServeHTTP(w, r)
	})
}

// forTranscript returns the parts of the system that the transcript uses.
func (s *system) forTranscript() transcript.System {
	return transcript.System{GatewayURL: s.gatewayURL, ScheduleURL: s.scheduleURL, Callers: s.callers, TakeReceived: s.takeReceived}
}

// takeReceived returns the identity of the last request to the service since the previous
// call, or the zero value.
func (s *system) takeReceived() transcript.Identity {
	if received := s.received.Swap(nil); received != nil {
		return *received
	}
	return transcript.Identity{}
}

// startGateway starts the gateway with environment variables, as an operator does.
func (s *system) startGateway(ctx context.Context, listen string, publicKey []byte) error {
	keyFile := s.file("assertion", "key")
	if err := writeKey(keyFile); err != nil {
		return err
	}
	c, err := config.Load(map[string]string{
		"LISTEN_ADDR":        listen,
		"ADMIN_ADDR":         "",
		"AUTH_PUBLIC_KEY":    string(publicKey),
		"ACCESS_RULES":       rules,
		"UPSTREAM_URL":       s.scheduleURL,
		"ASSERTION_KEY_FILE": keyFile,
		"ASSERTION_ISSUER":   issuer,
		"ASSERTION_AUDIENCE": audience,
	})
	if err != nil {
		return err
	}
	logFile, err := os.OpenFile(s.logFile(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	s.closers = append(s.closers, logFile.Close)
	log, level := audit.NewLogger(c.LogLevel, c.LogFormat, zapcore.Lock(logFile))
	g, err := gateway.New(ctx, gateway.Options{Config: c, Log: log, Level: level})
	if err != nil {
		return err
	}
	s.gatewayURL = "http://" + g.Addr().String()
	// The gateway runs until stop, even if the context ends during the transcript.
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.cancel = cancel
	go func() { s.stopped <- g.Run(running) }()
	return nil
}

// writeKey writes a new private key for assertions.
func writeKey(file string) error {
	key, err := pki.Ed25519.Generate()
	if err != nil {
		return err
	}
	text, err := pki.EncodeKey(key)
	if err != nil {
		return err
	}
	return os.WriteFile(file, text, 0o600)
}

func (s *system) logFile() string { return filepath.Join(s.dir, "gateway.log") }

// stop drains the gateway, stops the service and removes the folder.
func (s *system) stop() error {
	http.DefaultClient.CloseIdleConnections() // the gateway would wait for them
	s.cancel()
	return errors.Join(<-s.stopped, s.close())
}

func (s *system) close() error {
	var errs []error
	for _, closer := range slices.Backward(s.closers) {
		errs = append(errs, closer())
	}
	if err := os.RemoveAll(s.dir); err != nil {
		errs = append(errs, fmt.Errorf("temporary folder: %w", err))
	}
	return errors.Join(errs...)
}
