package gateway

import (
	"go.uber.org/zap"

	"github.com/certgate/certgate/internal/audit"
	"github.com/certgate/certgate/internal/config"
	"github.com/certgate/certgate/internal/core/gate"
	"github.com/certgate/certgate/internal/filewatch/regularfile"
)

// noNextRules is the message about a file of next rules that is missing or empty.
const noNextRules = "no next rules: the file is missing or empty"

// readNextRules replaces the next rules with the content of their changed file, if it is
// valid and fits the keyring in force. Without a changed file it checks the latest content
// again, because that content did not fit an earlier keyring. tried is false if there was
// nothing to check, as with a missing file and no next rules in force.
func (g *Gateway) readNextRules(changed []regularfile.File) (tried bool, err error) {
	c, r := &g.config, &g.reloader
	if len(changed) > 0 {
		r.next = changed[0]
	} else if r.failed[audit.NextRules] == nil {
		return false, nil
	}
	if config.HasNoRules(r.next) {
		ends := c.Next != nil || r.failed[audit.NextRules] != nil
		c.Next = nil
		return ends, nil
	}
	document, err := config.ParseRules(r.next, c.Identity)
	if err == nil {
		err = document.CheckAnchors(c.Keyring)
	}
	if err != nil {
		return true, err
	}
	if c.Next != nil {
		document.Policy = document.Policy.After(c.Next.Policy)
	}
	c.Next = &document
	return true, nil
}

// compareNext makes a gate compare its decisions with the next rules, if there are any.
func (g *Gateway) compareNext(to *gate.Gate, verification *gate.Verification) {
	next := g.config.Next
	if next == nil {
		return
	}
	to.Next = &gate.NextRules{Policy: next.Policy}
	verification.Next = &gate.NextIdentity{Verifier: g.config.NextVerifier(), Names: next.Names}
}

// checkNextAnchors warns if the next rules do not fit the keyring in force.
func (g *Gateway) checkNextAnchors() {
	if next := g.config.Next; next != nil {
		if err := next.CheckAnchors(g.config.Keyring); err != nil {
			g.log.Warn("the next rules do not fit the remaining keys: they could not be promoted", zap.Error(err))
		}
	}
}

// reportNextAtStart logs and counts an error in the file of the next rules, which does not
// prevent the start. If the file is missing or empty, it logs that there are no next rules.
func (g *Gateway) reportNextAtStart() {
	for _, s := range g.sources() {
		if s.name != audit.NextRules || g.config.Next != nil {
			continue
		}
		err := g.reloader.failed[s.name]
		if err == nil {
			g.sourceLogger(s).Info(noNextRules)
			continue
		}
		g.recorder.Reloaded(s.name, err)
		g.sourceLogger(s).Error("not loaded, there are no next rules", zap.Error(err))
	}
}
