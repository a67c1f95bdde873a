package replay

import "encoding/binary"

// digest is what stands for a key id and a nonce. Two with one digest would be
// taken for one, and the second refused.
type digest [16]byte

// entry is one nonce. Entries refer to each other by index, and 0 is none: without
// pointers the collector has nothing to look at, and an entry is 32 bytes.
type entry struct {
	key    digest
	chain  uint32 // the next of the same bucket
	next   uint32 // the next of the same second, or the next that is free
	client uint32
	second uint32 // the last in which it is remembered
}

// table is a hash table of fixed size that forgets by the second. It is nothing
// but bookkeeping: whether something may be added, others decide. Nothing in it
// takes longer because it is full.
type table struct {
	entries []entry
	buckets []uint32 // the first entry of each; as many as a power of two
	fresh   uint32   // no entry from here on was ever used
	free    uint32   // the first that was, and is not any more
	used    int

	seconds   map[uint32]uint32 // the first entry of each second that is not over
	oldest    uint32            // no second in there is before it
	over      []uint32          // the first entries of seconds that are, still in their buckets
	forgotten uint32            // the latest of those; what is remembered is after it
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

// bucket is where the digest belongs; it is uniform and nobody can choose it.
func (t *table) bucket(key digest) *uint32 {
	return &t.buckets[binary.LittleEndian.Uint64(key[:])&uint64(len(t.buckets)-1)] //nolint:gosec // there are some
}

// has reports whether the digest is remembered.
func (t *table) has(key digest) bool {
	for i := *t.bucket(key); i != 0; i = t.entries[i].chain {
		if t.entries[i].key == key && t.entries[i].second > t.forgotten {
			return true
		}
	}
	return false
}

// add remembers the digest to the end of the second, which is after the latest
// forgotten. There must be room.
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

// advance forgets the seconds before now. Their entries keep their room until they
// are swept.
func (t *table) advance(now uint32) {
	switch {
	case now <= t.oldest:
		return
	case int(now-t.oldest) > len(t.seconds): // after a pause, or a leap of the clock
		for second := range t.seconds {
			t.forget(second, now)
		}
	default:
		for second := t.oldest; second < now; second++ {
			t.forget(second, now)
		}
	}
	t.oldest = now
}

func (t *table) forget(second, now uint32) {
	first, some := t.seconds[second]
	if !some || second >= now {
		return
	}
	delete(t.seconds, second)
	t.over = append(t.over, first)
	t.forgotten = max(t.forgotten, second)
}

// sweep frees the room of at most so many forgotten entries, tells whose each was,
// and reports whether there are more.
func (t *table) sweep(most int, whose func(client uint32)) (more bool) {
	for ; most > 0 && len(t.over) > 0; most-- {
		last := len(t.over) - 1
		i := t.over[last]
		t.over[last] = t.entries[i].next
		if t.over[last] == 0 {
			t.over = t.over[:last]
		}
		whose(t.entries[i].client)
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
