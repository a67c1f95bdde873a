package httpsig

import (
	"crypto"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"github.com/dunglas/httpsfv"
)

// SignatureBase returns the signature base and the signature with that label. It does
// not check the coverage or the parameters.
func SignatureBase(m Message, label string) (base, signature []byte, err error) {
	d, _, err := dictionary("Signature-Input", m.Header["Signature-Input"])
	if err != nil {
		return nil, nil, err
	}
	member, _ := d.Get(label)
	list, _ := member.(httpsfv.InnerList)
	params, err := httpsfv.Marshal(list)
	if err != nil {
		return nil, nil, err
	}
	covered, err := components(list.Items)
	if err != nil {
		return nil, nil, err
	}
	if base, err = signatureBase(m, NormalizeHost(m.Authority), covered, params); err != nil {
		return nil, nil, err
	}
	signature, err = findSignature(label, m.Header["Signature"])
	return base, signature, err
}

// Verify reports whether the key supports the algorithm and made the signature over the
// base.
func Verify(key crypto.PublicKey, name string, base, signature []byte) bool {
	return slices.Contains(algorithms(key, true), algorithm(name)) && algorithm(name).verify(key, base, signature)
}

// DERECDSA converts the concatenation of r and s, each of size bytes, to DER.
func DERECDSA(raw []byte, size int) []byte { return derECDSA(raw, size) }

// Value returns the value of the component with the given identifier, written as in
// Signature-Input.
func Value(m Message, identifier string) (string, error) {
	list, err := httpsfv.UnmarshalItem([]string{identifier})
	if err != nil {
		return "", err
	}
	c, err := newComponent(list)
	if err != nil {
		return "", err
	}
	from := source{m: m, host: NormalizeHost(m.Authority)}
	value, err := from.appendValue(nil, c)
	return string(value), err
}

// Sign signs a base with the key's algorithm; legacyRSA selects rsa-v1_5-sha256.
func Sign(key crypto.Signer, legacyRSA bool, base []byte) ([]byte, error) {
	supported := algorithms(key.Public(), legacyRSA)
	return supported[len(supported)-1].sign(key, base)
}

// ReadInput returns the canonical form of Signature-Input and the label of the signature
// with certgate's tag.
func ReadInput(lines ...string) (canonical, label string, err error) {
	if _, canonical, err = dictionary("Signature-Input", lines); err != nil {
		return "", "", err
	}
	_, label, err = findInput(lines)
	return canonical, label, err
}

// CompareCanonical reports whether the fast path accepts the signature in the header. The
// error is not nil if it accepts a signature that the general parser does not read the same
// way, or fields that differ from their serialization.
func CompareCanonical(h http.Header) (fast bool, err error) {
	found, fast := readCanonical(h)
	if !fast {
		return false, nil
	}
	want, err := parseSignature(h)
	if err != nil {
		return true, fmt.Errorf("the general parser refuses %q: %w", h, err)
	}
	if !reflect.DeepEqual(found, want) {
		return true, fmt.Errorf("%q is read as %+v, want %+v", h, found, want)
	}
	return true, errors.Join(checkCanonical("Signature-Input", h["Signature-Input"]), checkCanonical("Signature", h["Signature"]))
}

// CompareCanonicalDigest does the same as CompareCanonical for Content-Digest.
func CompareCanonicalDigest(lines []string) (fast bool, err error) {
	found, fast := readCanonicalDigest(lines)
	if !fast {
		return false, nil
	}
	want, err := parseDigests(lines)
	if err != nil {
		return true, fmt.Errorf("the general parser refuses %q: %w", lines, err)
	}
	if !reflect.DeepEqual(found, want) {
		return true, fmt.Errorf("%q is read as %+v, want %+v", lines, found, want)
	}
	return true, checkCanonical("Content-Digest", lines)
}

func checkCanonical(name string, lines []string) error {
	_, canonical, err := dictionary(name, lines)
	if err == nil && canonical != strings.Join(lines, ", ") {
		err = fmt.Errorf("want %q in canonical form, found %q", canonical, lines)
	}
	return err
}
