package usage

import (
	"hash/maphash"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/certgate/certgate/internal/audit"
)

const (
	// MaxRefusals is the largest number of refusals in each of the two lists.
	MaxRefusals = 200
	// senderShare is the number of refusals in a full list that one client or source keeps
	// when other senders need a place.
	senderShare = MaxRefusals / 10
)

// refusalList has the latest refusals, the oldest first. In a full list, a sender with more
// than its share displaces its own refusals, and those of others take the places above its
// share. It is safe for concurrent use.
type refusalList struct {
	mu      sync.Mutex
	entries []*Refusal
	senders []uint64       // hash of the sender of each entry
	counts  map[uint64]int // of entries, by sender
	heavy   int            // senders with more than their share
	dropped uint64
}

func newRefusalList() *refusalList { return &refusalList{counts: map[uint64]int{}} }

// refuse adds a refused request to the list of its kind. The entry is complete before the
// list is locked, so that the lock is held briefly.
func (s *Store) refuse(rec *audit.Record, at time.Time) {
	entry := newRefusal(rec, at)
	if rec.Client != "" {
		s.verified.add(entry, maphash.String(s.seed, rec.Client))
		return
	}
	s.unverified.add(entry, maphash.String(s.seed, network(rec.Source)))
}

// network returns the /64 network of an IPv6 address, within which a sender can change its
// address freely, and other sources unchanged.
func network(source string) string {
	addr, err := netip.ParseAddr(source)
	if err != nil || !addr.Unmap().Is6() {
		return source
	}
	whole := addr.As16()
	return string(whole[:8])
}

// newRefusal copies a record. The copies of texts do not keep the buffer of the request in
// memory.
func newRefusal(rec *audit.Record, at time.Time) *Refusal {
	clean := rec.Sanitized()
	return &Refusal{
		Time: at, Surface: rec.Surface, Client: strings.Clone(rec.Client), Status: rec.Status, Reason: rec.Reason,
		TraceID: strings.Clone(rec.TraceID), SpanID: strings.Clone(rec.SpanID),
		RequestID: strings.Clone(clean.RequestID), Source: strings.Clone(clean.Source), Method: strings.Clone(clean.Method),
		Path: strings.Clone(clean.Path), Detail: strings.Clone(clean.Detail),
	}
}

func (l *refusalList) add(r *Refusal, sender uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.entries) == MaxRefusals {
		l.remove(l.displaced(sender))
		l.dropped++
	}
	l.entries, l.senders = append(l.entries, r), append(l.senders, sender)
	if l.counts[sender]++; l.counts[sender] == senderShare+1 {
		l.heavy++
	}
}

// displaced returns the index of the entry that a new one of the sender replaces in a full
// list.
func (l *refusalList) displaced(sender uint64) int {
	switch {
	case l.heavy == 0:
		return 0
	case l.counts[sender] > senderShare:
		return slices.Index(l.senders, sender)
	default:
		return slices.IndexFunc(l.senders, func(other uint64) bool { return l.counts[other] > senderShare })
	}
}

func (l *refusalList) remove(i int) {
	sender := l.senders[i]
	l.entries, l.senders = slices.Delete(l.entries, i, i+1), slices.Delete(l.senders, i, i+1)
	if l.counts[sender]--; l.counts[sender] == senderShare {
		l.heavy--
	}
	if l.counts[sender] == 0 {
		delete(l.counts, sender)
	}
}

// appendTo appends the entries to a list, and returns the number of dropped ones.
func (l *refusalList) appendTo(list []Refusal) ([]Refusal, uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.entries {
		list = append(list, *r)
	}
	return list, l.dropped
}
