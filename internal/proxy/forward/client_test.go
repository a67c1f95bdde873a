package forward_test

import (
	"sync"
	"time"

	"github.com/certgate/certgate/internal/core/access"
	"github.com/certgate/certgate/internal/core/identity"
	"github.com/certgate/certgate/internal/core/trust"
	"github.com/certgate/certgate/internal/tool/pki"
)

// mail is the client of most tests.
var mail = sync.OnceValues(func() (identity.Client, error) { return newClient("mail") })

// newClient returns a client whose certificate was issued by an authority and accepted by
// a verifier.
func newClient(name string) (identity.Client, error) {
	now := time.Now()
	ca, err := pki.New(pki.Options{Name: "test", Algorithm: pki.Ed25519, Lifetime: time.Hour, Now: now})
	if err != nil {
		return identity.Client{}, err
	}
	key, err := pki.P256.Generate()
	if err != nil {
		return identity.Client{}, err
	}
	cert, err := ca.Issue(pki.Request{Client: name, PublicKey: key.Public(), Lifetime: 30 * time.Minute, Now: now})
	if err != nil {
		return identity.Client{}, err
	}
	keyring, err := trust.ParseKeyring(ca.PublicKeyPEM(), 0)
	if err != nil {
		return identity.Client{}, err
	}
	verified, err := trust.NewVerifier(keyring, nil, trust.Limits{}).Verify(cert, now)
	if err != nil {
		return identity.Client{}, err
	}
	return identity.OU.Reader().Of(verified)
}

// grant returns the decision of a policy that allows the request.
func grant(method, target string) (access.Grant, error) {
	client, err := mail()
	if err != nil {
		return access.Grant{}, err
	}
	return grantTo(client, method, target)
}

func grantTo(client identity.Client, method, target string) (access.Grant, error) {
	policy, err := access.Compile([]access.Rule{{
		Name: "all", Clients: []string{client.Name()}, Allow: []string{method + " /"},
	}}, nil)
	if err != nil {
		return access.Grant{}, err
	}
	parsed, err := access.ParseTarget(target)
	if err != nil {
		return access.Grant{}, err
	}
	return policy.Decide(client, method, parsed)
}
