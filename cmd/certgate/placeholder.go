package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"maps"
)

// placeholder is a value for a variable that config.Load requires and a command
// does not use. A command that fills one in takes no decision from it.
type placeholder struct{ variable, value string }

// unusedUpstream is nowhere (RFC 6761, section 6.4).
func unusedUpstream() placeholder { return placeholder{"UPSTREAM_URL", "http://unused.invalid"} }

// unusedRules allow nobody anything: their only client is denied.
func unusedRules() placeholder {
	return placeholder{"ACCESS_RULES", `rules:
  - name: unused
    clients: [unused]
    allow: ["GET /unused"]
deny:
  - client: unused
    reason: stands for rules that are not set
`}
}

// unusedKey returns a new public key. Its private key is discarded, so no
// certificate can be signed with it.
func unusedKey() (placeholder, error) {
	key, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return placeholder{}, err
	}
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return placeholder{}, err
	}
	return placeholder{"AUTH_PUBLIC_KEY", string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))}, nil
}

// isSet says whether the variable or its _FILE twin is set, if only to nothing.
func isSet(environ map[string]string, variable string) bool {
	_, inline := environ[variable]
	_, file := environ[variable+"_FILE"]
	return inline || file
}

// filled is the environment with placeholders for what is not set at all. What
// is set stays as it is, with its faults.
func filled(environ map[string]string, unused ...placeholder) map[string]string {
	copied := maps.Clone(environ)
	if copied == nil {
		copied = map[string]string{}
	}
	for _, p := range unused {
		if !isSet(environ, p.variable) {
			copied[p.variable] = p.value
		}
	}
	return copied
}
