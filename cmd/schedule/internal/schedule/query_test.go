package schedule

import (
	"strings"
	"testing"
)

// TestListUsesAnIndex checks that the list is read with an index, so that its cost does not
// depend on the events that it does not contain.
func TestListUsesAnIndex(t *testing.T) {
	s := openStore(t)
	rows, err := s.reader.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+list, "", "~", "", "", "", 50)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	var plan []string
	for rows.Next() {
		var id, parent, unused int
		var detail string
		if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
			t.Fatal(err)
		}
		plan = append(plan, detail)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	if len(plan) != 1 || !strings.Contains(plan[0], "SEARCH events USING INDEX events_by_start") {
		t.Errorf("want one search along events_by_start, found %q", plan)
	}
}
