package pki

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

// EncodeKey returns the private key as one PEM block of type PRIVATE KEY
// (PKCS #8, RFC 5958), unencrypted. The keys it knows are those of [ParseKey].
func EncodeKey(key crypto.Signer) ([]byte, error) {
	if key == nil {
		return nil, errors.New("want a private key, found none")
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode private key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// ParseKey reads one unencrypted private key, RSA, ECDSA or Ed25519, from PEM:
// PRIVATE KEY (PKCS #8), EC PRIVATE KEY or RSA PRIVATE KEY, with nothing beside
// it but the EC PARAMETERS that openssl ecparam writes. The strength of the key
// is not judged. Errors never quote the text.
func ParseKey(text []byte) (crypto.Signer, error) {
	blocks, err := decodeBlocks(text)
	if err != nil {
		return nil, err
	}
	if len(blocks) == 2 && blocks[0].Type == "EC PARAMETERS" && blocks[1].Type == "EC PRIVATE KEY" {
		blocks = blocks[1:]
	}
	if len(blocks) != 1 {
		return nil, fmt.Errorf("want one private key, found %s", describe(blocks))
	}
	if isEncrypted(blocks[0]) {
		return nil, errors.New("want an unencrypted private key, found an encrypted one (openssl pkey -in FILE decrypts it)")
	}
	return parsePrivateKey(blocks[0].Type, blocks[0].Bytes)
}

func isEncrypted(block *pem.Block) bool {
	return block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != ""
}

func encodePublicKey(spki []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki})
}

// decodeBlocks splits PEM text into its blocks. Text outside of blocks is an
// error, except white space: pem.Decode would skip it, and with it a block that
// was damaged.
func decodeBlocks(text []byte) ([]*pem.Block, error) {
	var blocks []*pem.Block
	rest := bytes.TrimSpace(text)
	for len(rest) > 0 {
		if !bytes.HasPrefix(rest, []byte("-----BEGIN ")) {
			return nil, errors.New("want PEM blocks and nothing else, found other text")
		}
		block, tail := pem.Decode(rest)
		read := rest[:len(rest)-len(tail)]
		// A second BEGIN in what was read: a damaged block was skipped.
		if block == nil || bytes.Count(read, []byte("-----BEGIN ")) != 1 {
			return nil, errors.New("want whole PEM blocks, found a damaged one")
		}
		blocks = append(blocks, block)
		rest = bytes.TrimSpace(tail)
	}
	return blocks, nil
}

// describe lists the kinds of blocks, never what is in them.
func describe(blocks []*pem.Block) string {
	if len(blocks) == 0 {
		return "none"
	}
	kinds := make([]string, 0, len(blocks))
	for _, block := range blocks {
		kinds = append(kinds, fmt.Sprintf("%.40q", block.Type))
	}
	return strings.Join(kinds, ", ")
}
