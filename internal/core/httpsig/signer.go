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

// label is what a [Signer] calls its signature.
const label = "sig1"

// defaultLifetime is from created to expires where nobody says more.
const defaultLifetime = time.Minute

// Signer signs requests for one client. It is safe for concurrent use when its key
// is, as those of the standard library are; [NewSigner] makes one.
type Signer struct {
	key    crypto.Signer
	keyID  string
	header string // the credential's, in lower case
}

// NewSigner makes a signer of a certificate and its key: RSA, ECDSA on P-256 or
// P-384, or Ed25519. CredentialHeader is the name of the field that will carry the
// certificate.
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
		return nil, fmt.Errorf("want a field's name for the certificate, found %.80q", credentialHeader)
	}
	spki, err := x509.MarshalPKIXPublicKey(cert.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("the certificate's key: %w", err)
	}
	id := sha256.Sum256(spki)
	return &Signer{key: key, keyID: hex.EncodeToString(id[:]), header: header}, nil
}

// Terms are what a signature says beside the request. The zero value is good.
type Terms struct {
	// Created is when it begins; zero: now.
	Created time.Time
	// Lifetime is from created to expires, whole seconds; 0: one minute.
	Lifetime time.Duration
	// Nonce is 1 to 128 printable ASCII characters; empty: 128 random bits.
	Nonce string
	// Cover are field names that are covered beside what must be, each of which
	// the message has. Content-Type is covered without being named wherever there
	// is a body and the message has it: it decides how the body is read.
	Cover []string
	// LegacyRSA signs with rsa-v1_5-sha256 in place of rsa-pss-sha512.
	LegacyRSA bool
}

// Sign returns the fields that prove the message, with canonical names:
// Signature-Input, Signature, and for a message with a body Content-Digest. They
// replace fields of these names. The message's header has the credential; its Body
// is asked for once when HasBody.
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
		return nil, fmt.Errorf("the signature's parameters: %w", err)
	}
	signature, err := s.signBase(a, m, list, params)
	if err != nil {
		return nil, err
	}
	signed.Set(headers.SignatureInput, label+"="+params)
	signed.Set(headers.Signature, label+"=:"+base64.StdEncoding.EncodeToString(signature)+":")
	return signed, nil
}

// signBase makes the signature. That the message cannot be signed is no refusal of
// anybody's.
func (s *Signer) signBase(a algorithm, m Message, list httpsfv.InnerList, params string) ([]byte, error) {
	covered, err := components(list.Items)
	if err != nil {
		return nil, plain(err)
	}
	base, err := signatureBase(m, NormalizeHost(m.Authority), covered, params)
	if err != nil {
		return nil, plain(err)
	}
	signature, err := a.sign(s.key, base)
	if err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	return signature, nil
}

func plain(err error) error {
	if refused := refusal.Of(err); refused != nil {
		return errors.New(refused.Detail)
	}
	return err
}

func (s *Signer) algorithm(legacyRSA bool) (algorithm, error) {
	able := algorithms(s.key.Public(), legacyRSA)
	if len(able) == 0 {
		return "", fmt.Errorf("want a key that is long enough for rsa-pss-sha512, found %s", describe(s.key.Public()))
	}
	return able[len(able)-1], nil
}

// withDigest is the message with the digest of its body, which is among the signed
// fields as well.
func withDigest(m Message, signed http.Header) (Message, error) {
	if !m.HasBody {
		return m, nil
	}
	if m.Body == nil {
		return m, errors.New("want the body of the message, found none to see")
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

// list is the member of Signature-Input.
func (s *Signer) list(m Message, t Terms) (httpsfv.InnerList, error) {
	names := append(needed(m.Target), s.header)
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

// newNonce is 128 random bits.
func newNonce() string {
	var random [16]byte
	_, _ = rand.Read(random[:]) // never fails: it ends the program instead
	return base64.RawURLEncoding.EncodeToString(random[:])
}
