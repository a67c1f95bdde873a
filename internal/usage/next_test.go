package usage

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/certgate/certgate/internal/audit"
	"github.com/certgate/certgate/internal/core/gate"
	"github.com/certgate/certgate/internal/core/refusal"
)

// changed returns the record of a request with a change and a request id.
func changed(r *audit.Record, c gate.Change, id string) *audit.Record {
	r.Next, r.RequestID = c, id
	return r
}

// TestNextRules checks the clients that the next rules would affect, with an example that is
// not older than a second.
func TestNextRules(t *testing.T) {
	s, _ := newTestStore(MaxClients)
	if n := s.Snapshot().Next; n != nil {
		t.Errorf("next rules %+v, want none", n)
	}
	s.Observe(changed(allowed("mail", 0), gate.NextRefuses, "before the next rules"))
	s.ConfigureNext("a")
	s.Observe(allowed("mail", 0))
	s.Observe(changed(allowed("social", 0), gate.NextRefuses, "first"))
	s.Observe(changed(allowed("social", 500*time.Millisecond), gate.NextRefuses, "too early"))
	s.Observe(changed(allowed("social", time.Second), gate.NextRefuses, "later"))
	s.Observe(changed(allowed("social", 0), gate.NextLimitsRate, "rate"))
	s.Observe(changed(refused("web", refusal.AccessDenied, 0), gate.NextAllows, "id\n"+strings.Repeat("x", 300)))
	s.Observe(changed(refused("", refusal.IdentityOutOfScope, 0), gate.NextAllows, "no client"))
	s.ConfigureNext("a") // a reload without a change of the meaning
	change := func(client string, c gate.Change, n uint64, last time.Duration, id string) NextChange {
		return NextChange{Client: client, Change: c, Requests: n, Last: noon.Add(last), RequestID: id, Method: "GET", Path: "/events"}
	}
	clean := changed(allowed("", 0), "", "id\n"+strings.Repeat("x", 300)).Sanitized()
	want := &NextRules{Since: noon, Changes: []NextChange{
		change("social", gate.NextLimitsRate, 1, 0, "rate"),
		change("social", gate.NextRefuses, 3, time.Second, "later"),
		change("web", gate.NextAllows, 1, 0, clean.RequestID),
	}}
	if diff := cmp.Diff(want, s.Snapshot().Next, cmpopts.IgnoreUnexported(NextChange{})); diff != "" {
		t.Errorf("next rules (-want +have):\n%s", diff)
	}
	if strings.Contains(clean.RequestID, "\n") || len(clean.RequestID) > 200 {
		t.Errorf("request id %q, want printable text of limited length", clean.RequestID)
	}
}

// TestNextRulesBeginAnew checks that other next rules begin without requests, and that the
// end of the next rules ends the list.
func TestNextRulesBeginAnew(t *testing.T) {
	s, c := newTestStore(MaxClients)
	s.ConfigureNext("a")
	s.Observe(changed(allowed("mail", 0), gate.NextRefuses, "id"))
	c.now = noon.Add(time.Minute)
	s.ConfigureNext("b")
	if diff := cmp.Diff(&NextRules{Since: noon.Add(time.Minute)}, s.Snapshot().Next); diff != "" {
		t.Errorf("other next rules (-want +have):\n%s", diff)
	}
	s.ConfigureNext("")
	s.Observe(changed(allowed("mail", 0), gate.NextRefuses, "of a request that began earlier"))
	if n := s.Snapshot().Next; n != nil {
		t.Errorf("next rules %+v, want none", n)
	}
}

// TestNextRulesAreBounded checks that requests beyond the limit are counted only.
func TestNextRulesAreBounded(t *testing.T) {
	s, _ := newTestStore(MaxClients)
	s.ConfigureNext("a")
	const more = 5
	for range 2 {
		for i := range MaxClients + more {
			s.next.observe(changed(allowed(fmt.Sprint("client-", i), 0), gate.NextRefuses, "id"), noon)
		}
	}
	if n := s.Snapshot().Next; len(n.Changes) != MaxClients || n.Dropped != 2*more || n.Changes[0].Requests != 2 {
		t.Errorf("%d changes and %d dropped requests, want %d and %d", len(n.Changes), n.Dropped, MaxClients, 2*more)
	}
}
