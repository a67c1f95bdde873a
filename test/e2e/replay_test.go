package e2e

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/certgate/certgate/test/harness"
)

// replayReport has the compared fields of the output of certgate replay --json.
type replayReport struct {
	Refused   int            `json:"would_be_refused"`
	Allowed   int            `json:"would_be_allowed"`
	Unchanged int            `json:"unchanged_allowed"`
	Changes   []replayChange `json:"changes"`
}

type replayChange struct {
	Change   string `json:"change"`
	Client   string `json:"client"`
	Method   string `json:"method"`
	Route    string `json:"route"`
	Requests int    `json:"requests"`
}

// wantSameReplay replays the log of a trial with the tried rules, and expects exactly the changes
// that the gateway recorded in the field next.
func wantSameReplay(t *testing.T, x *trial, tried map[trialResult]int, rules string) {
	t.Helper()
	want := replayReport{}
	for o, n := range tried {
		if o.Next == "" {
			want.Unchanged += n
			continue
		}
		want.Refused += n
		want.Changes = append(want.Changes, replayChange{o.Next, o.Client, o.Method, "/", n})
	}
	log := harness.WriteFile(t, x.Stderr.String(), t.TempDir(), "certgate.log")
	result := harness.Run(t, "certgate", harness.Env{}, "replay", "--json", "--rules", rules, log)
	var found replayReport
	if err := json.Unmarshal([]byte(result.Stdout), &found); err != nil || result.ExitCode != 1 {
		t.Fatalf("want JSON and exit code 1, found %+v", result)
	}
	for _, r := range []*replayReport{&want, &found} {
		slices.SortFunc(r.Changes, func(a, b replayChange) int {
			return cmp.Or(strings.Compare(a.Client, b.Client), strings.Compare(a.Method, b.Method))
		})
	}
	if diff := gocmp.Diff(want, found); diff != "" {
		t.Errorf("replay of the trial (-want +have):\n%s", diff)
	}
}
