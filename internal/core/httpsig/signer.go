package httpsig

import (
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"time"

	"github.com/dunglas/httpsfv"

	"github.com/certgate/certgate/internal/core/headers"
	"github.com/certgate/certgate/internal/core/refusal"
)

// label is the label of the signature that a [Signer] creates.
const label = "sig1"

// defaultLifetime is the time from created to expires if Terms.Lifetime is zero.
const defaultLifetime = time.Minute

// Signer signs requests for one client. It is safe for concurrent use if its key is; the
// keys of the standard library are. Use [NewSigner] to create one; the zero value signs
// nothing.
type Signer struct {
	key    crypto.Signer
	keyID  string
	header string // lower-case name of the credential header
}

// NewSigner creates a Signer for a certificate and its private key, which must be RSA,
// ECDSA on P-256 or P-384, or Ed25519. credentialHeader is the name of the field that
// will carry the certificate.
func NewSigner(cert *x509.Certificate, key crypto.Signer, credentialHeader string) (*Signer, error) {
	if cert == nil || key == nil {
		return nil, errors.New("want a certificate and its key, found none")
	}
	own, ok := cert.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !own.Equal(key.Public()) {
		return nil, errors.New("want the key of the certificate, found another key")
	}
	if len(algorithms(cert.PublicKey, true)) == 0 {
		return nil, fmt.Errorf("want a key that can sign requests (RSA, ECDSA on P-256 or P-384, Ed25519), found %s", describe(cert.PublicKey))
	}
	header := strings.ToLower(credentialHeader)
	if !isField(header) {
		return nil, fmt.Errorf("want a field name for the certificate, found %.80q", credentialHeader)
	}
	spki, err := x509.MarshalPKIXPublicKey(cert.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("the certificate's key: %w", err)
	}
	id := sha256.Sum256(spki)
	return &Signer{key: key, keyID: hex.EncodeToString(id[:]), header: header}, nil
}

// Terms are the parameters of a signature. The zero value is valid.
type Terms struct {
	// Created is the start of the validity period. Zero means the current time.
	Created time.Time
	// Lifetime is the time from created to expires, in whole seconds up to MaxLifetime.
	// Zero means one minute.
	Lifetime time.Duration
	// Nonce has 1 to 128 printable ASCII characters. If empty, 128 random bits are used.
	Nonce string
	// Cover lists field names to cover in addition to the required components. The
	// message must have each of them. If the message has a body and a Content-Type,
	// Content-Type is always covered, because it determines how the service parses the
	// body.
	Cover []string
	// LegacyRSA selects rsa-v1_5-sha256 instead of rsa-pss-sha512 for an RSA key.
	LegacyRSA bool
}

// Sign returns the fields to set on the request, with canonical names: Signature-Input,
// Signature and, for a message with a body, Content-Digest. They replace existing fields
// with these names. The message's header must contain the credential. Sign calls
// Message.Body once if HasBody is true.
func (s *Signer) Sign(m Message, t Terms) (http.Header, error) {
	if s == nil || s.key == nil {
		return nil, errors.New("want a signer made by NewSigner, found its zero value")
	}
	a, err := s.algorithm(t.LegacyRSA)
	if err != nil {
		return nil, err
	}
	signed := http.Header{}
	if m, err = withDigest(m, signed); err != nil {
		return nil, err
	}
	list, err := s.list(m, t)
	if err != nil {
		return nil, err
	}
	params, err := httpsfv.Marshal(list)
	if err != nil {
		return nil, fmt.Errorf("signature parameters: %w", err)
	}
	signature, err := s.signBase(a, m, list, params)
	if err != nil {
		return nil, err
	}
	signed.Set(headers.SignatureInput, label+"="+params)
	signed.Set(headers.Signature, label+"=:"+base64.StdEncoding.EncodeToString(signature)+":")
	return signed, nil
}

// signBase signs the message. Its errors are not refusals, because no request was
// received.
func (s *Signer) signBase(a algorithm, m Message, list httpsfv.InnerList, params string) ([]byte, error) {
	covered, err := components(list.Items)
	if err != nil {
		return nil, withoutReason(err)
	}
	base, err := signatureBase(m, NormalizeHost(m.Authority), covered, params)
	if err != nil {
		return nil, withoutReason(err)
	}
	signature, err := a.sign(s.key, base)
	if err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	return signature, nil
}

// withoutReason converts a refusal to an ordinary error with the same detail.
func withoutReason(err error) error {
	if refused := refusal.Of(err); refused != nil {
		return errors.New(refused.Detail)
	}
	return err
}

func (s *Signer) algorithm(legacyRSA bool) (algorithm, error) {
	supported := algorithms(s.key.Public(), legacyRSA)
	if len(supported) == 0 {
		return "", fmt.Errorf("want a key long enough for rsa-pss-sha512, found %s", describe(s.key.Public()))
	}
	return supported[len(supported)-1], nil
}

// withDigest returns the message with a Content-Digest field for its body, and sets the
// same field in signed. It does not change the header of m.
func withDigest(m Message, signed http.Header) (Message, error) {
	if !m.HasBody {
		return m, nil
	}
	if m.Body == nil {
		return m, errors.New("want the body of the message, found a nil Body")
	}
	body, err := m.Body()
	if err != nil {
		return m, fmt.Errorf("body: %w", err)
	}
	value, err := digestOf(body)
	if err != nil {
		return m, err
	}
	signed.Set(contentDigest, value)
	m.Header = maps.Clone(m.Header)
	if m.Header == nil {
		m.Header = http.Header{}
	}
	m.Header.Set(contentDigest, value)
	return m, nil
}

// list returns the covered components and the parameters of the signature.
func (s *Signer) list(m Message, t Terms) (httpsfv.InnerList, error) {
	names := append(requiredComponents(m.Target), s.header)
	if m.HasBody {
		names = append(names, contentDigest)
		if m.Header.Get("Content-Type") != "" {
			names = append(names, "content-type")
		}
	}
	list := httpsfv.InnerList{Params: httpsfv.NewParams()}
	seen := map[string]bool{}
	for _, name := range append(names, t.Cover...) {
		name = strings.ToLower(name)
		if !seen[name] {
			seen[name] = true
			list.Items = append(list.Items, httpsfv.NewItem(name))
		}
	}
	return list, s.addParams(list.Params, t)
}

func (s *Signer) addParams(p *httpsfv.Params, t Terms) error {
	if t.Created.IsZero() {
		t.Created = time.Now()
	}
	if t.Lifetime == 0 {
		t.Lifetime = defaultLifetime
	}
	if t.Lifetime < 0 || t.Lifetime > MaxLifetime || t.Lifetime%time.Second != 0 {
		return fmt.Errorf("want a lifetime of 1s to %s in whole seconds, found %s", MaxLifetime, t.Lifetime)
	}
	if t.Nonce == "" {
		t.Nonce = newNonce()
	}
	if len(t.Nonce) > maxNonce {
		return fmt.Errorf("want a nonce of at most %d characters, found %d", maxNonce, len(t.Nonce))
	}
	created := t.Created.Unix()
	p.Add("created", created)
	p.Add("expires", created+int64(t.Lifetime/time.Second))
	p.Add("nonce", t.Nonce)
	p.Add("keyid", s.keyID)
	p.Add("tag", Tag)
	return nil
}

// newNonce returns 128 random bits in base64url.
func newNonce() string {
	var random [16]byte
	_, _ = rand.Read(random[:]) // crypto/rand.Read never returns an error
	return base64.RawURLEncoding.EncodeToString(random[:])
}
