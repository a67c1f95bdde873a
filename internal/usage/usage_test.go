package usage

import (
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/certgate/certgate/internal/audit"
	"github.com/certgate/certgate/internal/core/refusal"
)

// noon is the start time of the tests.
var noon = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

// clock is a clock that tests set.
type clock struct{ now time.Time }

func (c *clock) Now() time.Time { return c.now }

// newTestStore returns a store with the keys old and new and the rules events and reports.
func newTestStore(capacity int) (*Store, *clock) {
	c := &clock{noon}
	s := newStore(Options{Now: c.Now}, capacity)
	s.Configure([]string{"old", "new"}, []string{"events", "reports"})
	return s, c
}

// allowed returns the record of a request that was allowed at a time after noon.
func allowed(client string, after time.Duration) *audit.Record {
	return &audit.Record{
		Time: noon.Add(after), RequestID: "id", TraceID: "trace", SpanID: "span", Client: client, Auth: "bearer", Method: "GET", Path: "/events",
		Rule: "events", KeyID: "old", Serial: "01", NotAfter: text(30 * 24 * time.Hour), Source: "192.0.2.1",
		Decision: audit.Allowed, Status: 200,
	}
}

// text returns the end of a validity period after noon, as it is in a record.
func text(after time.Duration) string { return noon.Add(after).Format(time.RFC3339) }

// refused returns the record of a request that was refused at a time after noon.
func refused(client string, reason refusal.Reason, after time.Duration) *audit.Record {
	r := allowed(client, after)
	r.Decision, r.Reason, r.Rule, r.Status = audit.Refused, reason, "", reason.Status()
	return r
}

// with returns the record after a change.
func with(r *audit.Record, change func(*audit.Record)) *audit.Record {
	change(r)
	return r
}

// clientOf returns the entry of a client, which must exist.
func clientOf(t *testing.T, s *Store, name string) Client {
	t.Helper()
	for _, c := range s.Snapshot().Clients {
		if c.Name == name {
			return c
		}
	}
	t.Fatalf("want an entry of the client %q, found none", name)
	return Client{}
}

func names(snap Snapshot) (list []string) {
	for _, c := range snap.Clients {
		list = append(list, c.Name)
	}
	return list
}

// TestSnapshot checks every field after a few requests of two clients.
func TestSnapshot(t *testing.T) {
	t.Parallel()
	s, c := newTestStore(10)
	s.rates = func(now time.Time) func(rule, client string) (float64, bool) {
		return func(rule, client string) (float64, bool) { return 0.25, rule == "events" && now.Equal(c.now) }
	}
	s.Observe(allowed("mail", 1*time.Second))
	s.Observe(with(allowed("mail", 2*time.Second), func(r *audit.Record) {
		r.Auth, r.Serial, r.KeyID, r.Rule, r.NotAfter, r.SharedKey = "signed", "02", "new", "reports", text(time.Hour), true
	}))
	s.Observe(refused("mail", refusal.AccessDenied, 3*time.Second))
	s.Observe(with(refused("mail", refusal.RateLimited, 4*time.Second), func(r *audit.Record) { r.Rule = "events" }))
	s.Observe(with(allowed("social", 5*time.Second), func(r *audit.Record) {
		r.Auth, r.Decision, r.Reason = "mtls", audit.Failed, refusal.UpstreamFailed
	}))
	c.now = noon.Add(time.Minute)
	at := func(seconds int) time.Time { return noon.Add(time.Duration(seconds) * time.Second) }
	old := Certificate{Serial: "01", KeyID: "old", NotAfter: noon.Add(30 * 24 * time.Hour), LastUse: at(4)}
	want := Snapshot{
		Time: c.now, Since: noon, Replicas: 1,
		Keys: []Key{
			{ID: "old", Since: noon, FirstUse: at(1), LastUse: at(5), Clients: 2, ClientNames: []string{"mail", "social"}},
			{ID: "new", Since: noon, FirstUse: at(2), LastUse: at(2), Clients: 1, ClientNames: []string{"mail"}},
		},
		Rules: []Rule{{"events", 2, at(5)}, {"reports", 1, at(2)}},
		Clients: []Client{
			{
				Name: "mail", LastSeen: at(4), Bearer: at(4), Signed: at(2), EarliestEnd: noon.Add(time.Hour),
				Certificates: []Certificate{old, {Serial: "02", KeyID: "new", NotAfter: noon.Add(time.Hour), LastUse: at(2), SharedKey: true}},
				Allowed:      2, Refused: 2, LastRefusal: at(4), LastReason: refusal.RateLimited,
				Rules: []ClientRule{{"events", 1, 0.25, true}, {"reports", 1, 0.25, false}},
			},
			{
				Name: "social", LastSeen: at(5), MTLS: at(5), EarliestEnd: old.NotAfter,
				Certificates: []Certificate{{Serial: "01", KeyID: "old", NotAfter: old.NotAfter, LastUse: at(5)}},
				Allowed:      1, Rules: []ClientRule{{"events", 1, 0.25, true}},
			},
		},
		Refusals: []Refusal{
			{Time: at(4), RequestID: "id", TraceID: "trace", SpanID: "span", Client: "mail", Source: "192.0.2.1", Method: "GET", Path: "/events", Status: 429, Reason: refusal.RateLimited},
			{Time: at(3), RequestID: "id", TraceID: "trace", SpanID: "span", Client: "mail", Source: "192.0.2.1", Method: "GET", Path: "/events", Status: 403, Reason: refusal.AccessDenied},
		},
	}
	if diff := cmp.Diff(want, s.Snapshot()); diff != "" {
		t.Errorf("want the use of clients, keys and rules (-want +found):\n%s", diff)
	}
}

// TestUnverifiedRequestsMakeNoEntry checks that a request without a verified certificate
// appears only in the list of refusals.
func TestUnverifiedRequestsMakeNoEntry(t *testing.T) {
	t.Parallel()
	s, _ := newTestStore(10)
	s.Observe(with(refused("", refusal.CertificateUntrusted, 0), func(r *audit.Record) { r.Auth, r.KeyID, r.Serial = "", "", "" }))
	snap := s.Snapshot()
	if len(snap.Clients) != 0 || len(snap.Refusals) != 1 || snap.Keys[0].Clients != 0 || !snap.Keys[0].LastUse.IsZero() {
		t.Errorf("want one refusal and nothing else, found %+v", snap)
	}
}

// TestRefusedCertificatesUseNoKey checks that a certificate that an anchor signed and
// another check refused, such as an expired one, does not count as a use of the key.
func TestRefusedCertificatesUseNoKey(t *testing.T) {
	t.Parallel()
	s, _ := newTestStore(10)
	s.Observe(with(refused("mail", refusal.CertificateExpired, time.Second), func(r *audit.Record) { r.Auth = "" }))
	snap := s.Snapshot()
	if !snap.Keys[0].LastUse.IsZero() || len(snap.Clients[0].Certificates) != 0 {
		t.Errorf("want no use of the key, found %+v", snap)
	}
	if c := snap.Clients[0]; c.LastReason != refusal.CertificateExpired || c.Refused != 1 {
		t.Errorf("want the refusal of the client, found %+v", c)
	}
}

// TestOldestClientIsDropped checks the bound and the order in which clients are dropped.
func TestOldestClientIsDropped(t *testing.T) {
	t.Parallel()
	s, _ := newTestStore(8)
	for i := range 8 {
		s.Observe(allowed(strconv.Itoa(i), time.Duration(i)*time.Second))
	}
	s.Observe(allowed("0", 10*time.Second)) // 1 is the oldest now
	s.Observe(allowed("8", 11*time.Second)) // the scan finds 1 and 2
	s.Observe(allowed("2", 12*time.Second)) // 3 is the oldest now
	s.Observe(allowed("9", 13*time.Second))
	snap := s.Snapshot()
	if got, want := names(snap), []string{"0", "2", "4", "5", "6", "7", "8", "9"}; !slices.Equal(got, want) {
		t.Errorf("want the clients %q, found %q", want, got)
	}
	if snap.Forgotten != 2 {
		t.Errorf("want 2 forgotten clients, found %d", snap.Forgotten)
	}
}

// TestMostClients checks that twice as many clients as the bound leave the later half.
func TestMostClients(t *testing.T) {
	t.Parallel()
	s, _ := newTestStore(MaxClients)
	for i := range 2 * MaxClients {
		s.Observe(allowed(fmt.Sprintf("client-%05d", i), time.Duration(i)*time.Millisecond))
	}
	snap := s.Snapshot()
	if len(snap.Clients) != MaxClients || snap.Forgotten != MaxClients || snap.Clients[0].Name != fmt.Sprintf("client-%05d", MaxClients) {
		t.Errorf("want the later %d clients, found %d from %q", MaxClients, len(snap.Clients), snap.Clients[0].Name)
	}
	if rule := snap.Rules[0]; rule.Uses != 2*MaxClients {
		t.Errorf("want the uses of dropped clients in the rule, found %d", rule.Uses)
	}
	if k := snap.Keys[0]; k.Clients != MaxClients || len(k.ClientNames) != MaxKeyClients {
		t.Errorf("want %d clients of the key and %d names, found %d and %d", MaxClients, MaxKeyClients, k.Clients, len(k.ClientNames))
	}
}

// TestConfigure checks that a reload keeps the use of keys and rules that stay in force,
// and drops the others.
func TestConfigure(t *testing.T) {
	t.Parallel()
	s, c := newTestStore(10)
	s.Observe(allowed("mail", time.Second))
	s.Observe(with(allowed("mail", 2*time.Second), func(r *audit.Record) { r.KeyID, r.Serial, r.Rule = "new", "02", "reports" }))
	c.now = noon.Add(time.Hour)
	s.Configure([]string{"new", "newest", "new"}, []string{"reports", "more"})
	s.Observe(with(allowed("mail", 3*time.Second), func(r *audit.Record) { r.KeyID, r.Serial, r.Rule = "new", "02", "reports" }))
	snap := s.Snapshot()
	wantKeys := []Key{
		{ID: "new", Since: noon, FirstUse: noon.Add(2 * time.Second), LastUse: noon.Add(3 * time.Second), Clients: 1, ClientNames: []string{"mail"}},
		{ID: "newest", Since: noon.Add(time.Hour)},
	}
	if diff := cmp.Diff(wantKeys, snap.Keys); diff != "" {
		t.Errorf("keys (-want +found):\n%s", diff)
	}
	wantRules := []Rule{{"reports", 2, noon.Add(3 * time.Second)}, {Name: "more"}}
	if diff := cmp.Diff(wantRules, snap.Rules); diff != "" {
		t.Errorf("rules (-want +found):\n%s", diff)
	}
	mail := snap.Clients[0]
	if len(mail.Certificates) != 1 || mail.Latest().Serial != "02" || len(mail.Rules) != 1 || mail.Rules[0].Uses != 2 {
		t.Errorf("want the certificate and the rule that are in force, found %+v", mail)
	}
	s.Observe(allowed("mail", 4*time.Second)) // decided before the reload
	s.Configure([]string{"old"}, []string{"events"})
	s.Observe(allowed("mail", 5*time.Second))
	if snap := s.Snapshot(); snap.Keys[0].LastUse.IsZero() || snap.Rules[0].Uses != 1 {
		t.Errorf("want a use of the key and rule that are in force again, found %+v", snap)
	}
}

// TestCertificatesInUse checks that a certificate is in use for 24 hours, and the latest
// one forever.
func TestCertificatesInUse(t *testing.T) {
	t.Parallel()
	s, c := newTestStore(10)
	s.Observe(allowed("mail", 0))
	s.Observe(with(allowed("mail", time.Hour), func(r *audit.Record) { r.Serial, r.NotAfter = "02", text(60*24*time.Hour) }))
	tests := []struct {
		after time.Duration
		want  []string
		end   time.Duration
	}{
		{24 * time.Hour, []string{"02", "01"}, 30 * 24 * time.Hour},
		{24*time.Hour + time.Second, []string{"02"}, 60 * 24 * time.Hour},
		{90 * 24 * time.Hour, []string{"02"}, 60 * 24 * time.Hour},
	}
	for _, tt := range tests {
		c.now = noon.Add(tt.after)
		mail := clientOf(t, s, "mail")
		var got []string
		for _, cert := range mail.Certificates {
			got = append(got, cert.Serial)
		}
		if !slices.Equal(got, tt.want) || !mail.EarliestEnd.Equal(noon.Add(tt.end)) {
			t.Errorf("after %s: want %q until %s, found %q until %s", tt.after, tt.want, noon.Add(tt.end), got, mail.EarliestEnd)
		}
	}
}

// TestMostCertificates checks that a client with more certificates than places keeps those
// that end first, that each request counts as a use of its key, and that a place is free
// again when its certificate is idle.
func TestMostCertificates(t *testing.T) {
	t.Parallel()
	s, _ := newTestStore(10)
	const more = 2 * MaxCertificates
	number := func(i int, after time.Duration) *audit.Record {
		return with(allowed("mail", after), func(r *audit.Record) {
			r.Serial, r.NotAfter = fmt.Sprintf("%02d", i), text(time.Duration(i)*time.Hour)
		})
	}
	for i := range more {
		s.Observe(number(more-i, time.Duration(i)*time.Second))
	}
	for i := range more {
		s.Observe(number(i+1, 20*time.Second))
	}
	mail := clientOf(t, s, "mail")
	if len(mail.Certificates) != MaxCertificates || mail.Certificates[MaxCertificates-1].Serial != "08" || !mail.EarliestEnd.Equal(noon.Add(time.Hour)) {
		t.Errorf("want the %d certificates that end first, found %+v", MaxCertificates, mail.Certificates)
	}
	if mail.Allowed != 2*more {
		t.Errorf("want %d requests, found %d", 2*more, mail.Allowed)
	}
	s.Observe(with(number(99, 21*time.Second), func(r *audit.Record) { r.KeyID = "new" }))
	if k := s.Snapshot().Keys[1]; !k.LastUse.Equal(noon.Add(21 * time.Second)) {
		t.Errorf("want a use of the key by a certificate without a place, found %+v", k)
	}
	s.Observe(number(99, 2*time.Minute))
	if latest := clientOf(t, s, "mail"); latest.Latest().Serial != "99" {
		t.Errorf("want the place of an idle certificate, found %+v", latest.Certificates)
	}
}

// TestConcurrency observes, reloads and reads at the same time, and checks that no request
// of a client that stays is lost.
func TestConcurrency(t *testing.T) {
	t.Parallel()
	s, _ := newTestStore(64)
	const workers, rounds = 8, 500
	var running sync.WaitGroup
	for w := range workers {
		running.Go(func() {
			for i := range rounds {
				s.Observe(allowed("mail", time.Hour+time.Duration(i)*time.Second))
				s.Observe(allowed(fmt.Sprintf("%d-%d", w, i), time.Duration(i)*time.Millisecond))
				s.Observe(refused("", refusal.CredentialMissing, 0))
			}
		})
	}
	running.Go(func() {
		for range 50 {
			s.Configure([]string{"old"}, []string{"events"})
			s.Snapshot()
		}
	})
	running.Wait()
	snap := s.Snapshot()
	if mail := clientOf(t, s, "mail"); mail.Allowed != workers*rounds {
		t.Errorf("want %d requests, found %d", workers*rounds, mail.Allowed)
	}
	if len(snap.Clients) != 64 || snap.Forgotten != workers*rounds+1-64 {
		t.Errorf("want 64 clients and %d forgotten ones, found %d and %d", workers*rounds+1-64, len(snap.Clients), snap.Forgotten)
	}
}
