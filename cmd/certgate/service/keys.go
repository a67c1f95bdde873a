package service

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/go-jose/go-jose/v4"
)

// keySource finds the key with an id. The error is a [*Error].
type keySource interface {
	find(ctx context.Context, id string) (key, error)
}

func newKeySource(o Options) (keySource, error) {
	if o.KeySetURL != "" {
		return newFetched(o)
	}
	return parseKeys(o.KeySet)
}

// key is a public key with the only algorithm for which it is used.
type key struct {
	public    any
	algorithm jose.SignatureAlgorithm
}

// keySet holds keys by their ids.
type keySet map[string]key

func (s keySet) find(_ context.Context, id string) (key, error) {
	if k, ok := s[id]; ok {
		return k, nil
	}
	return key{}, refuse(UnknownKey, "want the id of one of %d keys, found %.80q", len(s), id)
}

// parseKeys returns the Ed25519 and P-256 keys of a JWK set. It ignores other keys, as RFC
// 7517, section 5, requires. It returns an error if no key remains.
func parseKeys(text []byte) (keySet, error) {
	var set struct{ Keys []json.RawMessage }
	if err := json.Unmarshal(text, &set); err != nil {
		return nil, fmt.Errorf("the JWK set: %w", err)
	}
	keys := keySet{}
	for _, entry := range set.Keys {
		var k jose.JSONWebKey
		if k.UnmarshalJSON(entry) != nil {
			continue
		}
		algorithm := algorithmOf(k.Key)
		if algorithm == "" || k.KeyID == "" || k.Use != "" && k.Use != "sig" || k.Algorithm != "" && k.Algorithm != string(algorithm) {
			continue
		}
		if _, found := keys[k.KeyID]; found {
			return nil, fmt.Errorf("the JWK set: want one key for each kid, found two for %.80q", k.KeyID)
		}
		keys[k.KeyID] = key{k.Key, algorithm}
	}
	if len(keys) == 0 {
		return nil, errors.New("the JWK set: want an Ed25519 or P-256 public key with a kid, found none")
	}
	return keys, nil
}

// algorithmOf returns the algorithm for a public key, or "" for keys that are not used.
// Private and symmetric keys are not.
func algorithmOf(public any) jose.SignatureAlgorithm {
	switch k := public.(type) {
	case ed25519.PublicKey:
		return jose.EdDSA
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P256() {
			return jose.ES256
		}
	}
	return ""
}
