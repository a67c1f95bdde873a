// Package usage keeps an inventory of the clients, keys and rules that are in use, and of
// the latest refusals.
//
// The inventory is bounded. Only clients whose certificate an anchor signed have an entry,
// and at most [MaxClients]; the client that was not seen for the longest time is dropped
// first. Refusals are kept in two lists, one for verified clients and one for all other
// requests, so that a flood of unverified requests cannot displace the refusals of clients.
package usage

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/certgate/certgate/internal/audit"
	"github.com/certgate/certgate/internal/guard/resp"
)

// MaxClients is the largest number of clients in the inventory.
const MaxClients = 10_000

// shardCount is the number of parts of the inventory with a lock of their own. It is a
// power of two.
const shardCount = 64

// Options configures a [Store].
type Options struct {
	// Now returns the current time. It is required.
	Now func() time.Time
	// Rates returns a function that reports the used part of a client's bucket for a rule,
	// from 0 to 1, and whether the rule has a rate. It is called for each snapshot. Nil
	// means that no rule has a rate.
	Rates func(now time.Time) func(rule, client string) (used float64, hasRate bool)
	// Server is the Redis server in which replicas share the inventory. The zero Server
	// means that it is not shared.
	Server resp.Server
	// Report is called when the exchange with the server fails, with the error, and when it
	// succeeds again, with nil. It is required with a server.
	Report func(error)
}

// Store is the inventory. It is safe for concurrent use. Use [New] to create one.
//
// A request of a known client takes the read lock of one shard and updates counters. A new
// client, or a new certificate or rule of a client, takes the lock admission as well.
type Store struct {
	now      func() time.Time
	rates    func(now time.Time) func(rule, client string) (float64, bool)
	since    time.Time
	capacity int

	seed    maphash.Seed
	shards  [shardCount]shard
	inForce atomic.Pointer[inForce]

	admission sync.Mutex // precedes the lock of a shard
	count     int        // of clients in all shards; guarded by admission
	oldest    []candidate
	forgotten atomic.Uint64

	verified, unverified *refusalList
	next                 nextUse

	sharing *sharing // nil if the inventory is not shared
}

// shard is a part of the clients. Maps and slices of its clients are guarded by mu, and
// their counters are atomic.
type shard struct {
	mu      sync.RWMutex
	clients map[string]*client
	_       [32]byte // keeps the locks of two shards in different cache lines
}

// inForce has the use of the keys and rules of the configuration. It is immutable, except
// for the counters.
type inForce struct {
	keyIDs, ruleNames []string
	keys              map[string]*keyUse
	rules             map[string]*ruleUse
}

type keyUse struct {
	since       time.Time
	first, last stamp
}

type ruleUse struct {
	uses   atomic.Uint64
	last   stamp
	shared uint64 // uses that are part of the value in Redis; guarded by the lock of the sharing
}

// New returns an empty inventory. The observation begins now.
func New(o Options) *Store { return newStore(o, MaxClients) }

func newStore(o Options, capacity int) *Store {
	s := &Store{now: o.Now, rates: o.Rates, since: o.Now().UTC(), seed: maphash.MakeSeed(), capacity: capacity}
	s.verified, s.unverified = newRefusalList(), newRefusalList()
	if s.rates == nil {
		s.rates = func(time.Time) func(rule, client string) (float64, bool) {
			return func(string, string) (float64, bool) { return 0, false }
		}
	}
	for i := range s.shards {
		s.shards[i].clients = map[string]*client{}
	}
	s.inForce.Store(&inForce{})
	if !o.Server.IsZero() {
		s.sharing = newSharing(s, o)
	}
	return s
}

// Configure sets the keys and rules in force, in their order. Repeated names count once. The
// use of keys and rules that were in force before is kept. The use of other keys and rules is
// dropped, with the certificates that those keys signed.
func (s *Store) Configure(keyIDs, ruleNames []string) {
	s.admission.Lock()
	defer s.admission.Unlock()
	old := s.inForce.Load()
	next := &inForce{}
	next.keyIDs, next.keys = keep(keyIDs, old.keys, func() *keyUse { return &keyUse{since: s.now().UTC()} })
	next.ruleNames, next.rules = keep(ruleNames, old.rules, func() *ruleUse { return &ruleUse{} })
	s.inForce.Store(next)
	for i := range s.shards {
		s.shards[i].apply(next)
	}
}

// keep returns the names without repetitions, and for each name the old value or a new one.
func keep[V any](names []string, old map[string]*V, create func() *V) (distinct []string, values map[string]*V) {
	values = make(map[string]*V, len(names))
	for _, name := range names {
		if values[name] != nil {
			continue
		}
		distinct = append(distinct, name)
		if values[name] = old[name]; values[name] == nil {
			values[name] = create()
		}
	}
	return distinct, values
}

// apply applies a new configuration to the clients.
func (sh *shard) apply(in *inForce) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for _, c := range sh.clients {
		c.apply(in)
	}
}

// Observe counts a request. It does not retain rec.
func (s *Store) Observe(rec *audit.Record) {
	at := rec.Time
	if at.IsZero() {
		at = s.now()
	}
	if rec.Decision == audit.Refused {
		s.refuse(rec, at)
	}
	if rec.Next != "" {
		s.next.observe(rec, at)
	}
	if rec.Client == "" {
		return
	}
	sh, ms := s.shard(rec.Client), at.UnixMilli()
	sh.mu.RLock()
	c := sh.clients[rec.Client]
	known := c != nil && c.observe(rec, ms, s.inForce.Load())
	sh.mu.RUnlock()
	if !known {
		s.observeNew(rec, ms)
	}
}

// observeNew counts a request of a new client, or one with a certificate, rule or reason
// that is new for its client.
func (s *Store) observeNew(rec *audit.Record, ms int64) {
	s.admission.Lock()
	defer s.admission.Unlock()
	sh := s.shard(rec.Client)
	if !sh.has(rec.Client) {
		s.makeRoom()
		s.count++
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	c := sh.clients[rec.Client]
	if c == nil {
		c = newClient(rec.Client)
		sh.clients[c.name] = c
	}
	in := s.inForce.Load()
	c.prepare(rec, ms, in)
	c.observe(rec, ms, in)
}

func (s *Store) shard(client string) *shard {
	return &s.shards[maphash.String(s.seed, client)%shardCount]
}

func (sh *shard) has(client string) bool {
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	return sh.clients[client] != nil
}

// stamp is a time in milliseconds since 1970, or 0. It only grows.
type stamp struct{ ms atomic.Int64 }

// touch moves the stamp forward to ms.
func (s *stamp) touch(ms int64) {
	for {
		old := s.ms.Load()
		if ms <= old || s.ms.CompareAndSwap(old, ms) {
			return
		}
	}
}

// time returns the time of the stamp, or the zero time.
func (s *stamp) time() time.Time { return timeOf(s.ms.Load()) }

// timeOf returns the time of milliseconds since 1970, or the zero time for 0.
func timeOf(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
