package gateway

import (
	"fmt"
	"slices"

	"github.com/certgate/certgate/internal/audit"
	"github.com/certgate/certgate/internal/config"
	"github.com/certgate/certgate/internal/core/trust"
	"github.com/certgate/certgate/internal/filewatch/regularfile"
)

// readKeysAndRules puts new contents of keys and rules in force. The rules may list keys,
// so contents that changed together are compared with each other, and a content that fits
// neither the other new content nor the one in force waits for the next change.
//
// The result has an error, or nil, for each source whose content changed or waited.
func (g *Gateway) readKeysAndRules(changed []regularfile.File) map[audit.Source]error {
	errs := g.parseKeysAndRules(changed)
	if len(errs) == 0 {
		return nil
	}
	c, r := &g.config, &g.reloader
	if ring := r.keyring; ring != nil {
		together := r.rules != nil && r.rules.CheckAnchors(ring) == nil
		if errs[audit.Keys] = g.checkKeys(ring, together); errs[audit.Keys] == nil {
			c.Keyring, r.keyring = ring, nil
		}
	}
	if document := r.rules; document != nil {
		if errs[audit.Rules] = document.CheckAnchors(c.Keyring); errs[audit.Rules] == nil {
			document.Policy = document.Policy.After(c.Rules.Policy)
			c.Rules, r.rules = *document, nil
		}
	}
	return errs
}

// parseKeysAndRules parses the changed files and stores valid contents in the reloader.
// The result has an error, or nil, for each changed source.
func (g *Gateway) parseKeysAndRules(changed []regularfile.File) map[audit.Source]error {
	c, r := &g.config, &g.reloader
	errs := map[audit.Source]error{}
	for _, f := range changed {
		if f.Name == c.KeyringFile {
			r.keyring, errs[audit.Keys] = config.ParseKeyring(f, c.Limits.MinRSABits)
		}
		if f.Name == c.RulesFile {
			document, err := config.ParseRules(f, c.Identity)
			r.rules, errs[audit.Rules] = &document, err
			if err != nil {
				r.rules = nil
			}
		}
	}
	return errs
}

// checkKeys returns an error if the keyring contains an assertion key, or if the rules in
// force do not fit the keyring, unless they are replaced together with it. A keyring without
// new keys always fits: rules for a key that is missing have no effect, and the removal of a
// leaked key must not depend on the rules.
func (g *Gateway) checkKeys(ring *trust.Keyring, together bool) error {
	if err := config.CheckSeparate(g.config.AssertionKeys, ring); err != nil {
		return err
	}
	known := func(a trust.Anchor) bool {
		return slices.ContainsFunc(g.config.Keyring.Anchors(), func(b trust.Anchor) bool { return a.ID() == b.ID() })
	}
	hasNew := slices.ContainsFunc(ring.Anchors(), func(a trust.Anchor) bool { return !known(a) })
	if together || !hasNew {
		return nil
	}
	if err := g.config.Rules.CheckAnchors(ring); err != nil {
		return fmt.Errorf("the rules in force do not fit these keys: %w", err)
	}
	return nil
}

// readCRLs replaces the revocation lists if the latest contents of all files are valid
// under the keyring in force.
func (g *Gateway) readCRLs(changed []regularfile.File) error {
	latest := withChanges(g.reloader.crlFiles, changed)
	g.reloader.crlFiles = latest
	lists, err := config.ParseCRLs(latest, g.config.Keyring)
	if err != nil {
		return err
	}
	g.config.CRLs, g.config.CRLTexts = lists, latest
	return nil
}
