package main

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

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
	table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, v := range config.Variables() {
		_, _ = fmt.Fprintf(table, "  %s\t%s\t%s\n", v.Name, v.Default, v.Meaning)
	}
	_ = table.Flush()
	b.WriteString(`
SIGTERM drains: not ready, no new connections, requests in flight are finished
within SHUTDOWN_TIMEOUT, then exit 0.`)
	return b.String()
}

// Run reads the configuration and serves until the context ends.
func (serveCommand) Run(ctx context.Context, s surroundings) error {
	c, err := loadConfig(s)
	if err != nil {
		return err
	}
	log, level := audit.NewLogger(c.LogLevel, c.LogFormat, zapcore.Lock(zapcore.AddSync(s.stderr)))
	defer func() { _ = log.Sync() }()
	for _, w := range c.Warnings {
		log.Warn("configuration", zap.String("warning", w))
	}
	g, err := gateway.New(ctx, c, log, level)
	if err != nil {
		return err
	}
	if err := g.Run(ctx); err != nil {
		return err
	}
	log.Info("stopped")
	return nil
}
