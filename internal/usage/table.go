package usage

import (
	"context"
	"slices"
	"strconv"
	"time"
)

// table has the entries of one table in Redis, as they were read last. Its entries are
// guarded by the lock of the sharing.
type table[V any] struct {
	name   string
	most   int // entries that the server keeps
	decode func(name, value string, now time.Time) (V, error)
	seen   func(value *V) time.Time // of the last use

	cursor  uint64 // the version up to which all entries were read
	entries map[string]tableEntry[V]
}

// tableEntry is an entry that was read. It is not valid if its value has a fault: its
// version is known then, so that this process can replace it.
type tableEntry[V any] struct {
	version uint64
	value   V
	valid   bool
}

// lookup returns the value of the entry with the name. found is false if the table has no such
// entry, or if the entry is not valid.
func (t *table[V]) lookup(name string) (value V, found bool) {
	e := t.entries[name]
	return e.value, e.valid
}

// set stores an entry that was read. Version 0 means that the server has none.
func (t *table[V]) set(e replyEntry, now time.Time) {
	if e.version == 0 {
		delete(t.entries, e.name)
		return
	}
	stored := tableEntry[V]{version: e.version}
	if value, err := t.decode(e.name, e.value, now); err == nil {
		stored.value, stored.valid = value, true
	}
	t.entries[e.name] = stored
	if len(t.entries) > t.most+t.most/4 {
		t.dropOldest()
	}
}

// dropOldest drops the entries that were not used for the longest time. The server has
// dropped them too and does not report it.
func (t *table[V]) dropOldest() {
	type use struct {
		name string
		seen time.Time
	}
	uses := make([]use, 0, len(t.entries))
	for name, e := range t.entries {
		uses = append(uses, use{name, t.seen(&e.value)})
	}
	slices.SortFunc(uses, func(a, b use) int { return a.seen.Compare(b.seen) })
	for _, u := range uses[:len(uses)-t.most] {
		delete(t.entries, u.name)
	}
}

// reset removes all entries, so that they are read again.
func (t *table[V]) reset() { t.cursor, t.entries = 0, map[string]tableEntry[V]{} }

// change is an entry to write.
type change[V any] struct {
	name    string
	version uint64 // the version that the change is based on
	value   V
	text    string // the value as it is written
	written func() // records that the server has the change
}

// exchange writes changes in batches, and reads the entries that other replicas have changed.
// build returns the change of the entry with a name, or false if the entry is unchanged. If
// another replica has changed the same entry meanwhile, exchange calls build again.
func exchange[V any](ctx context.Context, x *sharing, t *table[V], names []string, build func(name string) (change[V], bool)) error {
	for attempts := len(names)/batchSize + maxConflicts; ; attempts-- {
		if attempts <= 0 {
			names = nil // the rest follows with the next exchange
		}
		size := min(len(names), batchSize)
		changes := buildAll(x, names[:size], build)
		r, err := x.runScript(ctx, request{t.name, t.most, t.cursor, t.writes(changes)})
		if err != nil {
			return err
		}
		conflicts, err := apply(x, t, changes, r)
		if err != nil {
			return err
		}
		if names = append(slices.Clone(names[size:]), conflicts...); len(names) == 0 && r.complete {
			return nil
		}
	}
}

func buildAll[V any](x *sharing, names []string, build func(name string) (change[V], bool)) (changes []change[V]) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, name := range names {
		if c, changed := build(name); changed {
			changes = append(changes, c)
		}
	}
	return changes
}

// writes returns the arguments of the script for the changes.
func (t *table[V]) writes(changes []change[V]) (args []string) {
	for _, c := range changes {
		args = append(args, c.name, strconv.FormatUint(c.version, 10), c.text, encodeTime(t.seen(&c.value)))
	}
	return args
}

// apply records the reply of the server, and returns the names of the changes that the server
// has not written. The error is errLost if the server has lost data.
func apply[V any](x *sharing, t *table[V], changes []change[V], r reply) (conflicts []string, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if err := x.checkEpoch(r.epoch, r.version < t.cursor); err != nil {
		return nil, err
	}
	if len(r.written) != len(changes) {
		return nil, errReply
	}
	for i, c := range changes {
		if !r.written[i] {
			conflicts = append(conflicts, c.name)
			continue
		}
		t.entries[c.name] = tableEntry[V]{version: c.version, value: c.value, valid: true}
		c.written()
	}
	now := x.store.now()
	for _, e := range r.conflicts {
		t.set(e, now)
	}
	before := t.cursor
	for _, e := range r.changed {
		t.set(e, now)
		t.cursor = max(t.cursor, e.version)
	}
	if !r.complete && t.cursor == before && len(conflicts) == 0 {
		return nil, errReply // the next reply would be the same
	}
	x.since, x.forgotten, x.replicas = r.since, r.forgotten, r.replicas
	return conflicts, nil
}
