package status

import (
	"fmt"
	"slices"
)

// nearlyFull is the used part of a limit from which it needs attention.
const nearlyFull = 0.8

// notices returns what needs attention, errors first.
func (s *Status) notices() []Notice {
	list := slices.Concat(s.stateNotices(), s.configurationNotices(), s.upstreamNotices(), s.keyNotices(), s.clientNotices(), s.inventoryNotices())
	if list == nil {
		return []Notice{} // never null in JSON
	}
	order := []Level{Error, Warning, Info}
	slices.SortStableFunc(list, func(a, b Notice) int { return slices.Index(order, a.Level) - slices.Index(order, b.Level) })
	return list
}

// stateNotices reports faults of the gateway itself.
func (s *Status) stateNotices() (list []Notice) {
	if !s.Ready {
		list = append(list, Notice{Error, "limits", "The gateway is not ready: " + s.NotReady})
	}
	if s.LogLinesLost > 0 {
		list = append(list, Notice{Warning, "limits", fmt.Sprintf("%s dropped because the log could not be written", plural(s.LogLinesLost, "log line was", "log lines were"))})
	}
	if s.Redis != nil && !s.Redis.Up {
		list = append(list, Notice{Error, "limits", "Redis does not respond: " + s.Redis.Server})
	}
	for _, l := range s.Limits {
		if l.Capacity > 0 && float64(l.Used) >= nearlyFull*float64(l.Capacity) {
			list = append(list, Notice{Warning, "limits", fmt.Sprintf("%s: %s of %s are in use", l.Title(), count(l.Used), count(l.Capacity))})
		}
	}
	return list
}

// configurationNotices reports failed loads and what expires.
func (s *Status) configurationNotices() (list []Notice) {
	for _, c := range s.Configuration.Sources {
		if c.Error != "" {
			list = append(list, Notice{Error, "in-force", fmt.Sprintf("The latest content of %s is not in force: %s", c.Title(), c.Error)})
		}
		if !c.Expires.IsZero() && c.Expires.Sub(s.Time) < notice {
			list = append(list, Notice{s.expiryLevel(c.Expires), "in-force", fmt.Sprintf("The gateway's certificate for the upstream %s", s.ends(c.Expires))})
		}
	}
	for _, l := range s.Configuration.CRLs {
		if l.NextUpdate.Before(s.Time) {
			list = append(list, Notice{Error, "in-force", fmt.Sprintf("The revocation list of key %s is outdated since %s", l.KeyID, stamp(l.NextUpdate))})
		}
	}
	if n := s.NextRules; n != nil && len(n.Changes) > 0 {
		list = append(list, Notice{Info, "in-force", "The next rules would change requests of " + plural(n.clients(), "client", "clients")})
	}
	return list
}

// upstreamNotices reports addresses that are out and certificates that expire.
func (s *Status) upstreamNotices() (list []Notice) {
	for _, a := range s.Upstream {
		if !a.Up {
			list = append(list, Notice{Error, "upstream", fmt.Sprintf("The upstream address %s gets no requests because it does not respond", a.Name)})
		}
		if !a.Expires.IsZero() && a.Expires.Sub(s.Time) < notice {
			list = append(list, Notice{s.expiryLevel(a.Expires), "upstream", fmt.Sprintf("The certificate of the upstream address %s %s", a.Name, s.ends(a.Expires))})
		}
	}
	return list
}

// keyNotices reports keys that expire or can be removed.
func (s *Status) keyNotices() (list []Notice) {
	for _, k := range s.Keys {
		if !k.NotAfter.IsZero() && k.NotAfter.Sub(s.Time) < anchorNotice {
			list = append(list, Notice{s.expiryLevel(k.NotAfter), "keys", fmt.Sprintf("The CA certificate of key %s %s", k.ID, s.ends(k.NotAfter))})
		}
		if k.Removable {
			list = append(list, Notice{Info, "keys", fmt.Sprintf("Key %s can be removed: no client has used it for %s", k.ID, span(s.unused(&k)))})
		}
	}
	return list
}

// clientNotices reports how many clients need attention, for each reason.
func (s *Status) clientNotices() (list []Notice) {
	found := map[Attention]uint64{}
	for _, c := range s.Clients {
		for _, reason := range c.Attention {
			found[reason]++
		}
	}
	for _, n := range []struct {
		reason Attention
		level  Level
		text   string
	}{
		{Expired, Error, "a certificate that has expired"},
		{Expiring, Warning, "a certificate that expires within 14 days"},
		{SharedKey, Warning, "a certificate that contains the master key"},
		{OldKey, Info, "a certificate of an old key"},
	} {
		if clients := found[n.reason]; clients > 0 {
			list = append(list, Notice{n.level, "clients", plural(clients, "client uses", "clients use") + " " + n.text})
		}
	}
	return list
}

// inventoryNotices reports why the inventory may be incomplete.
func (s *Status) inventoryNotices() (list []Notice) {
	if s.Observation.SyncError != "" {
		list = append(list, Notice{Warning, "clients", "The use by other replicas is outdated: " + s.Observation.SyncError})
	}
	if n := s.Observation.Forgotten; n > 0 {
		list = append(list, Notice{Warning, "clients", fmt.Sprintf("%s dropped because there are more than the inventory holds", plural(n, "client was", "clients were"))})
	}
	return list
}
