package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/alecthomas/kong"
	"github.com/caarlos0/env/v11"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/certgate/certgate/cmd/certgate/service"
	"github.com/certgate/certgate/cmd/schedule/internal/schedule"
	"github.com/certgate/certgate/cmd/schedule/internal/settings"
)

// Exit codes.
const (
	exitOK      = 0
	exitFailure = 1 // the service failed to start or to run
	exitUsage   = 2 // the command line or a variable is wrong
)

// run serves until ctx ends and returns the exit code. It writes the log to stderr, with
// one JSON object per line.
func run(ctx context.Context, args, environ []string, stdout, stderr io.Writer) int {
	if code, done := parseArgs(args, stdout, stderr); done {
		return code
	}
	s, err := settings.Load(env.ToMap(environ))
	if err != nil {
		_, _ = fmt.Fprintln(stderr, err)
		return exitUsage
	}
	log := newLog(s.LogLevel, stderr)
	if err := serve(ctx, s, log); err != nil {
		log.Error("stopped", zap.Error(err))
		return exitFailure
	}
	return exitOK
}

// parseArgs handles --help and refuses all other arguments. done reports whether the
// program ends with the exit code.
func parseArgs(args []string, stdout, stderr io.Writer) (code int, done bool) {
	var cli struct{}
	parser, err := kong.New(&cli, kong.Name("schedule"), kong.Writers(stdout, stderr),
		kong.Exit(func(status int) { code, done = status, true }),
		kong.Help(func(_ kong.HelpOptions, c *kong.Context) error { return settings.WriteHelp(c.Stdout) }))
	if err == nil {
		_, err = parser.Parse(args)
	}
	if err != nil && !done {
		_, _ = fmt.Fprintf(stderr, "schedule: %v; see schedule --help\n", err)
		return exitUsage, true
	}
	return code, done
}

func newLog(level zapcore.Level, w io.Writer) *zap.Logger {
	encoding := zap.NewProductionEncoderConfig()
	encoding.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	return zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(encoding), zapcore.Lock(zapcore.AddSync(w)), level))
}

// serve opens the database and the listener and serves until ctx ends. Then it waits for
// open requests.
func serve(ctx context.Context, s settings.Settings, log *zap.Logger) (err error) {
	store, err := schedule.Open(ctx, s.Database)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	verifier, err := newVerifier(s, log)
	if err != nil {
		return err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.ListenAddr)
	if err != nil {
		return err
	}
	server := newServer(schedule.NewHandler(schedule.Options{Store: store, Log: log, Verifier: verifier}), log)
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	log.Info("listening", zap.String("addr", listener.Addr().String()), zap.String("database", s.Database))
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	log.Info("draining", zap.Duration("patience", s.ShutdownTimeout))
	return drain(context.WithoutCancel(ctx), server, s.ShutdownTimeout)
}

// newVerifier returns the verifier of assertions, or nil if they are not verified. Refusals
// are in the log line of their request.
func newVerifier(s settings.Settings, log *zap.Logger) (*service.Verifier, error) {
	if s.KeySetURL == "" {
		return nil, nil //nolint:nilnil // without a verifier, X-Client-Id is trusted
	}
	return service.New(service.Options{
		KeySetURL: s.KeySetURL, Issuer: s.Issuer, Audience: s.Audience,
		OnKeyError: func(err error) { log.Error("keys of assertions not fetched", zap.Error(err)) },
	})
}

func newServer(handler http.Handler, log *zap.Logger) *http.Server {
	errorLog, err := zap.NewStdLogAt(log, zapcore.WarnLevel)
	if err != nil {
		errorLog = nil // net/http then uses the standard logger
	}
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      60 * time.Second,
		IdleTimeout:       120 * time.Second,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          errorLog,
	}
}

// drain closes the listener and waits for open requests. It aborts those that are still
// open after the timeout and returns an error.
func drain(ctx context.Context, server *http.Server, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		return errors.Join(fmt.Errorf("want every request to end within %s: %w", timeout, err), server.Close())
	}
	return nil
}
