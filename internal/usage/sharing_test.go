package usage

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/certgate/certgate/internal/audit"
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/guard/resp"
	"github.com/certgate/certgate/internal/testkit/redisserver"
	"github.com/certgate/certgate/internal/testkit/upstream"
)

// waiting is the time limit of an exchange in tests. It is long enough for a busy machine.
const waiting = 20 * time.Second

// replica is a store that shares its inventory.
type replica struct {
	*Store
	*clock
	reports *[]error
}

// newReplica returns a store with the keys old and new and the rules events and reports.
func newReplica(tb testing.TB, url string, capacity int) replica {
	tb.Helper()
	server, err := resp.ParseServer(url)
	if err != nil {
		tb.Fatal(err)
	}
	c, reports := &clock{noon}, &[]error{}
	s := newStore(Options{Now: c.Now, Server: server, Report: func(err error) { *reports = append(*reports, err) }}, capacity)
	s.sharing.pool = resp.NewPool(server, 1, resp.Limits{Acquire: waiting, Reply: waiting})
	tb.Cleanup(s.sharing.pool.Close)
	s.Configure([]string{"0a", "0b"}, []string{"events", "reports"})
	return replica{s, c, reports}
}

// exchangeAll exchanges the inventory of each replica once, in order.
func exchangeAll(tb testing.TB, replicas ...replica) {
	tb.Helper()
	for i, r := range replicas {
		ctx, cancel := context.WithTimeout(context.Background(), waiting)
		if err := r.sharing.exchange(ctx); err != nil {
			tb.Fatalf("replica %d: %v", i, err)
		}
		r.sharing.record(nil)
		cancel()
	}
}

// of returns the record with the key 0a or 0b, in place of the names that are no hex digits.
func of(r *audit.Record) *audit.Record {
	r.KeyID = map[string]string{"old": "0a", "new": "0b"}[r.KeyID]
	return r
}

// ignoring compares snapshots without the fields of one replica.
func ignoring(snap Snapshot) Snapshot {
	snap.Refusals, snap.RefusalsDropped, snap.Time, snap.Synchronized = nil, 0, time.Time{}, time.Time{}
	for i := range snap.Clients {
		snap.Clients[i].Rules = nil
	}
	return snap
}

// TestSharing checks that each of two replicas, and a third one that starts later, shows
// the requests of both.
func TestSharing(t *testing.T) {
	t.Parallel()
	url := redisserver.Start(t).URL("")
	a := newReplica(t, url, 10)
	a.Observe(of(allowed("mail", 1*time.Second)))
	a.Observe(of(refused("mail", refusal.AccessDenied, 2*time.Second)))
	exchangeAll(t, a)
	b := newReplica(t, url, 10)
	b.since = noon.Add(time.Hour)
	b.Observe(of(with(allowed("mail", 3*time.Second), func(r *audit.Record) {
		r.Auth, r.Serial, r.KeyID, r.NotAfter, r.SharedKey = "signed", "02", "new", text(time.Hour), true
	})))
	b.Observe(of(refused("mail", refusal.RateLimited, 4*time.Second)))
	b.Observe(of(with(allowed("social", 5*time.Second), func(r *audit.Record) { r.Auth, r.Rule = "mtls", "reports" })))
	exchangeAll(t, b, a, b, a)
	at := func(seconds int) time.Time { return noon.Add(time.Duration(seconds) * time.Second) }
	end := noon.Add(30 * 24 * time.Hour)
	want := Snapshot{
		Since: noon, Shared: true, Replicas: 2,
		Keys: []Key{
			{ID: "0a", Since: noon, FirstUse: at(1), LastUse: at(5), Clients: 2, ClientNames: []string{"mail", "social"}},
			{ID: "0b", Since: noon, FirstUse: at(3), LastUse: at(3), Clients: 1, ClientNames: []string{"mail"}},
		},
		Rules: []Rule{{"events", 2, at(3)}, {"reports", 1, at(5)}},
		Clients: []Client{
			{
				Name: "mail", LastSeen: at(4), Bearer: at(4), Signed: at(3), EarliestEnd: noon.Add(time.Hour),
				Certificates: []Certificate{
					{Serial: "01", KeyID: "0a", NotAfter: end, LastUse: at(4)},
					{Serial: "02", KeyID: "0b", NotAfter: noon.Add(time.Hour), LastUse: at(3), SharedKey: true},
				},
				Allowed: 2, Refused: 2, LastRefusal: at(4), LastReason: refusal.RateLimited,
			},
			{
				Name: "social", LastSeen: at(5), MTLS: at(5), EarliestEnd: end, Allowed: 1,
				Certificates: []Certificate{{Serial: "01", KeyID: "0a", NotAfter: end, LastUse: at(5)}},
			},
		},
	}
	for name, r := range map[string]replica{"first": a, "second": b} {
		if diff := cmp.Diff(want, ignoring(r.Snapshot())); diff != "" {
			t.Errorf("%s replica (-want +found):\n%s", name, diff)
		}
	}
	later := newReplica(t, url, 10)
	exchangeAll(t, later)
	want.Replicas = 3
	if diff := cmp.Diff(want, ignoring(later.Snapshot())); diff != "" {
		t.Errorf("replica that started later (-want +found):\n%s", diff)
	}
	if n := len(a.Snapshot().Refusals); n != 1 {
		t.Errorf("want the refusals of one process, found %d", n)
	}
}

// TestSharingConcurrently checks that no request is lost or counted twice when replicas
// write the same entries at the same time, also after a reload that drops a rule.
func TestSharingConcurrently(t *testing.T) {
	t.Parallel()
	url := redisserver.Start(t).URL("")
	const replicas, rounds, clients = 3, 10, 50
	var all []replica
	for range replicas {
		all = append(all, newReplica(t, url, 100))
	}
	var running sync.WaitGroup
	for _, r := range all {
		running.Go(func() {
			for i := range rounds {
				for c := range clients {
					r.Observe(of(allowed(fmt.Sprintf("client-%d", c), time.Duration(i)*time.Second)))
				}
				if i == rounds/2 {
					r.Configure([]string{"0a", "0b"}, []string{"reports"})
					r.Configure([]string{"0a", "0b"}, []string{"reports", "events"})
				}
				exchangeAll(t, r)
			}
		})
	}
	running.Wait()
	exchangeAll(t, all...)
	exchangeAll(t, all...)
	for i, r := range all {
		for _, c := range r.Snapshot().Clients {
			if c.Allowed != replicas*rounds {
				t.Errorf("replica %d: want %d requests of %s, found %d", i, replicas*rounds, c.Name, c.Allowed)
			}
		}
		if n := len(r.Snapshot().Clients); n != clients {
			t.Errorf("replica %d: want %d clients, found %d", i, clients, n)
		}
	}
}

// TestSharedBound checks that the server drops the clients that were not seen for the
// longest time, that it tells their number, and that it keeps nothing forever.
func TestSharedBound(t *testing.T) {
	t.Parallel()
	s := redisserver.Start(t)
	a, b := newReplica(t, s.URL(""), 30), newReplica(t, s.URL(""), 30)
	for i := range 30 {
		a.Observe(of(allowed(fmt.Sprintf("a-%02d", i), time.Duration(i)*time.Second)))
		b.Observe(of(allowed(fmt.Sprintf("b-%02d", i), time.Duration(i)*time.Second)))
	}
	exchangeAll(t, a, b, a, b)
	for name, r := range map[string]replica{"first": a, "second": b} {
		snap := r.Snapshot()
		if list := names(snap); len(list) != 30 || list[0] != "a-15" || list[29] != "b-29" {
			t.Errorf("%s: want the clients a-15 to b-29, found %q", name, list)
		}
		if snap.Forgotten < 30 {
			t.Errorf("%s: want 30 forgotten clients, found %d", name, snap.Forgotten)
		}
	}
	operator := s.Operator(t, "")
	if n := operator.Int("HLEN", "certgate:usage:clients"); n != 30 {
		t.Errorf("want 30 clients on the server, found %d", n)
	}
	keys := operator.Do("KEYS", "*")
	if len(keys) != 11 {
		t.Errorf("want 11 keys, found %q", keys)
	}
	for _, key := range keys {
		if seconds := operator.Int("TTL", key); !strings.HasPrefix(key, "certgate:usage:") || seconds < 89*24*60*60 {
			t.Errorf("%s: want the prefix of the inventory and an expiry in 90 days, found %d seconds", key, seconds)
		}
	}
}

// TestSharingAfterLoss checks that replicas write everything that they know to a server
// that has lost its data, and that requests are counted once.
func TestSharingAfterLoss(t *testing.T) {
	t.Parallel()
	s := redisserver.Start(t)
	a, b := newReplica(t, s.URL(""), 10), newReplica(t, s.URL(""), 10)
	a.Observe(of(allowed("mail", time.Second)))
	b.Observe(of(allowed("mail", time.Second)))
	b.Observe(of(allowed("social", time.Second)))
	exchangeAll(t, a, b, a)
	s.Kill()
	s.Restart(t)
	a.Observe(of(allowed("mail", 2*time.Second)))
	for range 2 { // a broken connection is an error, once
		for _, r := range []replica{a, b} {
			r.sharing.try(t.Context(), waiting)
		}
	}
	exchangeAll(t, a, b, a)
	for name, r := range map[string]replica{"first": a, "second": b} {
		snap := r.Snapshot()
		if list := snap.Clients; len(list) != 2 || list[0].Allowed != 3 || list[1].Allowed != 1 || snap.Rules[0].Uses != 4 {
			t.Errorf("%s: want 3 requests of mail and 1 of social, found %+v and %+v", name, list, snap.Rules)
		}
	}
}

// TestSharingAfterRewind checks that replicas read all entries again if the server has lost
// its latest writes, as after a failover, and that counts are not added again.
func TestSharingAfterRewind(t *testing.T) {
	t.Parallel()
	s := redisserver.Start(t)
	a, b := newReplica(t, s.URL(""), 10), newReplica(t, s.URL(""), 10)
	for i := range 5 {
		a.Observe(of(allowed("mail", time.Duration(i)*time.Second)))
		exchangeAll(t, a)
	}
	c := s.Operator(t, "")
	for _, command := range [][]string{
		{"HSET", "certgate:usage:state", "version", "1"},
		{"ZADD", "certgate:usage:clients:versions", "1", "mail"},
		{"ZADD", "certgate:usage:keys:versions", "1", "0a", "1", "0b"},
		{"ZADD", "certgate:usage:rules:versions", "1", "events"},
	} {
		c.Do(command...)
	}
	b.Observe(of(allowed("social", time.Minute))) // its version is lower than that of mail was
	exchangeAll(t, b, a)
	a.Observe(of(allowed("mail", 2*time.Minute)))
	exchangeAll(t, a, b)
	for name, r := range map[string]replica{"first": a, "second": b} {
		if list := r.Snapshot().Clients; len(list) != 2 || list[0].Allowed != 6 || list[1].Allowed != 1 {
			t.Errorf("%s: want 6 requests of mail and 1 of social, found %+v", name, list)
		}
	}
}

// TestRedisGone checks that requests are counted while the server is gone, that the snapshot
// says why it is not shared, without the password, and that the state is reported once.
func TestRedisGone(t *testing.T) {
	t.Parallel()
	address := upstream.Refusing(t)
	a := newReplica(t, "redis://certgate:refused@"+address, 10)
	if text := a.Snapshot().SyncError; text != "not exchanged yet" {
		t.Errorf("want no exchange yet, found %q", text)
	}
	for range 3 {
		a.sharing.try(t.Context(), waiting)
	}
	a.Observe(of(allowed("mail", time.Second)))
	snap := a.Snapshot()
	if len(snap.Clients) != 1 || snap.Clients[0].Allowed != 1 || !snap.Shared || snap.Replicas != 1 {
		t.Errorf("want the request of this process, found %+v", snap)
	}
	if !strings.Contains(snap.SyncError, address) || strings.Contains(snap.SyncError, "refused") || !snap.Synchronized.IsZero() {
		t.Errorf("want the server and no password, found %q", snap.SyncError)
	}
	if reports := *a.reports; len(reports) != 1 || reports[0] == nil {
		t.Errorf("want one report, found %v", reports)
	}
	values := values(t, a.Store, "certgate_inventory_shared")
	if diff := cmp.Diff(map[string]float64{"": 0}, values); diff != "" {
		t.Errorf("metric (-want +found):\n%s", diff)
	}
}

// TestRedisBack checks that the exchange continues when the server is back.
func TestRedisBack(t *testing.T) {
	t.Parallel()
	s := redisserver.Start(t)
	a := newReplica(t, s.URL(""), 10)
	s.Kill()
	a.sharing.try(t.Context(), waiting)
	s.Restart(t)
	a.sharing.try(t.Context(), waiting)
	a.sharing.try(t.Context(), waiting)
	if reports := *a.reports; len(reports) != 2 || reports[0] == nil || reports[1] != nil {
		t.Errorf("want reports that redis is gone and back, found %v", reports)
	}
	if snap := a.Snapshot(); snap.SyncError != "" || !snap.Synchronized.Equal(noon) {
		t.Errorf("want a synchronized inventory, found %q at %s", snap.SyncError, snap.Synchronized)
	}
	if diff := cmp.Diff(map[string]float64{"": 1}, values(t, a.Store, "certgate_inventory_shared")); diff != "" {
		t.Errorf("metric (-want +found):\n%s", diff)
	}
}

// TestWatch checks that the first exchange is made at once, and the last one when the
// context ends.
func TestWatch(t *testing.T) {
	t.Parallel()
	url := redisserver.Start(t).URL("")
	a := newReplica(t, url, 10)
	a.Observe(of(allowed("mail", time.Second)))
	ctx, cancel := context.WithCancel(t.Context())
	var watching sync.WaitGroup
	watching.Go(func() { a.Watch(ctx) })
	limit := time.After(waiting)
	for !a.sharing.up() {
		select {
		case <-limit:
			t.Fatal("want an exchange at once, found none")
		case <-time.After(time.Millisecond):
		}
	}
	a.Observe(of(allowed("social", time.Second)))
	cancel()
	watching.Wait()
	b := newReplica(t, url, 10)
	exchangeAll(t, b)
	if got := strings.Join(names(b.Snapshot()), " "); got != "mail social" {
		t.Errorf("want the requests before the end, found %q", got)
	}
}
