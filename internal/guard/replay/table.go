package replay

import "encoding/binary"

// digest identifies a pair of key id and nonce. If two pairs had the same digest, the
// second would be refused.
type digest [16]byte

// entry is one nonce. Entries refer to each other by index; index 0 ends a list. The
// garbage collector does not scan them, because they contain no pointers. An entry
// has 32 bytes.
type entry struct {
	key    digest
	chain  uint32 // the next entry of the same bucket
	next   uint32 // the next entry of the same second, or the next free entry
	client uint32
	second uint32 // the last second in which the nonce is stored
}

// table is a hash table of fixed size whose entries expire by the second. The caller
// decides whether an entry may be added. No operation becomes slower when the table
// is full.
type table struct {
	entries []entry
	buckets []uint32 // the first entry of each bucket; the length is a power of two
	fresh   uint32   // the lowest index that was never used
	free    uint32   // the first entry that was used and is free again
	used    int

	seconds map[uint32]uint32 // the first entry of each second that has not expired
	oldest  uint32            // a lower bound of the keys of seconds
	over    []uint32          // the first entry of each expired second, still in its bucket
	expired uint32            // the latest expired second; stored nonces are after it
}

func newTable(capacity int) *table {
	buckets := 1
	for buckets < capacity {
		buckets *= 2
	}
	return &table{
		entries: make([]entry, capacity+1), fresh: 1,
		buckets: make([]uint32, buckets),
		seconds: map[uint32]uint32{},
	}
}

// bucket returns the bucket of the digest. Digests are uniform, and clients cannot
// choose them.
func (t *table) bucket(key digest) *uint32 {
	return &t.buckets[binary.LittleEndian.Uint64(key[:])&uint64(len(t.buckets)-1)] //nolint:gosec // there is at least one bucket
}

// has reports whether the digest is stored and has not expired.
func (t *table) has(key digest) bool {
	for i := *t.bucket(key); i != 0; i = t.entries[i].chain {
		if t.entries[i].key == key && t.entries[i].second > t.expired {
			return true
		}
	}
	return false
}

// add stores the digest until the end of the second, which must be later than
// t.expired. At least one entry must be free.
func (t *table) add(key digest, client, second uint32) {
	i := t.free
	if i != 0 {
		t.free = t.entries[i].next
	} else {
		i = t.fresh
		t.fresh++
	}
	t.used++
	bucket := t.bucket(key)
	t.entries[i] = entry{key: key, chain: *bucket, next: t.seconds[second], client: client, second: second}
	*bucket = i
	t.seconds[second] = i
	t.oldest = min(t.oldest, second)
}

// advance expires the seconds before now. sweep frees their entries later.
func (t *table) advance(now uint32) {
	switch {
	case now <= t.oldest:
		return
	case int(now-t.oldest) > len(t.seconds): // after a pause or a jump of the clock
		for second := range t.seconds {
			t.expire(second, now)
		}
	default:
		for second := t.oldest; second < now; second++ {
			t.expire(second, now)
		}
	}
	t.oldest = now
}

func (t *table) expire(second, now uint32) {
	first, some := t.seconds[second]
	if !some || second >= now {
		return
	}
	delete(t.seconds, second)
	t.over = append(t.over, first)
	t.expired = max(t.expired, second)
}

// sweep frees up to limit expired entries, calls freed with the client of each, and
// reports whether there are more.
func (t *table) sweep(limit int, freed func(client uint32)) (more bool) {
	for ; limit > 0 && len(t.over) > 0; limit-- {
		last := len(t.over) - 1
		i := t.over[last]
		t.over[last] = t.entries[i].next
		if t.over[last] == 0 {
			t.over = t.over[:last]
		}
		freed(t.entries[i].client)
		t.remove(i)
	}
	return len(t.over) > 0
}

func (t *table) remove(i uint32) {
	link := t.bucket(t.entries[i].key)
	for *link != i {
		link = &t.entries[*link].chain
	}
	*link = t.entries[i].chain
	t.entries[i] = entry{next: t.free}
	t.free = i
	t.used--
}
