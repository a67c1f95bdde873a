package gateway

import (
	"cmp"
	"crypto/x509"
	"maps"
	"slices"
	"strings"

	"github.com/certgate/certgate/internal/audit"
	"github.com/certgate/certgate/internal/config"
	"github.com/certgate/certgate/internal/core/access"
	"github.com/certgate/certgate/internal/surface/status"
	"github.com/certgate/certgate/internal/usage"
)

// status returns the present state for the operator's page.
func (g *Gateway) status() status.Status {
	c, loads, failed := g.loaded()
	used := g.usage.Snapshot()
	s := status.Status{
		Time: used.Time, Version: g.build.Version, Commit: g.build.Commit, Started: g.started,
		Configuration: configurationStatus(&c, used.Rules),
		Observation: status.Observation{
			Since: used.Since, Shared: used.Shared, Replicas: used.Replicas, Synchronized: used.Synchronized, SyncError: used.SyncError,
			Forgotten: used.Forgotten, RefusalsDropped: used.RefusalsDropped,
		},
		Keys: keyStatus(&c, used.Keys), Clients: clientStatus(used.Clients), Refusals: refusalStatus(used.Refusals),
		Upstream: g.upstreamStatus(), Limits: g.limitStatus(), LogLinesLost: g.recorder.LinesLost(),
	}
	s.NextRules = nextStatus(used.Next)
	s.Configuration.Sources = sourceStatus(&c, loads, failed)
	if err := g.ready(); err != nil {
		s.NotReady = err.Error()
	}
	s.Ready = s.NotReady == ""
	if g.nonces.redis != nil {
		s.Redis = &status.Redis{Server: c.Redis.String(), Up: g.nonces.redis.Up()}
	}
	return s
}

// loaded returns the configuration in force and the results of the latest loads.
func (g *Gateway) loaded() (config.Config, map[audit.Source]loadTimes, map[audit.Source]error) {
	g.reloading.Lock()
	defer g.reloading.Unlock()
	return g.config, maps.Clone(g.reloader.loads), maps.Clone(g.reloader.failed)
}

func configurationStatus(c *config.Config, used []usage.Rule) status.Configuration {
	s := status.Configuration{
		Digest: c.Digest(), CRLs: []status.CRL{}, Rules: []status.Rule{}, Deny: []status.Denial{}, Settings: []status.Setting{},
	}
	for _, list := range c.CRLs {
		s.CRLs = append(s.CRLs, status.CRL{KeyID: list.KeyID().Short(), Count: list.Len(), ThisUpdate: list.ThisUpdate(), NextUpdate: list.NextUpdate()})
	}
	for _, r := range c.Rules.Rules {
		s.Rules = append(s.Rules, ruleStatus(r, c.Proof, used))
	}
	for _, entry := range c.Rules.Denials {
		s.Deny = append(s.Deny, status.Denial{Entry: entry, Reason: c.Rules.Reasons[entry]})
	}
	for _, v := range c.Settings {
		s.Settings = append(s.Settings, status.Setting(v))
	}
	return s
}

func ruleStatus(r access.Rule, proof access.Proof, used []usage.Rule) status.Rule {
	s := status.Rule{
		Name: r.Name, Clients: r.Clients, Allow: r.Allow, Rate: r.Rate, Burst: r.Burst, Proof: cmp.Or(r.Proof, string(proof)),
	}
	if i := slices.IndexFunc(used, func(u usage.Rule) bool { return u.Name == r.Name }); i >= 0 {
		s.Uses, s.LastUse = used[i].Uses, used[i].LastUse
	}
	return s
}

// sourceStatus returns every source that is configured, by a file or in its variable.
func sourceStatus(c *config.Config, loads map[audit.Source]loadTimes, failed map[audit.Source]error) []status.Source {
	inventory, list := slices.Concat(c.Inventory(), c.UpstreamInventory()), []status.Source{}
	for _, source := range allSources(c) {
		s := status.Source{
			Name: string(source.name), Variable: source.variable, Files: []string{}, Parts: []status.Part{},
			Loaded: loads[source.name].loaded, Tried: loads[source.name].tried, Result: "ok",
		}
		switch {
		case len(source.files) > 0 && source.files[0] != "":
			s.Files = source.files
		case source.name == audit.Keys || source.name == audit.Rules || source.name == audit.NextRules && c.Next != nil:
			s.Variable = strings.TrimSuffix(source.variable, "_FILE")
		default:
			continue // not configured
		}
		for _, p := range inventory {
			if p.Name == s.Name || slices.Contains(source.parts, p.Name) {
				s.Parts = append(s.Parts, status.Part(p))
			}
		}
		if err := failed[source.name]; err != nil {
			s.Result, s.Error = "failed", err.Error()
		}
		if pair := c.UpstreamSecurity.Certificate; pair != nil && source.name == audit.UpstreamCertificate {
			s.Expires = pair.Leaf.NotAfter
		}
		list = append(list, s)
	}
	return list
}

// maxSubject is the largest number of bytes of an anchor's subject on the page.
const maxSubject = 256

// subjectText returns the beginning of a CA's subject, up to the end of a character.
func subjectText(ca *x509.Certificate) string {
	text := ca.Subject.String()
	return strings.ToValidUTF8(text[:min(len(text), maxSubject)], "")
}

func keyStatus(c *config.Config, used []usage.Key) []status.Key {
	list := []status.Key{}
	for _, anchor := range c.Keyring.Anchors() {
		k := status.Key{
			ID: anchor.ID().Short(), Algorithm: anchor.Algorithm(), Scoped: c.Rules.Names.IsScoped(anchor.ID()), ClientNames: []string{},
		}
		if ca := anchor.Certificate(); ca != nil {
			k.Subject, k.NotBefore, k.NotAfter = subjectText(ca), ca.NotBefore, ca.NotAfter
		}
		if i := slices.IndexFunc(used, func(u usage.Key) bool { return u.ID == k.ID }); i >= 0 {
			u := used[i]
			k.Since, k.FirstUse, k.LastUse, k.Clients = u.Since, u.FirstUse, u.LastUse, u.Clients
			k.ClientNames = append(k.ClientNames, u.ClientNames...)
		}
		list = append(list, k)
	}
	return list
}

func clientStatus(used []usage.Client) []status.Client {
	list := make([]status.Client, len(used))
	for i := range used {
		u := &used[i]
		list[i] = status.Client{
			Name: u.Name, LastSeen: u.LastSeen, Bearer: u.Bearer, Signed: u.Signed, MTLS: u.MTLS,
			Certificates: make([]status.Certificate, len(u.Certificates)), Rules: make([]status.ClientRule, len(u.Rules)),
			Allowed: u.Allowed, Refused: u.Refused, LastRefusal: u.LastRefusal, LastReason: string(u.LastReason),
		}
		for j, cert := range u.Certificates {
			list[i].Certificates[j] = status.Certificate(cert)
		}
		for j := range u.Rules {
			r := &u.Rules[j]
			list[i].Rules[j] = status.ClientRule{Name: r.Name, Uses: r.Uses}
			if r.HasRate {
				list[i].Rules[j].RateUsed = &r.RateUsed
			}
		}
	}
	return list
}

func refusalStatus(used []usage.Refusal) []status.Refusal {
	list := make([]status.Refusal, len(used))
	for i, u := range used {
		list[i] = status.Refusal{
			Time: u.Time, Surface: string(u.Surface), RequestID: u.RequestID, Client: u.Client, Source: u.Source,
			Method: u.Method, Path: u.Path, Status: u.Status, Reason: string(u.Reason), Detail: u.Detail,
			TraceID: u.TraceID, SpanID: u.SpanID,
		}
	}
	return list
}

func nextStatus(used *usage.NextRules) *status.NextRules {
	if used == nil {
		return nil
	}
	s := &status.NextRules{Since: used.Since, Dropped: used.Dropped, Changes: make([]status.NextChange, len(used.Changes))}
	for i, u := range used.Changes {
		s.Changes[i] = status.NextChange{
			Client: u.Client, Change: string(u.Change), Requests: u.Requests, Last: u.Last,
			RequestID: u.RequestID, Method: u.Method, Path: u.Path,
		}
	}
	return s
}

func (g *Gateway) upstreamStatus() []status.Address {
	ends, list := g.expiries.serviceEnds(), make([]status.Address, g.pool.Len())
	for i := range list {
		state := g.pool.State(i)
		median, p99, n := g.upstreams[i].recent.quantiles()
		list[i] = status.Address{
			Name: g.pool.Name(i), Up: state.Up, Failures: state.Failures, InFlight: state.InFlight,
			Attempts: n, Median: median.Seconds(), P99: p99.Seconds(), Expires: ends[g.pool.Name(i)],
		}
	}
	return list
}

func (g *Gateway) limitStatus() []status.Limit {
	list := []status.Limit{}
	for _, r := range g.resources() {
		used, capacity := r.read()
		list = append(list, status.Limit{Name: r.name, Listener: r.listener, Used: used, Capacity: capacity})
	}
	return list
}
