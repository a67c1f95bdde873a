package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"maps"
)

// placeholder is a value for a variable that config.Load requires and that the command
// does not use. The result of the command does not depend on it.
type placeholder struct{ variable, value string }

// unusedUpstream returns the URL of a host that never exists (RFC 6761, section 6.4). Every
// setting for the upstream is valid with https.
func unusedUpstream() placeholder { return placeholder{"UPSTREAM_URL", "https://unused.invalid"} }

// unusedRules returns rules that allow no request, because every client is denied. They
// are valid with every AUTH_IDENTITY.
func unusedRules() placeholder {
	return placeholder{"ACCESS_RULES", `rules:
  - name: unused
    clients: ["*"]
    allow: ["GET /unused"]
deny:
  - client: "*"
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

// isSet reports whether the variable or its _FILE variant is set, even to an empty value.
func isSet(environ map[string]string, variable string) bool {
	_, inline := environ[variable]
	_, file := environ[variable+"_FILE"]
	return inline || file
}

// withPlaceholders returns a copy of the environment with placeholders for the variables
// that are not set. Variables that are set stay unchanged, even with invalid values.
func withPlaceholders(environ map[string]string, unused ...placeholder) map[string]string {
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
