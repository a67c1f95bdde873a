package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
	"go.uber.org/zap"

	"github.com/certgate/certgate/internal/audit"
	"github.com/certgate/certgate/internal/config"
	"github.com/certgate/certgate/internal/gateway"
)

type serveCommand struct{}

// Help is the long text of certgate serve --help.
func (serveCommand) Help() string {
	var b strings.Builder
	b.WriteString(`Example:

  AUTH_PUBLIC_KEY="$(cat keys/master.pub)" ACCESS_RULES_FILE=rules.yaml \
    UPSTREAM_URL=http://127.0.0.1:8081 certgate serve

Environment variables:

`)
	writeVariables(&b)
	b.WriteString(`
On SIGTERM, health checks get 503 while the gateway still accepts requests, for
SHUTDOWN_DELAY or until a second signal. Then the gateway accepts no new connections,
finishes open requests within SHUTDOWN_TIMEOUT, and ends with exit code 0.`)
	return b.String()
}

// writeVariables writes the reference of the environment variables, one table with a
// heading for each group.
func writeVariables(w io.Writer) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	group := ""
	for _, v := range config.Variables() {
		if v.Group != group {
			group = v.Group
			_, _ = fmt.Fprintf(table, "%s:\n", group)
		}
		_, _ = fmt.Fprintf(table, "  %s\t%s\t%s\n", v.Name, v.Default, v.Help)
	}
	_ = table.Flush()
}

// Run reads the configuration, and starts the gateway when it has returned.
func (serveCommand) Run(ctx context.Context, env environment, rest *afterwards) error {
	ignoreBrokenPipe()
	c, err := loadConfig(env)
	if err != nil {
		return err
	}
	*rest = func() error { return serve(ctx, env, &c) }
	return nil
}

// serve runs the gateway until the context ends.
func serve(ctx context.Context, env environment, c *config.Config) error {
	lines := audit.NewBuffer(env.stderr, audit.Policy(c.LogFailure))
	defer func() { _ = lines.Close() }()
	// A signal during the drain ends the program at once. So no line is buffered for
	// long after the first signal.
	defer context.AfterFunc(ctx, func() { lines.End(time.Now().Add(c.ShutdownDelay + c.ShutdownTimeout)) })()
	log, level := audit.NewBufferedLogger(c.LogLevel, c.LogFormat, lines)
	defer captureLogs(log)()
	defer logPanic(log, lines)
	for _, w := range c.Warnings {
		log.Warn("configuration", zap.String("warning", w))
	}
	inherited, err := inheritedListener()
	if err != nil {
		return err
	}
	if inherited != nil {
		if err := c.CheckInherited(inherited.Addr()); err != nil {
			return usageError{err}
		}
	}
	g, err := gateway.New(ctx, gateway.Options{Config: *c, Log: log, Level: level, Listener: inherited, Interrupted: nextSignal, Build: readBuildInfo().forGateway()})
	if err != nil {
		return err
	}
	stop := onHangup(func() {
		defer logPanic(log, lines)
		g.Reload()
	})
	defer stop()
	err = g.Run(ctx)
	switch {
	case err == nil:
		log.Info("stopped")
	case !isTerminal(env.stderr):
		// The line must follow the lines in the buffer, so exitCode must not write it.
		log.Error(failureMessage, zap.Error(err))
		return errSilent
	}
	return err
}

// nextSignal returns a context that is canceled by the next SIGTERM or SIGINT.
func nextSignal(ctx context.Context) (context.Context, context.CancelFunc) {
	return signal.NotifyContext(ctx, syscall.SIGTERM, os.Interrupt)
}

// inheritedListener returns the listening socket that the parent process passes on
// (socket activation, sd_listen_fds(3)), or nil. A restart then refuses no connection,
// because the old and the new gateway accept from the same queue.
func inheritedListener() (net.Listener, error) {
	listeners, err := activation.Listeners()
	switch {
	case err != nil || len(listeners) == 0:
		return nil, err
	case len(listeners) > 1 || listeners[0] == nil:
		return nil, usageError{fmt.Errorf("LISTEN_FDS: want one listening stream socket, found %d sockets", len(listeners))}
	default:
		return listeners[0], nil
	}
}

// onHangup calls f for each SIGHUP until stop is called.
func onHangup(f func()) (stop func()) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGHUP)
	done := make(chan struct{})
	go func() {
		for {
			select {
			case <-done:
				return
			case <-signals:
				f()
			}
		}
	}()
	return func() {
		signal.Stop(signals)
		close(done)
	}
}
