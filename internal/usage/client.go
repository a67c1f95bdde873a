package usage

import (
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/certgate/certgate/internal/audit"
	"github.com/certgate/certgate/internal/core/gate"
	"github.com/certgate/certgate/internal/core/refusal"
)

// The levels of possession, as indices.
const (
	bearer = iota
	signed
	mtls
	levelCount
)

// client is the entry of one client.
type client struct {
	name         string
	seen         stamp
	levels       [levelCount]stamp
	certificates []*certificate

	grants   map[string]*grantCount            // by rule; the rule is empty for requests without one
	proofs   map[refusal.Reason]*atomic.Uint64 // granted requests with a signature, by WouldRefuse
	refusals map[refusal.Reason]*refusalCount
	former   uint64 // granted requests by rules that are no longer in force

	shared sharedCounts // guarded by the lock of the sharing
}

// grantCount counts the granted requests of a client by one rule.
type grantCount struct {
	n    atomic.Uint64
	rule *ruleUse // nil without a rule, and if the rule is not in force
}

// refusalCount counts the refused requests of a client with one reason.
type refusalCount struct {
	n    atomic.Uint64
	last stamp
}

// certificate is an accepted certificate of a client. Only used changes.
type certificate struct {
	serial, keyID string
	notAfter      time.Time
	sharedKey     bool
	used          stamp
	key           *keyUse // nil if the key is not in force
}

func newClient(name string) *client {
	return &client{
		name: strings.Clone(name), grants: map[string]*grantCount{},
		proofs: map[refusal.Reason]*atomic.Uint64{}, refusals: map[refusal.Reason]*refusalCount{},
	}
}

// isGranted reports whether a request had a grant. A failed request had one.
func isGranted(rec *audit.Record) bool {
	return rec.Decision == audit.Allowed || rec.Decision == audit.Failed
}

// isAccepted reports whether the certificate of a request was accepted.
func isAccepted(rec *audit.Record) bool { return rec.Auth != "" && rec.Serial != "" }

// showsProof reports whether the signature of a granted request was verified or observed.
func showsProof(rec *audit.Record) bool {
	return isGranted(rec) && rec.Rule != "" && (rec.WouldRefuse != "" || rec.Auth == gate.Signed)
}

// unknown replaces an undefined reason. It bounds the counters of a client even if a caller
// passes a wrong value.
const unknown refusal.Reason = "unknown"

// defined returns a reason, and unknown for an undefined one.
func defined(r refusal.Reason) refusal.Reason {
	if r != "" && !r.Known() {
		return unknown
	}
	return r
}

// counters are the counters of one request. Those that do not apply are nil.
type counters struct {
	grant   *grantCount
	proof   *atomic.Uint64
	refused *refusalCount
	key     *keyUse
	used    *stamp // of the certificate
	level   *stamp
}

// observe counts a request. It counts nothing and returns false if one of the counters does
// not exist yet.
func (c *client) observe(rec *audit.Record, ms int64, in *inForce) bool {
	n, ok := c.counters(rec, ms, in)
	if !ok {
		return false
	}
	c.seen.touch(ms)
	if n.refused != nil {
		n.refused.n.Add(1)
		n.refused.last.touch(ms)
	}
	if n.grant != nil {
		n.grant.count(ms)
	}
	if n.proof != nil {
		n.proof.Add(1)
	}
	if n.key != nil {
		n.key.touch(ms)
	}
	if n.used != nil {
		n.used.touch(ms)
	}
	if n.level != nil {
		n.level.touch(ms)
	}
	return true
}

// counters returns the counters of a request, and false if one of them does not exist yet.
func (c *client) counters(rec *audit.Record, ms int64, in *inForce) (n counters, ok bool) {
	if isGranted(rec) {
		if n.grant = c.grants[rec.Rule]; n.grant == nil {
			return n, false
		}
	}
	if showsProof(rec) {
		if n.proof = c.proofs[defined(rec.WouldRefuse)]; n.proof == nil {
			return n, false
		}
	}
	if rec.Decision == audit.Refused {
		if n.refused = c.refusals[defined(rec.Reason)]; n.refused == nil {
			return n, false
		}
	}
	if !isAccepted(rec) {
		return n, true
	}
	n.level = c.level(rec.Auth)
	if cert := c.certificate(rec); cert != nil {
		n.key, n.used = cert.key, &cert.used
		return n, true
	}
	if c.place(rec, ms) >= 0 {
		return n, false
	}
	n.key = in.keys[rec.KeyID] // the certificate has no place
	return n, true
}

// prepare creates the counters of a request that do not exist yet.
func (c *client) prepare(rec *audit.Record, ms int64, in *inForce) {
	if isGranted(rec) && c.grants[rec.Rule] == nil {
		c.grants[strings.Clone(rec.Rule)] = &grantCount{rule: in.rules[rec.Rule]}
	}
	if reason := defined(rec.WouldRefuse); showsProof(rec) && c.proofs[reason] == nil {
		c.proofs[reason] = new(atomic.Uint64)
	}
	if reason := defined(rec.Reason); rec.Decision == audit.Refused && c.refusals[reason] == nil {
		c.refusals[reason] = new(refusalCount)
	}
	if !isAccepted(rec) || c.certificate(rec) != nil {
		return
	}
	switch i := c.place(rec, ms); {
	case i == len(c.certificates):
		c.certificates = append(c.certificates, newCertificate(rec, in))
	case i >= 0:
		c.certificates[i] = newCertificate(rec, in)
	}
}

func newCertificate(rec *audit.Record, in *inForce) *certificate {
	return &certificate{
		serial: strings.Clone(rec.Serial), keyID: strings.Clone(rec.KeyID), notAfter: endOf(rec),
		sharedKey: rec.SharedKey, key: in.keys[rec.KeyID],
	}
}

// endOf returns the end of the validity period of a request's certificate.
func endOf(rec *audit.Record) time.Time {
	end, _ := time.Parse(time.RFC3339, rec.NotAfter) // the zero time for an invalid text
	return end
}

// certificate returns the known certificate of a request, or nil.
func (c *client) certificate(rec *audit.Record) *certificate {
	for _, cert := range c.certificates {
		if cert.serial == rec.Serial && cert.keyID == rec.KeyID {
			return cert
		}
	}
	return nil
}

// idle is the time after which the place of a certificate can be taken by any other.
const idle = time.Minute

// place returns the index for a new certificate, or -1 if it gets no place. If all places
// are taken, it replaces one that was not used recently, or else one that ends later: the
// certificates that end first matter most.
func (c *client) place(rec *audit.Record, ms int64) int {
	if len(c.certificates) < MaxCertificates {
		return len(c.certificates)
	}
	unused, last := 0, 0
	for i, cert := range c.certificates {
		if cert.used.ms.Load() < c.certificates[unused].used.ms.Load() {
			unused = i
		}
		if cert.notAfter.After(c.certificates[last].notAfter) {
			last = i
		}
	}
	switch {
	case c.certificates[unused].used.ms.Load() < ms-idle.Milliseconds():
		return unused
	case c.certificates[last].notAfter.After(endOf(rec)):
		return last
	}
	return -1
}

// level returns the stamp of a level of possession, or nil for an unknown level.
func (c *client) level(auth string) *stamp {
	switch auth {
	case gate.Bearer:
		return &c.levels[bearer]
	case gate.Signed:
		return &c.levels[signed]
	case gate.MTLS:
		return &c.levels[mtls]
	}
	return nil
}

func (g *grantCount) count(ms int64) {
	g.n.Add(1)
	if g.rule != nil {
		g.rule.uses.Add(1)
		g.rule.last.touch(ms)
	}
}

func (k *keyUse) touch(ms int64) {
	if k.first.ms.Load() == 0 {
		k.first.ms.CompareAndSwap(0, ms)
	}
	k.last.touch(ms)
}

// apply drops certificates and rules that are not in force, and connects the others to the
// counters in force.
func (c *client) apply(in *inForce) {
	c.certificates = slices.DeleteFunc(c.certificates, func(cert *certificate) bool { return in.keys[cert.keyID] == nil })
	for _, cert := range c.certificates {
		cert.key = in.keys[cert.keyID]
	}
	for name, grant := range c.grants {
		if grant.rule = in.rules[name]; grant.rule == nil && name != "" {
			c.former += grant.n.Load()
			delete(c.grants, name)
		}
	}
}
