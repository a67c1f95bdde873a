package usage

import (
	"context"
	"crypto/rand"
	"errors"
	"sync"
	"time"

	"github.com/certgate/certgate/internal/guard/resp"
)

const (
	// prefix starts the name of every key, so that an access control list of the server can
	// name these keys.
	prefix = "certgate:usage:"
	// lifetime is how long the server keeps an inventory that no replica writes to.
	lifetime = 90 * 24 * time.Hour
	// exchangeInterval is the time between two exchanges.
	exchangeInterval = 5 * time.Second
	// exchangeTimeout is the longest time of an exchange.
	exchangeTimeout = 4 * time.Second
	// replyTime limits one command, and the whole exchange at the end of the process.
	replyTime = time.Second
	// batchSize is the largest number of entries in one command. Their values, if they are
	// returned because of a conflict, fit into one reply.
	batchSize = 20
	// maxConflicts is the number of times that changes are built again in one exchange.
	maxConflicts = 5
)

// sharing exchanges the inventory with other replicas through Redis. Each replica writes
// its new requests, and reads the entries that others changed. No request waits for it.
type sharing struct {
	store   *Store
	server  resp.Server
	pool    *resp.Pool
	replica string // a random name of this process
	report  func(error)

	mu        sync.Mutex
	clients   table[Client]
	keys      table[Key]
	rules     table[Rule]
	epoch     string // of the server's data; empty before the first exchange
	since     time.Time
	forgotten uint64
	replicas  int
	last      time.Time // of the latest exchange without an error
	err       error     // of the latest exchange
}

func newSharing(s *Store, o Options) *sharing {
	x := &sharing{
		store: s, server: o.Server, report: o.Report, replica: rand.Text(), replicas: 1,
		pool: resp.NewPool(o.Server, 1, resp.Limits{Acquire: replyTime, Reply: replyTime}),
		clients: table[Client]{
			name: "clients", most: s.capacity, decode: decodeClient,
			seen: func(c *Client) time.Time { return c.LastSeen },
		},
		keys: table[Key]{
			name: "keys", most: maxSharedKeys, decode: decodeKey,
			seen: func(k *Key) time.Time { return later(k.Since, k.LastUse) },
		},
		rules: table[Rule]{
			name: "rules", most: maxSharedRules, decode: decodeRule,
			seen: func(r *Rule) time.Time { return r.LastUse },
		},
		err: errNotYet,
	}
	x.restart(true)
	return x
}

// errNotYet is the error before the first exchange.
var errNotYet = errors.New("not exchanged yet")

// errLost reports that the server has lost data, such as after a restart. The exchange starts
// again with the data that is left.
var errLost = errors.New("the server has lost data of the inventory")

// The largest numbers of keys and rules that the server keeps: those of several replicas
// with different configurations.
const (
	maxSharedKeys  = 100
	maxSharedRules = 10_000
)

// Watch exchanges the inventory with the other replicas every few seconds until ctx is done,
// and then once more, so that the latest requests are not lost. Without a server it returns
// immediately.
func (s *Store) Watch(ctx context.Context) {
	x := s.sharing
	if x == nil {
		return
	}
	defer x.pool.Close()
	ticker := time.NewTicker(exchangeInterval)
	defer ticker.Stop()
	for {
		x.try(ctx, exchangeTimeout)
		select {
		case <-ctx.Done():
			if x.up() {
				x.try(context.WithoutCancel(ctx), replyTime)
			}
			return
		case <-ticker.C:
		}
	}
}

// try exchanges the inventory within a limited time, and records the result.
func (x *sharing) try(ctx context.Context, limit time.Duration) {
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := x.exchange(limited)
	if err != nil && ctx.Err() != nil {
		return // the end of the process
	}
	if changed := x.record(err); changed {
		x.report(x.lastError())
	}
}

// record stores the result of an exchange, and reports whether it has failed for the first
// time or succeeded again.
func (x *sharing) record(err error) (changed bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	failed := x.err != nil && !errors.Is(x.err, errNotYet)
	if err != nil {
		x.err = x.server.Explain(err)
		return !failed
	}
	x.err, x.last = nil, x.store.now().UTC()
	return failed
}

func (x *sharing) up() bool { return x.lastError() == nil }

func (x *sharing) lastError() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.err
}

// exchange writes the requests of this process that the server does not have yet, and reads
// those of the others. The first exchange reads the epoch of the server's data, as does an
// exchange after a loss.
func (x *sharing) exchange(ctx context.Context) error {
	err := x.exchangeTables(ctx)
	if errors.Is(err, errLost) {
		err = x.exchangeTables(ctx)
	}
	return err
}

func (x *sharing) exchangeTables(ctx context.Context) error {
	if err := exchange(ctx, x, &x.clients, x.changedClients(), x.changeOfClient); err != nil {
		return err
	}
	in := x.store.inForce.Load()
	err := exchange(ctx, x, &x.keys, in.keyIDs, func(id string) (change[Key], bool) { return x.changeOfKey(id, in.keys[id]) })
	if err != nil {
		return err
	}
	return exchange(ctx, x, &x.rules, in.ruleNames, func(name string) (change[Rule], bool) { return x.changeOfRule(name, in.rules[name]) })
}

// checkEpoch compares the epoch of a reply with the known one. rewound means that the
// server has lost its latest writes, as after a failover: then its entries are read again.
// In another epoch it has lost everything, and gets all counts of this process again.
func (x *sharing) checkEpoch(epoch string, rewound bool) error {
	switch {
	case epoch != x.epoch:
		x.epoch = epoch
		x.restart(true)
		return errLost
	case rewound:
		x.restart(false)
		return errLost
	}
	return nil
}

// restart drops the entries that were read from the server, so that they are read again and
// the times of this process are written again. If counts is true, the counts of this process
// are written again too.
func (x *sharing) restart(counts bool) {
	x.clients.reset()
	x.keys.reset()
	x.rules.reset()
	x.store.eachClient(func(c *client) {
		c.shared.seen = 0
		if counts {
			c.shared = sharedCounts{}
		}
	})
	for _, r := range x.store.inForce.Load().rules {
		if counts {
			r.shared = 0
		}
	}
}

// describe sets the fields of a snapshot that describe the sharing. The lock must be held.
func (x *sharing) describe(snap *Snapshot) {
	snap.Shared, snap.Replicas, snap.Synchronized = true, x.replicas, x.last
	snap.Since, snap.Forgotten = earlier(snap.Since, x.since), max(snap.Forgotten, x.forgotten)
	if x.err != nil {
		snap.SyncError = x.err.Error()
	}
}
