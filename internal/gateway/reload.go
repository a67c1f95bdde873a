package gateway

import (
	"context"
	"slices"
	"strings"

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
	attempts := g.readSources()
	if len(attempts) == 0 {
		g.log.Info("nothing to reload: no setting names a file")
		return
	}
	g.gate.Store(g.newGate())
	// Only now: who has read in the log that new content is loaded must not meet
	// the old one any more.
	for _, a := range attempts {
		g.report(a)
	}
}

// attempt is what became of reading one source.
type attempt struct {
	source   audit.Source
	variable string
	file     string // several have commas between
	err      error
}

// readSources replaces those parts of the configuration whose source is good.
func (g *Gateway) readSources() (attempts []attempt) {
	c := &g.config
	if c.KeyringFile != "" {
		ring, err := config.ReadKeyring(c.KeyringFile, c.Limits.MinRSABits)
		if err == nil {
			c.Keyring = ring
		}
		attempts = append(attempts, attempt{audit.Keys, "AUTH_PUBLIC_KEY_FILE", c.KeyringFile, err})
	}
	if c.RulesFile != "" {
		document, err := config.ReadRules(c.RulesFile)
		if err == nil {
			document.Policy = document.Policy.After(c.Rules.Policy)
			c.Rules = document
		}
		attempts = append(attempts, attempt{audit.Rules, "ACCESS_RULES_FILE", c.RulesFile, err})
	}
	// After the keys: a list speaks only for an anchor that is in force.
	if len(c.CRLFiles) > 0 {
		lists, err := config.ReadCRLs(c.CRLFiles, c.Keyring)
		if err == nil {
			c.CRLs = lists
		}
		attempts = append(attempts, attempt{audit.CRLs, "AUTH_CRL_FILE", strings.Join(c.CRLFiles, ","), err})
	}
	return attempts
}

// report counts and logs one attempt.
func (g *Gateway) report(a attempt) {
	g.recorder.Reloaded(a.source, a.err)
	log := g.log.With(zap.String("source", string(a.source)), zap.String("variable", a.variable), zap.String("file", a.file))
	if a.err != nil {
		log.Error("not reloaded, the last good content stays in force", zap.Error(a.err))
		return
	}
	log.Info("reloaded")
	if a.source == audit.Keys {
		g.announceKeys()
	}
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
