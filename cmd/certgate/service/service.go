// Package service verifies the assertions with which the gateway states the client of a
// request.
//
// A service that trusts X-Client-Id depends on the network: any program that reaches the
// service can write that header. An assertion is signed by the gateway, so a service that
// verifies it accepts only requests that the gateway has granted.
//
//	verifier, err := service.New(service.Options{
//		KeySetURL: "https://gateway.example/.well-known/jwks.json", Issuer: "https://gateway.example", Audience: "schedule",
//	})
//	handler = verifier.Middleware(handler)
//	client, ok := service.Client(r.Context()) // in the handler
//
// Every check fails closed: a request without exactly one valid assertion does not reach
// the handler. Package ginservice has the same middleware for Gin.
package service

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// Options configure a [Verifier]. Issuer, Audience and one of KeySetURL and KeySet are
// required.
type Options struct {
	// KeySetURL is the address of the gateway's JWK set, which ends in
	// /.well-known/jwks.json. The set is fetched with the first request and refreshed while
	// requests arrive. The scheme is https, or http in a network that is trusted: a party
	// that can change the response can sign assertions.
	KeySetURL string
	// KeySet is the JWK set itself, for tests and for services that cannot connect to the
	// gateway. It never changes.
	KeySet []byte
	// Issuer and Audience are the gateway's ASSERTION_ISSUER and ASSERTION_AUDIENCE.
	Issuer, Audience string
	// RequireBound refuses assertions that are not bound to one request
	// (ASSERTION_BIND=request). An assertion that is bound is always compared with the
	// request.
	RequireBound bool
	// MaxBodyBytes limits the body that is read for the comparison with its digest. A longer
	// body is refused. 0 means 1 MiB, the gateway's default.
	MaxBodyBytes int64
	// Leeway is the accepted difference between the clocks of the gateway and the service,
	// at most 30 seconds. 0 means 5 seconds.
	Leeway time.Duration
	// HTTPClient fetches the JWK set. Nil means a client that does not follow redirects.
	HTTPClient *http.Client
	// OnRefusal is called for each refused request. The error is a [*Error]. The response
	// does not contain it.
	OnRefusal func(r *http.Request, err error)
	// OnKeyError is called when the JWK set could not be fetched. The previous one stays in
	// use.
	OnKeyError func(err error)
	// Now returns the time. Nil means time.Now.
	Now func() time.Time
}

const (
	defaultLeeway  = 5 * time.Second
	maxLeeway      = 30 * time.Second
	defaultMaxBody = 1 << 20
)

// Verifier verifies assertions. It is safe for concurrent use. [New] returns valid ones.
type Verifier struct {
	options Options
	keys    keySource
}

// New returns a Verifier. It does not connect to the gateway, which may start later.
func New(o Options) (*Verifier, error) {
	switch {
	case o.Issuer == "" || o.Audience == "":
		return nil, errors.New("want an issuer and an audience")
	case (o.KeySetURL == "") == (len(o.KeySet) == 0):
		return nil, errors.New("want the URL of a JWK set or the set itself, and not both")
	case o.Leeway < 0 || o.Leeway > maxLeeway:
		return nil, fmt.Errorf("want a leeway of at most %s, found %s", maxLeeway, o.Leeway)
	case o.MaxBodyBytes < 0:
		return nil, fmt.Errorf("want a positive limit for bodies, found %d", o.MaxBodyBytes)
	}
	o.Leeway = cmp.Or(o.Leeway, defaultLeeway)
	o.MaxBodyBytes = cmp.Or(o.MaxBodyBytes, defaultMaxBody)
	if o.Now == nil {
		o.Now = time.Now
	}
	keys, err := newKeySource(o)
	if err != nil {
		return nil, err
	}
	return &Verifier{o, keys}, nil
}

// Identity is the client of a request, as the gateway verified it.
type Identity struct {
	// Name is the client's name.
	Name string
	// Auth states how the client proved possession of its key: bearer, signed or mtls.
	Auth string
	// Rule is the name of the access rule that allows the request.
	Rule string
	// Certificate is the SHA-256 of the client's certificate.
	Certificate [sha256.Size]byte
	// KeyID is the id of the anchor with which the gateway verified the certificate.
	KeyID string
}

type contextKey struct{}

// Client returns the verified client of the request with this context. ok is false if no
// middleware of this package has verified the request.
func Client(ctx context.Context) (client Identity, ok bool) {
	client, ok = ctx.Value(contextKey{}).(Identity)
	return client, ok
}

// Middleware returns a handler that passes requests with a valid assertion to next, and
// refuses all other requests. [Client] returns the client from the context of the passed
// requests.
//
// A refusal has status 401 and a problem document (RFC 9457) without the reason. The
// status is 503 if the Verifier has no keys yet.
func (v *Verifier) Middleware(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		verified, err := v.Verify(r)
		if err != nil {
			v.Refuse(w, r, err)
			return
		}
		next.ServeHTTP(w, verified)
	})
}

// Refuse calls OnRefusal and writes the response of [Verifier.Middleware] to a request that
// [Verifier.Verify] refused with err.
func (v *Verifier) Refuse(w http.ResponseWriter, r *http.Request, err error) {
	if v.options.OnRefusal != nil {
		v.options.OnRefusal(r, err)
	}
	writeRefusal(w, err)
}
