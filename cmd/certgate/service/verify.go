package service

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"net/http"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"

	"github.com/certgate/certgate/internal/core/headers"
)

const (
	// tokenType is the typ of an assertion's header. Other tokens of the issuer do not have
	// it (RFC 8725, section 3.11).
	tokenType = "certgate+jwt"
	// maxToken limits the length of an assertion. The gateway's have at most 24 KiB.
	maxToken = 32 << 10
	// maxLifetime is the largest difference between exp and iat in seconds. Both are times
	// of the gateway's clock, so it needs no leeway.
	maxLifetime = 60
)

// Verify checks the assertion of a request. It returns a copy of the request with the
// client in its context, for [Client]. The error is a [*Error].
//
// If the assertion has a digest of the body, Verify reads the whole body of r, and the copy
// has a body with the same bytes.
func (v *Verifier) Verify(r *http.Request) (*http.Request, error) {
	token, err := tokenOf(r)
	if err != nil {
		return nil, err
	}
	payload, err := v.open(r.Context(), token)
	if err != nil {
		return nil, err
	}
	var c claims
	if err := json.Unmarshal(payload, &c); err != nil {
		return nil, refuse(InvalidClaims, "want the claims of an assertion: %v", err)
	}
	if err := v.checkIssue(c); err != nil {
		return nil, err
	}
	identity, err := c.identity()
	if err != nil {
		return nil, err
	}
	if names := r.Header.Values(headers.ClientID); len(names) > 1 || len(names) == 1 && names[0] != identity.Name {
		return nil, refuse(WrongClient, "want one %s that is %q as in the assertion, found %.80q", headers.ClientID, identity.Name, names)
	}
	verified := r.WithContext(context.WithValue(r.Context(), contextKey{}, identity))
	return verified, v.checkRequest(c, verified)
}

func tokenOf(r *http.Request) (string, error) {
	switch values := r.Header.Values(headers.ClientAssertion); {
	case len(values) == 0:
		return "", refuse(Missing, "want one %s, found none", headers.ClientAssertion)
	case len(values) > 1:
		return "", refuse(Malformed, "want one %s, found %d", headers.ClientAssertion, len(values))
	case len(values[0]) > maxToken:
		return "", refuse(Malformed, "want at most %d bytes, found %d", maxToken, len(values[0]))
	default:
		return values[0], nil
	}
}

// open verifies the type, the algorithm and the signature, and returns the payload.
func (v *Verifier) open(ctx context.Context, token string) ([]byte, error) {
	signed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.EdDSA, jose.ES256})
	if err != nil {
		return nil, refuse(Malformed, "want a JWS in compact serialization with EdDSA or ES256: %v", err)
	}
	header := signed.Signatures[0].Protected
	if kind, _ := header.ExtraHeaders[jose.HeaderType].(string); kind != tokenType {
		return nil, refuse(Malformed, "want the type %s, found %.80q", tokenType, header.ExtraHeaders[jose.HeaderType])
	}
	key, err := v.keys.find(ctx, header.KeyID)
	if err != nil {
		return nil, err
	}
	if header.Algorithm != string(key.algorithm) { // RFC 8725, section 3.1
		return nil, refuse(Malformed, "want %s, the algorithm of the key, found %s", key.algorithm, header.Algorithm)
	}
	payload, err := signed.Verify(key.public)
	if err != nil {
		return nil, refuse(InvalidSignature, "want a signature with the key %.16q: %v", header.KeyID, err)
	}
	return payload, nil
}

// claims are the claims of an assertion. Unknown claims are ignored.
type claims struct {
	Issuer       string `json:"iss"`
	Audience     string `json:"aud"`
	Subject      string `json:"sub"`
	IssuedAt     int64  `json:"iat"`
	Expiry       int64  `json:"exp"`
	Confirmation struct {
		Thumbprint string `json:"x5t#S256"`
	} `json:"cnf"`
	Auth  string `json:"auth"`
	Rule  string `json:"rule"`
	KeyID string `json:"key_id"`

	// Of bound assertions only.
	Method     string `json:"htm"`
	Target     string `json:"htu"`
	BodyDigest string `json:"body_sha256"`
}

// checkIssue checks by whom, for whom and when the assertion was made.
func (v *Verifier) checkIssue(c claims) error {
	now, leeway := v.options.Now(), v.options.Leeway
	switch {
	case c.Issuer != v.options.Issuer:
		return refuse(WrongIssuer, "want the issuer %q, found %.80q", v.options.Issuer, c.Issuer)
	case c.Audience != v.options.Audience:
		return refuse(WrongAudience, "want the audience %q, found %.80q", v.options.Audience, c.Audience)
	case c.IssuedAt <= 0 || c.Expiry <= c.IssuedAt:
		return refuse(InvalidClaims, "want iat and a later exp, found %d and %d", c.IssuedAt, c.Expiry)
	case c.Expiry-c.IssuedAt > maxLifetime:
		return refuse(TooLong, "want at most %d seconds from iat to exp, found %d", maxLifetime, c.Expiry-c.IssuedAt)
	case c.IssuedAt > now.Add(leeway).Unix():
		return refuse(Future, "want iat at or before %d, found %d", now.Unix(), c.IssuedAt)
	case c.Expiry <= now.Add(-leeway).Unix():
		return refuse(Expired, "want exp after %d, found %d", now.Unix(), c.Expiry)
	}
	return nil
}

// identity returns the client, or an error if a claim about it is missing.
func (c claims) identity() (Identity, error) {
	identity := Identity{Name: c.Subject, Auth: c.Auth, Rule: c.Rule, KeyID: c.KeyID}
	thumbprint, err := base64.RawURLEncoding.Strict().DecodeString(c.Confirmation.Thumbprint)
	switch {
	case c.Subject == "" || c.Rule == "" || c.KeyID == "":
		return Identity{}, refuse(InvalidClaims, "want sub, rule and key_id, found %.80q, %.80q and %.80q", c.Subject, c.Rule, c.KeyID)
	case c.Auth != "bearer" && c.Auth != "signed" && c.Auth != "mtls":
		return Identity{}, refuse(InvalidClaims, "want auth to be bearer, signed or mtls, found %.80q", c.Auth)
	case err != nil || len(thumbprint) != sha256.Size:
		return Identity{}, refuse(InvalidClaims, "want a SHA-256 in cnf, found %.80q", c.Confirmation.Thumbprint)
	}
	copy(identity.Certificate[:], thumbprint)
	return identity, nil
}

// checkRequest compares a bound assertion with the request, whose body it may replace.
func (v *Verifier) checkRequest(c claims, r *http.Request) error {
	switch {
	case c.Method == "" && c.Target == "" && c.BodyDigest == "":
		if v.options.RequireBound {
			return refuse(Unbound, "want an assertion with htm and htu, found none of them")
		}
		return nil
	case c.Method != r.Method:
		return refuse(WrongRequest, "want the method %q of the request, found htm %.80q", r.Method, c.Method)
	case c.Target != r.RequestURI:
		return refuse(WrongRequest, "want the target %.80q of the request, found htu %.80q", r.RequestURI, c.Target)
	case c.BodyDigest == "":
		return nil
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, v.options.MaxBodyBytes+1))
	if err != nil {
		return refuse(WrongRequest, "want the whole body: %v", err)
	}
	if int64(len(body)) > v.options.MaxBodyBytes {
		return refuse(WrongRequest, "want a body of at most %d bytes", v.options.MaxBodyBytes)
	}
	if digest := sha256.Sum256(body); c.BodyDigest != base64.RawURLEncoding.EncodeToString(digest[:]) {
		return refuse(WrongRequest, "want the digest of the body of %d bytes, found another one", len(body))
	}
	r.Body = readBody{bytes.NewReader(body), r.Body}
	return nil
}

// readBody is a body that has been read, with the Close of the original one.
type readBody struct {
	io.Reader
	io.Closer
}
