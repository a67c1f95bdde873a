package httpsig

import (
	"crypto"
	"slices"

	"github.com/dunglas/httpsfv"
)

// SignatureBase is the base of the signature with that label, whatever certgate
// demands of it.
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

// Verify reports whether the signature over the base is the key's. The algorithm
// is one that the key is able to.
func Verify(key crypto.PublicKey, name string, base, signature []byte) bool {
	return slices.Contains(algorithms(key, true), algorithm(name)) && algorithm(name).verify(key, base, signature)
}

// Value is the value of one component, as its identifier is written in
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

// Sign signs a base with a key and the algorithm that is the key's.
func Sign(key crypto.Signer, legacyRSA bool, base []byte) ([]byte, error) {
	able := algorithms(key.Public(), legacyRSA)
	return able[len(able)-1].sign(key, base)
}

// ReadInput is the one spelling of Signature-Input, and the label of the signature
// in it that is certgate's.
func ReadInput(lines ...string) (only, label string, err error) {
	if _, only, err = dictionary("Signature-Input", lines); err != nil {
		return "", "", err
	}
	_, label, err = findInput(lines)
	return only, label, err
}
