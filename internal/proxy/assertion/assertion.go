// Package assertion signs statements about granted requests for the service.
//
// An assertion is a JSON Web Token in the field X-Client-Assertion. It proves to a service
// that verifies it that the gateway granted the request, even if other programs can connect
// to the service. README.md specifies the format.
//
// [ParseKeys] reads the private keys, [New] makes a [Signer], and [Signer.Assert] returns
// the assertion about one request. An assertion can only be made about a valid grant.
package assertion

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/go-jose/go-jose/v4"

	"github.com/certgate/certgate/internal/core/access"
	"github.com/certgate/certgate/internal/core/refusal"
)

// Type is the typ of an assertion's header. No other token of the same issuer has it
// (RFC 8725, section 3.11).
const Type = "certgate+jwt"

const (
	// lifetime is the time from iat to exp.
	lifetime = 60 * time.Second
	// margin is the time before exp in which a cached assertion is not sent any more.
	margin = 10 * time.Second
)

// Options configure a [Signer].
type Options struct {
	// Keys are 1 to [MaxKeys] keys. The first one signs.
	Keys []Key
	// Issuer and Audience are the claims iss and aud.
	Issuer, Audience string
	// Bind adds the method, the target and the digest of the body, so that each assertion
	// is valid for one request only. Bound assertions are not cached.
	Bind bool
	// Now returns the time. Nil means time.Now.
	Now func() time.Time
}

// Signer makes assertions. It is safe for concurrent use, and immutable except for its
// cache. A nil Signer makes no assertions.
type Signer struct {
	key    jose.Signer
	fixed  claims // iss and aud
	bind   bool
	now    func() time.Time
	cache  *cache
	keySet []byte
}

// New returns a Signer. It returns an error if there is no key.
func New(o Options) (*Signer, error) {
	if len(o.Keys) == 0 || len(o.Keys) > MaxKeys {
		return nil, fmt.Errorf("want 1 or %d assertion keys, found %d", MaxKeys, len(o.Keys))
	}
	var set jose.JSONWebKeySet
	for _, k := range o.Keys {
		set.Keys = append(set.Keys, k.public)
	}
	keySet, err := json.Marshal(set)
	if err != nil {
		return nil, fmt.Errorf("the JWK set: %w", err)
	}
	s := &Signer{
		key: o.Keys[0].signer, fixed: claims{Issuer: o.Issuer, Audience: o.Audience},
		bind: o.Bind, now: o.Now, cache: newCache(maxBytes), keySet: keySet,
	}
	if s.now == nil {
		s.now = time.Now
	}
	return s, nil
}

// KeySet returns the public keys as a JWK set (RFC 7517). The caller must not change it.
// It is nil for a nil Signer.
func (s *Signer) KeySet() []byte {
	if s == nil {
		return nil
	}
	return s.keySet
}

// Binds reports whether each assertion is bound to its request. It is false for a nil
// Signer.
func (s *Signer) Binds() bool { return s != nil && s.bind }

// Content is the content of a request's body, as far as the gateway knows it. The zero
// value means that the gateway does not have the whole body.
type Content struct {
	Bytes    []byte
	Complete bool
}

// Assert returns the assertion about a request with this grant, or "" if s is nil. auth is
// the level of possession. The content is used only if [Signer.Binds]. Assert returns an
// error for an invalid grant; a [*refusal.Error] means that the client sent a request that
// cannot be bound.
func (s *Signer) Assert(g access.Grant, auth string, content Content) (string, error) {
	switch {
	case s == nil:
		return "", nil
	case !g.Valid():
		return "", refusal.New(refusal.Internal, "want a grant, found none")
	case s.bind:
		return s.signBound(g, auth, content)
	}
	key, now := keyOf(g, auth), s.now()
	if token, ok := s.cache.get(key, now); ok {
		return token, nil
	}
	token, err := s.sign(s.claimsOf(g, auth, now))
	if err == nil {
		s.cache.put(key, token, now)
	}
	return token, err
}

// claims are the claims of an assertion, in the order of the documentation.
type claims struct {
	Issuer       string       `json:"iss"`
	Audience     string       `json:"aud"`
	Subject      string       `json:"sub"`
	IssuedAt     int64        `json:"iat"`
	Expiry       int64        `json:"exp"`
	Confirmation confirmation `json:"cnf"`
	Auth         string       `json:"auth"`
	Rule         string       `json:"rule"`
	KeyID        string       `json:"key_id"`

	// Of bound assertions only.
	Method     string `json:"htm,omitempty"`
	Target     string `json:"htu,omitempty"`
	BodyDigest string `json:"body_sha256,omitempty"`
}

type confirmation struct {
	Thumbprint string `json:"x5t#S256"`
}

func (s *Signer) claimsOf(g access.Grant, auth string, now time.Time) claims {
	c, client := s.fixed, g.Client()
	c.Subject = client.Name()
	c.IssuedAt = now.Unix()
	c.Expiry = c.IssuedAt + int64(lifetime/time.Second)
	c.Confirmation.Thumbprint = encodeDigest(client.Certificate().Thumbprint())
	c.Auth, c.Rule, c.KeyID = auth, g.Rule(), client.Certificate().KeyID().String()
	return c
}

// signBound signs an assertion about this one request.
func (s *Signer) signBound(g access.Grant, auth string, content Content) (string, error) {
	target := g.Target().String()
	if !utf8.ValidString(target) { // JSON cannot contain it
		return "", refusal.New(refusal.RequestMalformed, "want a request target in UTF-8, to which an assertion can be bound, found %.80q", target)
	}
	c := s.claimsOf(g, auth, s.now())
	c.Method, c.Target = g.Method(), target
	if content.Complete {
		c.BodyDigest = encodeDigest(sha256.Sum256(content.Bytes))
	}
	return s.sign(c)
}

// sign returns the claims as a JWS in compact serialization.
func (s *Signer) sign(c claims) (string, error) {
	var payload bytes.Buffer
	encoder := json.NewEncoder(&payload)
	encoder.SetEscapeHTML(false) // an escaped "&" has 6 bytes, and queries have many
	if err := encoder.Encode(c); err != nil {
		return "", fmt.Errorf("the claims of an assertion: %w", err)
	}
	signed, err := s.key.Sign(bytes.TrimSuffix(payload.Bytes(), []byte("\n")))
	if err != nil {
		return "", fmt.Errorf("signing an assertion: %w", err)
	}
	return signed.CompactSerialize()
}

func encodeDigest(digest [sha256.Size]byte) string {
	return base64.RawURLEncoding.EncodeToString(digest[:])
}
