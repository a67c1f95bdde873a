package usage

import "slices"

// The functions of this file require the lock of the sharing, except for changedClients.

// changedClients returns the clients with requests that the server does not have.
func (x *sharing) changedClients() (names []string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.store.eachClient(func(c *client) {
		if c.isUnshared() {
			names = append(names, c.name)
		}
	})
	return names
}

// eachClient calls f with each client, and holds the lock of its shard.
func (s *Store) eachClient(f func(*client)) {
	for i := range s.shards {
		sh := &s.shards[i]
		sh.mu.RLock()
		for _, c := range sh.clients {
			f(c)
		}
		sh.mu.RUnlock()
	}
}

// isUnshared reports whether the client has requests that the server does not have.
func (c *client) isUnshared() bool {
	allowed, refused := c.totals()
	return c.shared != sharedCounts{allowed, refused, c.seen.ms.Load()}
}

// totals returns the numbers of granted and refused requests.
func (c *client) totals() (allowed, refused uint64) {
	allowed = c.former
	for _, grant := range c.grants {
		allowed += grant.n.Load()
	}
	for _, r := range c.refusals {
		refused += r.n.Load()
	}
	return allowed, refused
}

func (x *sharing) changeOfClient(name string) (ch change[Client], changed bool) {
	sh := x.store.shard(name)
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	c := sh.clients[name]
	if c == nil {
		return ch, false
	}
	local := c.collect()
	merged := x.client(local, c.shared)
	merged.Rules = nil
	return change[Client]{
		name: c.name, version: x.clients.entries[name].version, value: merged, text: encodeClient(&merged),
		written: func() { c.shared = sharedCounts{local.Allowed, local.Refused, local.LastSeen.UnixMilli()} },
	}, true
}

func (x *sharing) changeOfKey(id string, use *keyUse) (ch change[Key], changed bool) {
	merged := x.key(use.collect(id))
	text := encodeKey(&merged)
	if known, found := x.keys.lookup(id); found && encodeKey(&known) == text {
		return ch, false
	}
	return change[Key]{
		name: id, version: x.keys.entries[id].version, value: merged, text: text,
		written: func() {},
	}, true
}

func (x *sharing) changeOfRule(name string, use *ruleUse) (ch change[Rule], changed bool) {
	local := use.collect(name)
	_, found := x.rules.lookup(name)
	if local.Uses == 0 || found && local.Uses == use.shared {
		return ch, false
	}
	merged := x.rule(local, use.shared)
	return change[Rule]{
		name: name, version: x.rules.entries[name].version, value: merged, text: encodeRule(&merged),
		written: func() { use.shared = local.Uses },
	}, true
}

// client returns the use of a client by all replicas. own are the counts of this process
// that the server has.
func (x *sharing) client(local Client, own sharedCounts) Client {
	others, found := x.clients.lookup(local.Name)
	if !found {
		own = sharedCounts{}
	}
	return mergeClients(local, others, own)
}

// key returns the use of a key by all replicas.
func (x *sharing) key(local Key) Key {
	others, _ := x.keys.lookup(local.ID)
	return mergeKeys(local, others)
}

// rule returns the use of a rule by all replicas.
func (x *sharing) rule(local Rule, own uint64) Rule {
	others, found := x.rules.lookup(local.Name)
	if !found {
		own = 0
	}
	return mergeRules(local, others, own)
}

// withOthers adds the clients that only other replicas have seen.
func (x *sharing) withOthers(list []Client) []Client {
	known := make(map[string]bool, len(list))
	for i := range list {
		known[list[i].Name] = true
	}
	for name, e := range x.clients.entries {
		if e.valid && !known[name] {
			other := e.value
			other.Certificates = slices.Clone(other.Certificates)
			list = append(list, other)
		}
	}
	return list
}
