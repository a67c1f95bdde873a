package gate_test

import (
	"crypto/x509"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/certgate/certgate/internal/core/access"
	"github.com/certgate/certgate/internal/core/gate"
	"github.com/certgate/certgate/internal/core/identity"
	"github.com/certgate/certgate/internal/core/trust"
)

// drawDocument draws a document for the clients of world. The names of its rules begin with
// prefix, so that a grant shows from which document it is.
func drawDocument(t *rapid.T, w world, prefix string) document {
	pick := func(label string, from ...string) string { return rapid.SampledFrom(from).Draw(t, prefix+label) }
	var d document
	for i := range rapid.IntRange(0, 3).Draw(t, prefix+"rules") {
		d.rules = append(d.rules, access.Rule{
			// Distinct subtrees, because a rule that grants nothing new is an error.
			Name: fmt.Sprintf("%s-%d", prefix, i), Clients: []string{pick("client", "mail", "social", "denied", "*")},
			Allow: []string{fmt.Sprintf("%s /%d%s", pick("method", "GET", "POST"), i, pick("end", "", "/", "/{id}"))},
			Proof: pick("proof", "", "off", "observe"),
		})
	}
	if client := pick("denied", "", "", "mail", "social", "*"); client != "" {
		d.denied = []access.Denied{{Client: client}}
	}
	if rapid.Bool().Draw(t, prefix+"revoked") {
		cert := rapid.SampledFrom([]*x509.Certificate{w.mail, w.social, w.revoked}).Draw(t, prefix+"serial")
		d.revoked = []trust.Revocation{{Serial: fmt.Sprintf("%x", cert.SerialNumber)}}
	}
	if scope := pick("scope", "", "", "mail", "social", "s*"); scope != "" {
		d.scopes = []identity.Scope{{Key: w.keyring.Anchors()[0].ID().String(), Clients: []string{scope}}}
	}
	d.source = rapid.SampledFrom([]identity.Source{identity.OU, identity.OU, identity.CN}).Draw(t, prefix+"source")
	return d
}

// TestNextPredictsThePromotion compares the decisions of three gates about random requests:
// one with next rules, one with the same rules in force and no next rules, and one with the
// next rules in force. The comparison must not influence the decision in any field, the grant
// must be one of the rules in force, and the change must be what the promotion shows.
func TestNextPredictsThePromotion(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	certs := []*x509.Certificate{w.mail, w.social, w.denied, w.revoked, w.foreign}
	rapid.Check(t, func(t *rapid.T) {
		inForce, next := drawDocument(t, w, "now"), drawDocument(t, w, "next")
		both, alone, promoted := comparing(t, w.keyring, inForce, next), ruledBy(t, w.keyring, inForce), ruledBy(t, w.keyring, next)
		for range 8 {
			r := gate.Request{
				Time: now.Add(time.Duration(rapid.IntRange(-30, 70).Draw(t, "minutes")) * time.Minute), Auth: gate.Bearer,
				Credential: header(rapid.SampledFrom(certs).Draw(t, "certificate")),
				Method:     rapid.SampledFrom([]string{"GET", "POST", "HEAD"}).Draw(t, "method"),
				Target:     rapid.SampledFrom([]string{"/0", "/1", "/0/", "/1/7", "/2/7", "/0//", "/%2e", "*", ""}).Draw(t, "target"),
			}
			got, want, after := both.Decide(r), alone.Decide(r), promoted.Decide(r)
			if change := expected(want, after); got.Next != change {
				t.Fatalf("next %q, want %q: %v in force, then %v", got.Next, change, want.Refusal, after.Refusal)
			}
			if got.Grant.Valid() && !strings.HasPrefix(got.Grant.Rule(), "now-") {
				t.Fatalf("the grant is from rule %q, want one in force", got.Grant.Rule())
			}
			if got, want := summarize(got), summarize(want); !reflect.DeepEqual(got, want) {
				t.Fatalf("with next rules %+v, without %+v", got, want)
			}
		}
	})
}

// expected returns the change from one decision to another.
func expected(from, to gate.Decision) gate.Change {
	switch {
	case from.Refusal == nil && to.Refusal != nil:
		return gate.NextRefuses
	case from.Refusal != nil && to.Refusal == nil:
		return gate.NextAllows
	case from.Refusal == nil && from.Client.Name() != to.Client.Name():
		return gate.NextRenames
	default:
		return ""
	}
}

// summary has the fields of a decision that can be compared between gates.
type summary struct {
	last                                            gate.Step
	client, signed, rule, auth, method, path, grant string
	proof, asked                                    access.Proof
	valid                                           bool
	refusal                                         any
}

// summarize returns the summary of a decision.
func summarize(d gate.Decision) summary {
	return summary{
		d.Last, d.Client.Name(), d.SignedClient, d.Rule, d.Auth, d.Grant.Method(), d.Target.String(), d.Grant.Rule(),
		d.Grant.Proof(), d.Proof, d.Grant.Valid(), d.Refusal,
	}
}
