package status

import (
	"slices"
	"strings"
	"testing"
)

// TestNextRulesOnThePage checks the page without next rules, without a change, and with more
// changes than it shows.
func TestNextRulesOnThePage(t *testing.T) {
	s := sample()
	s.NextRules.Changes = slices.Repeat(s.NextRules.Changes, maxNextShown)
	if text := section(t, get(t, fixed(s), "/"), "in-force"); !strings.Contains(text, "/status has 200 more rows.") || strings.Count(text, "19aa") != maxNextShown/2 {
		t.Errorf("want %d of %d changes, found %q", maxNextShown, len(s.NextRules.Changes), text)
	}
	s.NextRules = &NextRules{Since: now(), Changes: []NextChange{}}
	if text := section(t, get(t, fixed(s), "/"), "in-force"); !strings.Contains(text, "No client would be affected.") {
		t.Errorf("want no change, found %q", text)
	}
	s.NextRules = nil
	if text := section(t, get(t, fixed(s), "/"), "in-force"); strings.Contains(text, "Next rules") {
		t.Errorf("want no next rules, found %q", text)
	}
}
