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

// EncodeKey returns the private key as one unencrypted PEM block of type PRIVATE KEY
// (PKCS #8, RFC 5958). It supports the same types of keys as [ParseKey].
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

// ParseKey parses one unencrypted RSA, ECDSA or Ed25519 private key in PEM: PRIVATE KEY
// (PKCS #8), EC PRIVATE KEY or RSA PRIVATE KEY. The only other block that the text may
// contain is EC PARAMETERS, which openssl ecparam writes. ParseKey does not check the
// strength of the key. Its errors never quote the text.
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

// decodeBlocks returns the PEM blocks of a text. Text other than white space between the
// blocks is an error, because pem.Decode skips such text and, with it, damaged blocks.
func decodeBlocks(text []byte) ([]*pem.Block, error) {
	var blocks []*pem.Block
	rest := bytes.TrimSpace(text)
	for len(rest) > 0 {
		if !bytes.HasPrefix(rest, []byte("-----BEGIN ")) {
			return nil, errors.New("want PEM blocks only, found other text")
		}
		block, tail := pem.Decode(rest)
		decoded := rest[:len(rest)-len(tail)]
		// With a second BEGIN, pem.Decode has skipped a damaged block.
		if block == nil || bytes.Count(decoded, []byte("-----BEGIN ")) != 1 {
			return nil, errors.New("want whole PEM blocks, found a damaged one")
		}
		blocks = append(blocks, block)
		rest = bytes.TrimSpace(tail)
	}
	return blocks, nil
}

// describe returns the types of the blocks, without their contents.
func describe(blocks []*pem.Block) string {
	if len(blocks) == 0 {
		return "none"
	}
	types := make([]string, 0, len(blocks))
	for _, block := range blocks {
		types = append(types, fmt.Sprintf("%.40q", block.Type))
	}
	return strings.Join(types, ", ")
}
