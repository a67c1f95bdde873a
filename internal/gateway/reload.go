package gateway

import (
	"context"
	"slices"

	"go.uber.org/zap"

	"github.com/certgate/certgate/internal/audit"
	"github.com/certgate/certgate/internal/config"
	"github.com/certgate/certgate/internal/watch"
)

// Reload reads the configuration's files again. Each source stands for itself:
// what is good is in force for the next request; where the new content is bad,
// the last good one stays, with an error in the log and a metric, so that a
// broken rules file cannot keep a leaked key alive or the other way round.
// Requests in flight finish under the state they began with.
//
// It may be called at any time and by several goroutines. Readiness stays.
func (g *Gateway) Reload() {
	g.reloading.Lock()
	defer g.reloading.Unlock()
	c := &g.config
	if c.KeyringFile != "" {
		ring, err := config.ReadKeyring(c.KeyringFile, c.Limits.MinRSABits)
		if g.reloaded(audit.Keys, err, "AUTH_PUBLIC_KEY_FILE") {
			c.Keyring = ring
			g.announceKeys()
		}
	}
	if c.RulesFile != "" {
		document, err := config.ReadRules(c.RulesFile)
		if g.reloaded(audit.Rules, err, "ACCESS_RULES_FILE") {
			c.Rules = document
		}
	}
	// After the keys: a list speaks only for an anchor that is in force.
	if len(c.CRLFiles) > 0 {
		lists, err := config.ReadCRLs(c.CRLFiles, c.Keyring)
		if g.reloaded(audit.CRLs, err, "AUTH_CRL_FILE") {
			c.CRLs = lists
		}
	}
	g.gate.Store(newGate(*c))
}

// reloaded records one attempt and reports whether it went well.
func (g *Gateway) reloaded(source audit.Source, err error, variable string) bool {
	g.recorder.Reloaded(source, err)
	if err != nil {
		g.log.Error("not reloaded, the last good content stays in force",
			zap.String("source", string(source)), zap.String("variable", variable), zap.Error(err))
		return false
	}
	g.log.Info("reloaded", zap.String("source", string(source)), zap.String("variable", variable))
	return true
}

// watchFiles reloads when a file changes, until ctx is done.
func (g *Gateway) watchFiles(ctx context.Context) error {
	files := slices.DeleteFunc(append([]string{g.config.KeyringFile, g.config.RulesFile}, g.config.CRLFiles...),
		func(name string) bool { return name == "" })
	if len(files) == 0 {
		return nil
	}
	return watch.Files(ctx, files, func([]string) { g.Reload() })
}
