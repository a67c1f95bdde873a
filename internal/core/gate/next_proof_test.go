package gate_test

import (
	"cmp"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/core/access"
	"github.com/certgate/certgate/internal/core/gate"
	"github.com/certgate/certgate/internal/core/refusal"
)

// next makes a stage compare its decisions with one rule for every path.
func (s *stage) next(t *testing.T, rule access.Rule) {
	t.Helper()
	rule.Name, rule.Clients, rule.Allow = cmp.Or(rule.Name, "next"), []string{"mail"}, []string{"POST /"}
	n := document{rules: []access.Rule{rule}}.compile(t)
	v := s.Identifier.(gate.Verification)
	v.Next = &gate.NextIdentity{Names: n.names}
	s.Identifier, s.Next = v, &gate.NextRules{Policy: n.policy}
}

// TestNextProof checks every requirement in force with every next one, for each kind of
// request, and that the comparison uses no nonce and reads no body.
func TestNextProof(t *testing.T) {
	t.Parallel()
	const needs, refuses, allows = gate.NextNeedsProof, gate.NextRefuses, gate.NextAllows
	kinds := []string{"bearer", "signed", "damaged", "mtls"}
	tests := []struct {
		inForce, next string
		want          [4]gate.Change // by kind
	}{
		{"off", "off", [...]gate.Change{"", "", "", ""}},
		{"off", "observe", [...]gate.Change{"", "", "", ""}},
		{"off", "require", [...]gate.Change{refuses, needs, needs, ""}},
		{"observe", "off", [...]gate.Change{"", "", "", ""}},
		{"observe", "observe", [...]gate.Change{"", "", "", ""}},
		{"observe", "require", [...]gate.Change{refuses, "", refuses, ""}},
		{"require", "off", [...]gate.Change{allows, "", allows, ""}},
		{"require", "observe", [...]gate.Change{allows, "", allows, ""}},
		{"require", "require", [...]gate.Change{"", "", "", ""}},
		{"unsaid", "require", [...]gate.Change{refuses, "", refuses, ""}}, // the default is observe
		{"require", "", [...]gate.Change{allows, "", allows, ""}},
	}
	for _, tt := range tests {
		t.Run(tt.inForce+" "+tt.next, func(t *testing.T) {
			t.Parallel()
			for i, kind := range kinds {
				s := newStage(t, access.ProofObserve)
				r := s.request(t, kind, "/"+tt.inForce)
				before := s.Decide(r)
				s = newStage(t, access.ProofObserve)
				s.next(t, access.Rule{Proof: tt.next})
				r = s.request(t, kind, "/"+tt.inForce)
				d := s.Decide(r)
				if d.Next != tt.want[i] {
					t.Errorf("%s: next %q, want %q", kind, d.Next, tt.want[i])
				}
				if (before.Refusal == nil) != (d.Refusal == nil) || before.Auth != d.Auth {
					t.Errorf("%s: %v and %s, without next rules %v and %s", kind, d.Refusal, d.Auth, before.Refusal, before.Auth)
				}
				if tt.inForce == "off" && len(s.nonces)+s.bodies+len(s.guarded) > 0 {
					t.Errorf("%s: want no verification, found %d nonces, %d bodies, %v", kind, len(s.nonces), s.bodies, s.guarded)
				}
			}
		})
	}
}

// request returns a request of one kind: bearer, signed, damaged or mtls.
func (s *stage) request(t *testing.T, kind, path string) gate.Request {
	t.Helper()
	switch kind {
	case "bearer":
		return s.bearer(path)
	case "mtls":
		r := s.bearer(path)
		r.Auth = gate.MTLS
		return r
	case "damaged":
		r := s.signed(t, path)
		r.Authority = "other.example"
		return r
	default:
		return s.signed(t, path)
	}
}

// TestNextRate checks that the next rules have tokens of their own, that they count
// requests that both allow, and that a rule with an unchanged rate is never a change.
func TestNextRate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	limited := func(name, rate, burst string) document {
		return allowing("mail").with(func(d *document) {
			d.rules[0].Name, d.rules[0].Rate, d.rules[0].Burst = name, rate, burst
		})
	}
	const ok, over = refusal.Reason(""), refusal.RateLimited
	tests := []struct {
		name          string
		inForce, next document
		refused       []refusal.Reason // by the rules in force, of four requests at once
		want          []gate.Change
	}{
		{"stricter", limited("a", "1/h", "3"), limited("a", "1/h", "1"), []refusal.Reason{ok, ok, ok, over}, []gate.Change{"", "rate", "rate", ""}},
		{"a new limit", limited("a", "", ""), limited("a", "1/h", "2"), []refusal.Reason{ok, ok, ok, ok}, []gate.Change{"", "", "rate", "rate"}},
		{"more", limited("a", "1/h", "1"), limited("a", "1/h", "3"), []refusal.Reason{ok, over, over, over}, []gate.Change{"", "allow", "allow", ""}},
		{"no limit any more", limited("a", "1/h", "1"), limited("a", "", ""), []refusal.Reason{ok, over, over, over}, []gate.Change{"", "allow", "allow", "allow"}},
		{"unchanged", limited("a", "1/h", "2"), limited("a", "1/h", "2"), []refusal.Reason{ok, ok, over, over}, []gate.Change{"", "", "", ""}},
		{"another name", limited("a", "1/h", "2"), limited("b", "1/h", "2"), []refusal.Reason{ok, ok, over, over}, []gate.Change{"", "", "", ""}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			g := comparing(t, w.keyring, tt.inForce, tt.next)
			for i, want := range tt.want {
				d := g.Decide(gate.Request{Time: now, Credential: header(w.mail), Method: "POST", Target: "/events"})
				check(t, d, tt.refused[i])
				if d.Next != want {
					t.Errorf("request %d: next %q, want %q", i+1, d.Next, want)
				}
			}
		})
	}
}

// TestNextUnchangedRateNeverDiffers loads the next rules while the bucket in force is empty.
// The new bucket is full, but the rule would keep the one in force.
func TestNextUnchangedRateNeverDiffers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	rules := allowing("mail").with(func(d *document) { d.rules[0].Rate, d.rules[0].Burst = "1/m", "1" })
	g := comparing(t, w.keyring, rules, rules)
	r := gate.Request{Time: now, Credential: header(w.mail), Method: "POST", Target: "/events"}
	check(t, g.Decide(r), "")
	g.Next = &gate.NextRules{Policy: rules.compile(t).policy}
	for i, want := range []refusal.Reason{refusal.RateLimited, refusal.RateLimited, "", refusal.RateLimited} {
		if i == 2 {
			r.Time = r.Time.Add(time.Minute)
		}
		d := g.Decide(r)
		check(t, d, want)
		if d.Next != "" {
			t.Errorf("request %d: next %q, want no change", i, d.Next)
		}
	}
}

// TestNextRateAfterProof checks a request that is refused for its missing signature before it
// takes a token: the next rule without the requirement has the same rate, and a token.
func TestNextRateAfterProof(t *testing.T) {
	t.Parallel()
	s := newStage(t, access.ProofOff)
	s.next(t, access.Rule{Name: "require", Rate: "1/h", Burst: "1", Proof: "off"})
	for i, want := range []gate.Change{gate.NextAllows, ""} {
		d := s.Decide(s.bearer("/require"))
		check(t, d, refusal.ProofMissing)
		if d.Next != want {
			t.Errorf("request %d: next %q, want %q", i, d.Next, want)
		}
	}
}

// BenchmarkNext measures a decision about a cached certificate without and with next rules.
// The difference should be at most 0.2 µs, without an allocation, also if it is a change.
func BenchmarkNext(b *testing.B) {
	w := newWorld(b)
	inForce := document{rules: append(allowing("mail").rules, access.Rule{Name: "read", Clients: []string{"*"}, Allow: []string{"GET /events/{id}"}})}
	strict := document{rules: inForce.rules[:1], denied: []access.Denied{{Client: "social"}}}
	limited := inForce.with(func(d *document) {
		d.rules = []access.Rule{d.rules[0], {Name: "read", Clients: []string{"*"}, Allow: []string{"GET /events/{id}"}, Rate: "1000000/s"}}
	})
	for _, bb := range []struct {
		name string
		next *document
		want gate.Change
	}{{"unset", nil, ""}, {"same", &inForce, ""}, {"refused", &strict, gate.NextRefuses}, {"rate", &limited, ""}} {
		b.Run(bb.name, func(b *testing.B) {
			g := comparing(b, w.keyring, inForce, inForce)
			g.Next = nil
			if bb.next != nil {
				g = comparing(b, w.keyring, inForce, *bb.next)
			}
			r := gate.Request{Time: now, Credential: header(w.mail), Method: "GET", Target: "/events/4711"}
			b.ReportAllocs()
			for b.Loop() {
				r.Time = r.Time.Add(time.Microsecond)
				if d := g.Decide(r); d.Refusal != nil || d.Next != bb.want {
					b.Fatal(d.Refusal, d.Next)
				}
			}
		})
	}
}
