package usage

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// inUse is the time for which a certificate counts as in use after a request.
const inUse = 24 * time.Hour

// Snapshot returns a copy of the inventory.
func (s *Store) Snapshot() Snapshot {
	now := s.now().UTC()
	snap := Snapshot{Time: now, Since: s.since, Replicas: 1, Forgotten: s.forgotten.Load()}
	if s.sharing != nil {
		s.sharing.mu.Lock()
		defer s.sharing.mu.Unlock()
		s.sharing.describe(&snap)
	}
	snap.Clients = s.collectClients(now)
	in := s.inForce.Load()
	snap.Keys = s.collectKeys(in, snap.Clients)
	snap.Rules = s.collectRules(in)
	snap.Refusals, snap.RefusalsDropped = s.collectRefusals()
	snap.Next = s.next.collect()
	return snap
}

// collectClients returns the clients. The lock of the sharing must be held, if there is one.
func (s *Store) collectClients(now time.Time) []Client {
	list := s.localClients()
	if s.sharing != nil {
		list = latest(s.sharing.withOthers(list), s.capacity)
	}
	rates := s.rates(now)
	for i := range list {
		list[i].finish(now, rates)
	}
	return sortByName(list)
}

// sortByName returns the clients in the order of their names. It sorts pointers, because to
// move a Client takes longer than to compare two names.
func sortByName(list []Client) []Client {
	order := make([]*Client, len(list))
	for i := range list {
		order[i] = &list[i]
	}
	slices.SortFunc(order, func(a, b *Client) int { return strings.Compare(a.Name, b.Name) })
	sorted := make([]Client, len(list))
	for i, c := range order {
		sorted[i] = *c
	}
	return sorted
}

// localClients returns the clients of this process, with the shared use of each.
func (s *Store) localClients() []Client {
	list := make([]Client, 0, s.size())
	for i := range s.shards {
		sh := &s.shards[i]
		sh.mu.RLock()
		for _, c := range sh.clients {
			copied := c.collect()
			if s.sharing != nil {
				copied = s.sharing.client(copied, c.shared)
			}
			list = append(list, copied)
		}
		sh.mu.RUnlock()
	}
	return list
}

// size returns the number of clients of this process.
func (s *Store) size() (n int) {
	for i := range s.shards {
		sh := &s.shards[i]
		sh.mu.RLock()
		n += len(sh.clients)
		sh.mu.RUnlock()
	}
	return n
}

// latest returns at most the given number of clients: those that were seen last.
func latest(list []Client, most int) []Client {
	if len(list) <= most {
		return list
	}
	slices.SortFunc(list, func(a, b Client) int { return b.LastSeen.Compare(a.LastSeen) })
	return list[:most]
}

// collect returns a copy of the client's entry with all its certificates.
func (c *client) collect() Client {
	copied := Client{
		Name: c.name, LastSeen: c.seen.time(),
		Bearer: c.levels[bearer].time(), Signed: c.levels[signed].time(), MTLS: c.levels[mtls].time(),
	}
	for _, cert := range c.certificates {
		copied.Certificates = append(copied.Certificates, Certificate{
			Serial: cert.serial, KeyID: cert.keyID, NotAfter: cert.notAfter, LastUse: cert.used.time(), SharedKey: cert.sharedKey,
		})
	}
	copied.Allowed = c.former
	for rule, grant := range c.grants {
		n := grant.n.Load()
		copied.Allowed += n
		if rule != "" {
			copied.Rules = append(copied.Rules, ClientRule{Name: rule, Uses: n})
		}
	}
	for reason, refused := range c.refusals {
		copied.Refused += refused.n.Load()
		if last := refused.last.time(); last.After(copied.LastRefusal) {
			copied.LastRefusal, copied.LastReason = last, reason
		}
	}
	return copied
}

// finish sorts the lists of a client, and sets the fields that depend on the time.
func (c *Client) finish(now time.Time, rates func(rule, client string) (float64, bool)) {
	slices.SortFunc(c.Certificates, func(a, b Certificate) int {
		return cmp.Or(b.LastUse.Compare(a.LastUse), cmp.Compare(a.Serial, b.Serial))
	})
	unused := slices.IndexFunc(c.Certificates, func(cert Certificate) bool { return now.Sub(cert.LastUse) > inUse })
	if unused >= 0 {
		c.Certificates = c.Certificates[:max(unused, 1)]
	}
	for i, cert := range c.Certificates {
		if i == 0 || cert.NotAfter.Before(c.EarliestEnd) {
			c.EarliestEnd = cert.NotAfter
		}
	}
	slices.SortFunc(c.Rules, func(a, b ClientRule) int { return cmp.Compare(a.Name, b.Name) })
	for i := range c.Rules {
		r := &c.Rules[i]
		r.RateUsed, r.HasRate = rates(r.Name, c.Name)
	}
}

// collectKeys returns the use of the keys. The clients are sorted by name.
func (s *Store) collectKeys(in *inForce, clients []Client) []Key {
	list := make([]Key, len(in.keyIDs))
	index := map[string]*Key{}
	for i, id := range in.keyIDs {
		list[i] = in.keys[id].collect(id)
		if s.sharing != nil {
			list[i] = s.sharing.key(list[i])
		}
		index[id] = &list[i]
	}
	for i := range clients {
		clients[i].countKeys(index)
	}
	return list
}

func (k *keyUse) collect(id string) Key {
	return Key{ID: id, Since: k.since, FirstUse: k.first.time(), LastUse: k.last.time()}
}

// countKeys adds the client to each key that signed one of its certificates in use.
func (c *Client) countKeys(keys map[string]*Key) {
	for i, cert := range c.Certificates {
		k := keys[cert.KeyID]
		if k == nil || slices.ContainsFunc(c.Certificates[:i], func(earlier Certificate) bool { return earlier.KeyID == cert.KeyID }) {
			continue
		}
		k.Clients++
		if len(k.ClientNames) < MaxKeyClients {
			k.ClientNames = append(k.ClientNames, c.Name)
		}
	}
}

func (s *Store) collectRules(in *inForce) []Rule {
	list := make([]Rule, len(in.ruleNames))
	for i, name := range in.ruleNames {
		use := in.rules[name]
		list[i] = use.collect(name)
		if s.sharing != nil {
			list[i] = s.sharing.rule(list[i], use.shared)
		}
	}
	return list
}

func (r *ruleUse) collect(name string) Rule {
	return Rule{Name: name, Uses: r.uses.Load(), LastUse: r.last.time()}
}

// collectRefusals returns the refusals of both lists, the newest first, and the number of
// dropped ones.
func (s *Store) collectRefusals() ([]Refusal, uint64) {
	list, ofVerified := s.verified.appendTo(nil)
	list, ofOthers := s.unverified.appendTo(list)
	slices.SortStableFunc(list, func(a, b Refusal) int { return b.Time.Compare(a.Time) })
	return list, ofVerified + ofOthers
}
