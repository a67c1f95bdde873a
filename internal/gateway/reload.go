package gateway

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"go.uber.org/zap"

	"github.com/certgate/certgate/internal/audit"
	"github.com/certgate/certgate/internal/config"
	"github.com/certgate/certgate/internal/config/rules"
	"github.com/certgate/certgate/internal/core/trust"
	"github.com/certgate/certgate/internal/filewatch"
	"github.com/certgate/certgate/internal/filewatch/regularfile"
)

// maxNamed is the maximum number of dropped deny list entries in a log line.
const maxNamed = 20

// reloader is the state of the configuration's files between two reloads.
type reloader struct {
	requests chan struct{} // calls of Reload
	// keyring and rules are valid contents that are not in force, because they do not fit
	// each other or the content of the other file in force; nil means none.
	keyring  *trust.Keyring
	rules    *rules.Document
	next     regularfile.File       // latest content of ACCESS_RULES_NEXT_FILE
	crlFiles []regularfile.File     // latest contents, valid or not
	pair     []regularfile.File     // the same for UPSTREAM_CERT_FILE and UPSTREAM_KEY_FILE
	failed   map[audit.Source]error // the error of the latest content, or nil
	loads    map[audit.Source]loadTimes
}

// newReloader returns the state after the configuration was loaded.
func newReloader(c config.Config) reloader {
	r := reloader{
		requests: make(chan struct{}, 1), failed: map[audit.Source]error{}, loads: firstLoads(&c), next: c.NextText,
		crlFiles: slices.Clone(c.CRLTexts), pair: slices.Clone(c.UpstreamFiles.PairTexts),
	}
	if len(c.NextFaults) > 0 {
		r.failed[audit.NextRules] = &config.Error{Faults: c.NextFaults}
	}
	return r
}

// source is a part of the configuration that is read from files.
type source struct {
	name     audit.Source
	variable string
	files    []string
	parts    []string // names in the inventory; nil if decisions do not depend on the source
}

// sources returns the sources that are read from files, in the order of reloading.
func (g *Gateway) sources() []source {
	return slices.DeleteFunc(allSources(&g.config), func(s source) bool { return len(s.files) == 0 || s.files[0] == "" })
}

// allSources returns every source, including those without files. Keys precede revocation
// lists, because a list must be signed by a key in force.
func allSources(c *config.Config) []source {
	return []source{
		{audit.Keys, "AUTH_PUBLIC_KEY_FILE", []string{c.KeyringFile}, []string{"keys"}},
		{audit.Rules, "ACCESS_RULES_FILE", []string{c.RulesFile}, []string{"rules", "denials"}},
		{audit.NextRules, "ACCESS_RULES_NEXT_FILE", []string{c.NextFile}, []string{"next_rules", "next_denials"}},
		{audit.CRLs, "AUTH_CRL_FILE", c.CRLFiles, []string{"crls"}},
		{audit.AssertionKeys, "ASSERTION_KEY_FILE", []string{c.AssertionKeyFile}, []string{"assertion_keys"}},
		{audit.UpstreamCA, "UPSTREAM_CA_FILE", []string{c.UpstreamFiles.CA}, nil},
		{audit.UpstreamCertificate, "UPSTREAM_CERT_FILE", c.UpstreamFiles.Pair, nil},
	}
}

// Reload requests that [Gateway.Run] checks the files of the configuration now. It does
// not wait. The log gets a line for every source: reloaded, unchanged, faulty, or waiting
// because the file was changed in place less than [filewatch.Quiet] ago.
//
// Reload is safe for concurrent use and may be called before Run.
func (g *Gateway) Reload() {
	if len(g.sources()) == 0 {
		g.log.Info("nothing to reload: no setting names a file")
		return
	}
	select {
	case g.reloader.requests <- struct{}{}:
	default: // an earlier request is pending
	}
}

// watchFiles reloads changed files until ctx is done. A panic during a reload is sent to
// failed.
func (g *Gateway) watchFiles(ctx context.Context, failed chan<- error) error {
	var names []string
	for _, s := range g.sources() {
		names = append(names, s.files...)
	}
	if len(names) == 0 {
		return nil
	}
	err := filewatch.Files(ctx, filewatch.Options{
		Names: names, Known: g.config.FileSums, Rescan: g.reloader.requests,
		Report: func(result filewatch.Result) {
			g.supervise(failed, func() error { g.reload(result); return nil })
		},
	})
	if err != nil {
		return fmt.Errorf("watching the files of the configuration: %w", err)
	}
	return nil
}

// reload loads the changed contents. Sources are independent: a valid content is in force
// for the next request, even if the content of another source is invalid. For an invalid
// content, the previous one stays in force, with an error in the log and in a metric.
// Requests in flight finish with the configuration with which they started.
func (g *Gateway) reload(result filewatch.Result) {
	g.reloading.Lock()
	defer g.reloading.Unlock()
	previousDenials := g.config.Rules.Denials
	attempts := g.readSources(result)
	if slices.ContainsFunc(attempts, func(a attempt) bool {
		return a.err == nil && a.source.parts != nil && a.source.name != audit.AssertionKeys
	}) {
		g.gate.Store(g.newGate())
	}
	g.publishInventory()
	// The lines follow these changes, so that requests after the line "reloaded" are decided
	// and counted with the new content.
	for _, a := range attempts {
		g.report(a)
	}
	g.reportDropped(previousDenials)
	if result.Requested {
		g.reportUnchanged(result, attempts)
	}
}

// attempt is the result of reloading one source.
type attempt struct {
	source source
	err    error
}

// readSources replaces the parts of the configuration with valid new contents. It returns
// an attempt for each source with a change to report.
func (g *Gateway) readSources(result filewatch.Result) (attempts []attempt) {
	errs := g.readKeysAndRules(result.Changed)
	keysErr, keysTried := errs[audit.Keys]
	newKeys := keysTried && keysErr == nil
	for _, s := range g.sources() {
		files := s.changed(result.Changed)
		err, tried := errs[s.name]
		switch s.name {
		case audit.Keys, audit.Rules: // readKeysAndRules has read them
		case audit.NextRules:
			if len(files) > 0 || newKeys { // the rules may list the new keys
				tried, err = g.readNextRules(files)
			}
		case audit.CRLs:
			if len(files) > 0 || newKeys { // lists are verified with the new keys
				err, tried = g.readCRLs(files), true
			}
		case audit.AssertionKeys:
			if len(files) > 0 {
				err, tried = g.readAssertionKeys(files[0]), true
			}
		default:
			if len(files) > 0 {
				err, tried = g.readUpstreamSecurity(s.name, files), true
			}
		}
		if !tried {
			continue
		}
		previous := g.reloader.failed[s.name]
		g.reloader.record(s.name, err)
		if len(files) > 0 || err != nil || previous != nil {
			attempts = append(attempts, attempt{s, err})
		}
	}
	return attempts
}

// changed returns the files of the source among those that changed.
func (s source) changed(files []regularfile.File) []regularfile.File {
	return slices.DeleteFunc(slices.Clone(files), func(f regularfile.File) bool { return !slices.Contains(s.files, f.Name) })
}

// withChanges returns a copy of the files in which changed ones are replaced.
func withChanges(files, changed []regularfile.File) []regularfile.File {
	latest := slices.Clone(files)
	for i, known := range latest {
		if j := slices.IndexFunc(changed, func(f regularfile.File) bool { return f.Name == known.Name }); j >= 0 {
			latest[i] = changed[j]
		}
	}
	return latest
}

// report counts and logs one attempt.
func (g *Gateway) report(a attempt) {
	g.recorder.Reloaded(a.source.name, a.err)
	log := g.sourceLogger(a.source)
	if a.err != nil {
		log.Error("not reloaded, the last good content stays in force", zap.Error(a.err))
		return
	}
	if a.source.name == audit.NextRules && g.config.Next == nil {
		log.Info(noNextRules)
		return
	}
	log.Info("reloaded", g.sourceFields(a.source)...)
	if a.source.name == audit.AssertionKeys {
		g.logAssertionKeys()
	}
	if a.source.name == audit.Keys {
		for _, warning := range g.config.Keyring.Warnings() {
			log.Warn("configuration", zap.String("warning", warning))
		}
		if err := g.config.Rules.CheckAnchors(g.config.Keyring); err != nil {
			log.Warn("the rules do not fit the remaining keys: certgate would not start with them", zap.Error(err))
		}
		g.checkNextAnchors()
		g.logKeys()
	}
}

// reportDropped warns if entries of the previous deny list are not in the present one.
func (g *Gateway) reportDropped(previous []string) {
	dropped := slices.DeleteFunc(slices.Clone(previous), func(denial string) bool {
		_, found := slices.BinarySearch(g.config.Rules.Denials, denial)
		return found
	})
	if len(dropped) > 0 {
		g.recorder.DroppedDenials(len(dropped))
		g.log.Warn("the new rules deny less than the previous rules", zap.Int("dropped", len(dropped)),
			zap.Strings("dropped_denials", dropped[:min(len(dropped), maxNamed)]), zap.String("file", g.config.RulesFile))
	}
}

// reportUnchanged logs the state of every source without an attempt, as the response to a
// call of Reload.
func (g *Gateway) reportUnchanged(result filewatch.Result, attempts []attempt) {
	for _, s := range g.sources() {
		if slices.ContainsFunc(attempts, func(a attempt) bool { return a.source.name == s.name }) {
			continue
		}
		isWaiting := slices.ContainsFunc(s.files, func(name string) bool { return slices.Contains(result.Waiting, name) })
		switch err := g.reloader.failed[s.name]; {
		case isWaiting:
			g.sourceLogger(s).Info("changed in place: the content takes effect after it has not changed for a while", zap.Duration("quiet", filewatch.Quiet))
		case err != nil:
			g.report(attempt{s, err})
		default:
			g.sourceLogger(s).Info("unchanged", g.sourceFields(s)...)
		}
	}
}

// sourceLogger returns a logger with the fields of a source.
func (g *Gateway) sourceLogger(s source) *zap.Logger {
	return g.log.With(zap.String("source", string(s.name)), zap.String("variable", s.variable), zap.String("file", strings.Join(s.files, ",")))
}

// sourceFields describes the content of a source that is in force.
func (g *Gateway) sourceFields(s source) []zap.Field {
	switch {
	case s.name == audit.UpstreamCertificate:
		return []zap.Field{zap.Time("not_after", g.config.UpstreamSecurity.Certificate.Leaf.NotAfter)}
	case s.parts == nil:
		return nil
	default:
		return g.inventoryFields(s.parts...)
	}
}

// inventoryFields returns the number of entries and the digest of each of the parts, or of
// all parts if none is given.
func (g *Gateway) inventoryFields(parts ...string) (fields []zap.Field) {
	for _, p := range g.config.Inventory() {
		if len(parts) == 0 || slices.Contains(parts, p.Name) {
			fields = append(fields, zap.Int(p.Name, p.Count), zap.String(p.Name+"_digest", p.Digest))
		}
	}
	return fields
}

// publishInventory sets the metrics of the configuration in force, and the keys and rules
// whose use is observed.
func (g *Gateway) publishInventory() {
	g.usage.Configure(g.keyIDs(), g.config.Rules.Policy.RuleNames())
	g.usage.ConfigureNext(g.config.NextDigest())
	g.inForce.set(g.config)
}
