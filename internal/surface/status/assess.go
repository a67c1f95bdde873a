package status

import (
	"slices"
	"strings"
	"time"
)

const (
	// notice is the time before the end of a certificate from which it needs attention.
	notice = 14 * 24 * time.Hour
	// anchorNotice is the same for a CA certificate, because all of its clients need new ones.
	anchorNotice = 30 * 24 * time.Hour
	// idle is how long a key must be unused before its removal is suggested.
	idle = 7 * 24 * time.Hour
)

// assess sets the fields that follow from the others, and sorts the clients.
func (s *Status) assess() {
	s.markOldKeys()
	s.markRemovableKeys()
	for i := range s.Clients {
		s.Clients[i].Attention = s.attention(&s.Clients[i])
	}
	s.sortClients()
	s.Notices = s.notices()
}

// markOldKeys marks the keys that a newer one has replaced. New keys are appended to the
// keyring, so the newest key is the last one that a client has used, and it replaces the
// keys before it. Scoped keys belong to certain clients and are not compared.
func (s *Status) markOldKeys() {
	newest := -1
	for i, k := range s.Keys {
		if !k.Scoped && !k.LastUse.IsZero() {
			newest = i
		}
	}
	for i := range s.Keys {
		k := &s.Keys[i]
		k.Old = i < newest && !k.Scoped && k.ID != s.Keys[newest].ID
	}
}

// markRemovableKeys marks the keys that no client has used for a while, if another key is in
// use. A key that was never used is marked only if a newer one has replaced it, because
// otherwise it may be the next key of a rotation.
func (s *Status) markRemovableKeys() {
	inUse := slices.ContainsFunc(s.Keys, func(k Key) bool { return !k.LastUse.IsZero() && s.unused(&k) < idle })
	for i := range s.Keys {
		k := &s.Keys[i]
		replaced := k.Old || !k.LastUse.IsZero()
		k.Removable = inUse && replaced && s.unused(k) >= idle && s.Observation.SyncError == ""
	}
}

// unused returns for how long no client has used the key while its use was observed.
func (s *Status) unused(k *Key) time.Duration {
	last := k.LastUse
	if last.IsZero() {
		last = k.Since
	}
	return s.Time.Sub(last)
}

// attention returns why the client needs attention, the most urgent reason first.
func (s *Status) attention(c *Client) []Attention {
	var expired, expiring, shared, old bool
	for _, cert := range c.Certificates {
		left := cert.NotAfter.Sub(s.Time)
		expired = expired || left < 0
		expiring = expiring || left >= 0 && left < notice
		shared = shared || cert.SharedKey
		old = old || slices.ContainsFunc(s.Keys, func(k Key) bool { return k.Old && k.ID == cert.KeyID })
	}
	reasons := []Attention{} // never null in JSON
	for _, r := range []struct {
		applies bool
		reason  Attention
	}{{expired, Expired}, {expiring, Expiring}, {shared, SharedKey}, {old, OldKey}} {
		if r.applies {
			reasons = append(reasons, r.reason)
		}
	}
	return reasons
}

// urgencies are the reasons for attention by rank, the most urgent first. Other clients have
// the last rank.
func urgencies() []Attention { return []Attention{Expired, Expiring, SharedKey, OldKey} }

// urgency returns the rank of a client in the list.
func (c *Client) urgency() int {
	if len(c.Attention) == 0 {
		return len(urgencies())
	}
	return slices.Index(urgencies(), c.Attention[0])
}

// earliestEnd returns the earliest end of the certificates in use.
func (c *Client) earliestEnd() (end time.Time) {
	for _, cert := range c.Certificates {
		if end.IsZero() || cert.NotAfter.Before(end) {
			end = cert.NotAfter
		}
	}
	return end
}

// sortClients sorts by urgency, clients with certificates that end soon by the end, and the
// others by name. It sorts pointers, because to move a Client takes longer than to compare
// two, and each rank alone, because the inventory is sorted by name.
func (s *Status) sortClients() {
	ranks := make([][]*Client, len(urgencies())+1)
	for i := range s.Clients {
		c := &s.Clients[i]
		ranks[c.urgency()] = append(ranks[c.urgency()], c)
	}
	sorted := make([]Client, 0, len(s.Clients))
	for rank, clients := range ranks {
		endsSoon := rank <= 1
		slices.SortFunc(clients, func(a, b *Client) int {
			if endsSoon {
				if c := a.earliestEnd().Compare(b.earliestEnd()); c != 0 {
					return c
				}
			}
			return strings.Compare(a.Name, b.Name)
		})
		for _, c := range clients {
			sorted = append(sorted, *c)
		}
	}
	s.Clients = sorted
}
