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
SIGTERM: health checks get 503 while requests are still accepted, for
SHUTDOWN_DELAY, which a second signal ends. Then no new connections, requests in
flight are finished within SHUTDOWN_TIMEOUT, exit 0.`)
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

// Run reads the configuration and serves until the context ends.
func (serveCommand) Run(ctx context.Context, s surroundings) error {
	surviveReader()
	c, err := loadConfig(s)
	if err != nil {
		return err
	}
	lines := audit.NewBuffer(s.stderr, audit.Policy(c.LogFailure))
	defer func() { _ = lines.Close() }()
	// The signal after the one that begins the drain ends the program at once, so
	// from the first one on no line waits for others.
	defer context.AfterFunc(ctx, func() { lines.End(time.Now().Add(c.ShutdownDelay + c.ShutdownTimeout)) })()
	log, level := audit.NewBufferedLogger(c.LogLevel, c.LogFormat, lines)
	defer captureLogs(log)()
	defer crash(log, lines)
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
	g, err := gateway.New(ctx, gateway.Options{Config: c, Log: log, Level: level, Listener: inherited, Interrupted: nextSignal})
	if err != nil {
		return err
	}
	stop := onHangup(func() {
		defer crash(log, lines)
		g.Reload()
	})
	defer stop()
	err = g.Run(ctx)
	switch {
	case err == nil:
		log.Info("stopped")
	case !isTerminal(s.stderr):
		// Not by report: what is written there must stand behind the lines that a
		// reader has not taken yet.
		log.Error(failureMessage, zap.Error(err))
		return errNo
	}
	return err
}

// nextSignal derives a context that ends with the next SIGTERM or SIGINT.
func nextSignal(ctx context.Context) (context.Context, context.CancelFunc) {
	return signal.NotifyContext(ctx, syscall.SIGTERM, os.Interrupt)
}

// inheritedListener is the socket that a parent process holds for the gateway
// (sd_listen_fds(3)), or nil. With one, a second gateway can take over from the
// first without a refused connection: both accept from the same queue.
func inheritedListener() (net.Listener, error) {
	listeners, err := activation.Listeners()
	switch {
	case err != nil || len(listeners) == 0:
		return nil, err
	case len(listeners) > 1 || listeners[0] == nil:
		return nil, usageError{fmt.Errorf("LISTEN_FDS: want one listening stream socket, found %d of some kind", len(listeners))}
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
