package gateway

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.uber.org/zap"

	"github.com/certgate/certgate/internal/audit"
	"github.com/certgate/certgate/internal/config"
	"github.com/certgate/certgate/internal/filewatch"
	"github.com/certgate/certgate/internal/filewatch/regularfile"
)

// maxNamed is how many dropped denials the log names.
const maxNamed = 20

// reloader keeps what is known of the configuration's files between two looks.
type reloader struct {
	ask      chan struct{}
	crlFiles []regularfile.File     // the newest contents
	failed   map[audit.Source]error // why the newest content is not in force
}

func newReloader(c config.Config) reloader {
	return reloader{
		ask: make(chan struct{}, 1), crlFiles: slices.Clone(c.CRLTexts), failed: map[audit.Source]error{},
	}
}

// source is a part of the configuration that was read from files.
type source struct {
	name     audit.Source
	variable string
	files    []string
	parts    []string // of the inventory
}

// sources are those that can be reloaded, in the order in which they have to be:
// a revocation list speaks only for a key that is in force.
func (g *Gateway) sources() []source {
	c := &g.config
	all := []source{
		{audit.Keys, "AUTH_PUBLIC_KEY_FILE", []string{c.KeyringFile}, []string{"keys"}},
		{audit.Rules, "ACCESS_RULES_FILE", []string{c.RulesFile}, []string{"rules", "denials"}},
		{audit.CRLs, "AUTH_CRL_FILE", c.CRLFiles, []string{"crls"}},
	}
	return slices.DeleteFunc(all, func(s source) bool { return len(s.files) == 0 || s.files[0] == "" })
}

// Reload asks for a look at the configuration's files, which happens in the
// background while [Gateway.Run] runs. The log has a line for every source: that
// it is reloaded, unchanged, faulty, or waits because it was changed in place less
// than [filewatch.Quiet] ago.
//
// It may be called at any time and by several goroutines.
func (g *Gateway) Reload() {
	if len(g.sources()) == 0 {
		g.log.Info("nothing to reload: no setting names a file")
		return
	}
	select {
	case g.reloader.ask <- struct{}{}:
	default: // a look is asked for already
	}
}

// watchFiles reloads when files change, until ctx is done. A panic of a reload is
// sent to failed.
func (g *Gateway) watchFiles(ctx context.Context, failed chan<- error) error {
	var names []string
	for _, s := range g.sources() {
		names = append(names, s.files...)
	}
	if len(names) == 0 {
		return nil
	}
	err := filewatch.Files(ctx, filewatch.Options{
		Names: names, Known: g.config.FileSums, Ask: g.reloader.ask,
		Report: func(look filewatch.Look) {
			g.supervise(failed, func() error { g.reload(look); return nil })
		},
	})
	if err != nil {
		return fmt.Errorf("watching the configuration's files: %w", err)
	}
	return nil
}

// reload puts new contents in force. Each source stands for itself: what is good
// counts for the next request; where the new content is bad, the last good one
// stays, with an error in the log and a metric. So a broken rules file cannot keep
// a leaked key in force, nor the other way round. Requests in flight finish under
// the state they began with.
func (g *Gateway) reload(look filewatch.Look) {
	g.reloading.Lock()
	defer g.reloading.Unlock()
	denials := g.config.Rules.Denials
	attempts := g.readSources(look)
	if slices.ContainsFunc(attempts, func(a attempt) bool { return a.err == nil }) {
		g.gate.Store(g.newGate())
	}
	// Only now: a reader of the log who sees that new content is loaded must not
	// meet the old one any more.
	for _, a := range attempts {
		g.report(a)
	}
	g.reportDropped(denials)
	g.countLoaded()
	if look.Asked {
		g.answer(look, attempts)
	}
}

// attempt is the result of reading one source.
type attempt struct {
	source source
	err    error
}

// readSources replaces those parts of the configuration whose new content is good.
func (g *Gateway) readSources(look filewatch.Look) (attempts []attempt) {
	newKeys := false
	for _, s := range g.sources() {
		files := slices.DeleteFunc(slices.Clone(look.Changed), func(f regularfile.File) bool {
			return !slices.Contains(s.files, f.Name)
		})
		// Lists have to be read again for other keys.
		again := s.name == audit.CRLs && newKeys
		if len(files) == 0 && !again {
			continue
		}
		before := g.reloader.failed[s.name]
		err := g.readSource(s.name, files)
		g.reloader.failed[s.name] = err
		newKeys = newKeys || s.name == audit.Keys && err == nil
		if len(files) > 0 || err != nil || before != nil {
			attempts = append(attempts, attempt{s, err})
		}
	}
	return attempts
}

// readSource replaces one part of the configuration if the new content is good.
func (g *Gateway) readSource(name audit.Source, files []regularfile.File) error {
	c := &g.config
	switch name {
	case audit.Keys:
		ring, err := config.ParseKeyring(files[0], c.Limits.MinRSABits)
		if err != nil {
			return err
		}
		c.Keyring = ring
	case audit.Rules:
		document, err := config.ParseRules(files[0])
		if err != nil {
			return err
		}
		document.Policy = document.Policy.After(c.Rules.Policy)
		c.Rules = document
	case audit.CRLs:
		newest := slices.Clone(g.reloader.crlFiles)
		for i, known := range newest {
			if j := slices.IndexFunc(files, func(f regularfile.File) bool { return f.Name == known.Name }); j >= 0 {
				newest[i] = files[j]
			}
		}
		g.reloader.crlFiles = newest
		lists, err := config.ParseCRLs(newest, c.Keyring)
		if err != nil {
			return err
		}
		c.CRLs, c.CRLTexts = lists, newest
	default:
		return errors.New("want keys, rules or crls")
	}
	return nil
}

// report counts and logs one attempt.
func (g *Gateway) report(a attempt) {
	g.recorder.Reloaded(a.source.name, a.err)
	log := g.logOf(a.source)
	if a.err != nil {
		log.Error("not reloaded, the last good content stays in force", zap.Error(a.err))
		return
	}
	log.Info("reloaded", g.inventory(a.source.parts...)...)
	if a.source.name == audit.Keys {
		for _, warning := range g.config.Keyring.Warnings() {
			log.Warn("configuration", zap.String("warning", warning))
		}
		g.announceKeys()
	}
}

// reportDropped warns when the present rules deny less than those before.
func (g *Gateway) reportDropped(before []string) {
	dropped := slices.DeleteFunc(slices.Clone(before), func(denial string) bool {
		_, found := slices.BinarySearch(g.config.Rules.Denials, denial)
		return found
	})
	if len(dropped) > 0 {
		g.log.Warn("the new rules deny less than those before", zap.Int("dropped", len(dropped)),
			zap.Strings("dropped_denials", dropped[:min(len(dropped), maxNamed)]), zap.String("file", g.config.RulesFile))
	}
}

// answer logs the state of every source about which nothing was logged yet.
func (g *Gateway) answer(look filewatch.Look, attempts []attempt) {
	for _, s := range g.sources() {
		if slices.ContainsFunc(attempts, func(a attempt) bool { return a.source.name == s.name }) {
			continue
		}
		isWaiting := slices.ContainsFunc(s.files, func(name string) bool { return slices.Contains(look.Waiting, name) })
		switch err := g.reloader.failed[s.name]; {
		case isWaiting:
			g.logOf(s).Info("changed in place: the content counts when it has stayed the same for a while", zap.Duration("quiet", filewatch.Quiet))
		case err != nil:
			g.report(attempt{s, err})
		default:
			g.logOf(s).Info("unchanged", g.inventory(s.parts...)...)
		}
	}
}

func (g *Gateway) logOf(s source) *zap.Logger {
	return g.log.With(zap.String("source", string(s.name)), zap.String("variable", s.variable), zap.String("file", strings.Join(s.files, ",")))
}

// inventory is the number and digest of each of the parts, or of all without any.
func (g *Gateway) inventory(parts ...string) (fields []zap.Field) {
	for _, p := range g.config.Inventory() {
		if len(parts) == 0 || slices.Contains(parts, p.Name) {
			fields = append(fields, zap.Int(p.Name, p.Count), zap.String(p.Name+"_digest", p.Digest))
		}
	}
	return fields
}

// countLoaded shows the inventory as metrics.
func (g *Gateway) countLoaded() {
	for _, p := range g.config.Inventory() {
		g.recorder.Loaded(p.Name, p.Count, p.Digest)
	}
}
