package identity

import (
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/core/trust"
)

// Reader reads the names of clients from certificates. It reads one source, except for
// certificates of an anchor whose [Scope] selects another source. It is immutable and safe
// for concurrent use. Nil and the zero value refuse every certificate.
type Reader struct {
	source Source
	scopes []*scope
}

// NewReader returns a reader of the source. An anchor without a scope may issue every
// name. The error joins all errors, each a [*ScopeError] except that of an unknown source.
func NewReader(source Source, scopes []Scope) (*Reader, error) {
	if _, err := ParseSource(string(source)); err != nil {
		return nil, err
	}
	r := &Reader{source: source}
	var faults []error
	entries := map[string]int{} // by short key
	for i, s := range scopes {
		valid, errs := newScope(i, s, source)
		faults = append(faults, errs...)
		if len(errs) > 0 {
			continue
		}
		short := string(valid.key[:shortKey])
		if first, again := entries[short]; again {
			faults = append(faults, &ScopeError{i, "key", -1, fmt.Sprintf("want one entry for each key, found the key of entry %d again", first+1)})
		}
		entries[short] = i
		r.scopes = append(r.scopes, valid)
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	return r, nil
}

// Reader returns a reader of the source without scopes.
func (s Source) Reader() *Reader { return &Reader{source: s} }

// Of reads the client's name from a verified certificate. Every error is a
// [*refusal.Error] with one of these reasons:
//
//   - IdentityMissing for a zero Verified, a Verified without its certificate, a nil Reader,
//     or a certificate without a value of the source,
//   - IdentityAmbiguous for several values,
//   - IdentityInvalid for a value that is not a valid name,
//   - IdentityOutOfScope for a name that the anchor may not issue.
func (r *Reader) Of(v trust.Verified) (Client, error) {
	switch {
	case !v.Valid() || v.Certificate() == nil:
		return Client{}, refusal.New(refusal.IdentityMissing, "want a verified certificate, found none")
	case r == nil:
		return Client{}, refusal.New(refusal.IdentityMissing, "want a source of client names, found none")
	}
	name, err := r.read(v.Certificate(), v.IssuerKeyIDs())
	if err != nil {
		return Client{}, err
	}
	return Client{&identified{name, r.SourceFor(v.KeyID()), v.WithoutCertificate()}}, nil
}

// Claimed returns the name in a certificate that an anchor signed and that was refused,
// with the checks and errors of [Reader.Of]. The result is for the log and must not be
// used for access decisions.
func (r *Reader) Claimed(s trust.Signed) (string, error) {
	if r == nil || !s.Valid() {
		return "", refusal.New(refusal.IdentityMissing, "want a signed certificate, found none")
	}
	return r.read(s.Certificate(), s.IssuerKeyIDs())
}

// Displayed returns the name in a certificate whose issuer is not known, without the
// check of scopes. The result is for display to the operator and must not be used for
// access decisions.
func (r *Reader) Displayed(cert *x509.Certificate) (string, error) {
	if r == nil {
		return "", refusal.New(refusal.IdentityMissing, "want a source of client names, found none")
	}
	return r.source.claimed(cert)
}

// read returns the name in a certificate. The issuers are the keys of its path; the last one
// is the anchor's. The scopes of all issuers apply, because an anchor may also be an
// intermediate below another anchor, and the client chooses the path by the intermediates
// that it sends.
func (r *Reader) read(cert *x509.Certificate, issuers []trust.KeyID) (string, error) {
	if len(issuers) == 0 {
		return "", refusal.New(refusal.IdentityMissing, "want the keys that issued the certificate, found none")
	}
	source := r.SourceFor(issuers[len(issuers)-1])
	name, err := source.claimed(cert)
	if err != nil {
		return "", err
	}
	for _, id := range issuers {
		if s := r.scopeOf(id); s != nil && !s.permits(source, name) {
			return "", refusal.New(refusal.IdentityOutOfScope, "key %s may not issue %s %.80q: want %s", id.Short(), source, name, r.Describe(id))
		}
	}
	return name, nil
}

func (r *Reader) scopeOf(id trust.KeyID) *scope {
	if i := slices.IndexFunc(r.scopes, func(s *scope) bool { return s.applies(id) }); i >= 0 {
		return r.scopes[i]
	}
	return nil
}

// SourceFor returns the source of the names in certificates of an anchor.
func (r *Reader) SourceFor(anchor trust.KeyID) Source {
	if r == nil {
		return ""
	}
	if s := r.scopeOf(anchor); s != nil {
		return s.source
	}
	return r.source
}

// Permits reports whether a certificate of the anchor could have this name.
func (r *Reader) Permits(anchor trust.KeyID, name string) bool {
	source := r.SourceFor(anchor)
	if source.CheckName(name) != nil {
		return false
	}
	s := r.scopeOf(anchor)
	return s == nil || s.permits(source, name)
}

// PermitsLogged is like [Reader.Permits] for a name in the log and the anchor's short id, as
// [trust.KeyID.Short] returns it. If the source of the anchor has no names of this form, the
// name was read from another part of the certificate, and sameSource is false.
func (r *Reader) PermitsLogged(shortID, name string) (permitted, sameSource bool) {
	if r == nil {
		return false, false
	}
	source := r.source
	i := slices.IndexFunc(r.scopes, func(s *scope) bool { return hex.EncodeToString(s.key[:shortKey]) == shortID })
	if i >= 0 {
		source = r.scopes[i].source
	}
	if source.CheckName(name) != nil {
		return false, false
	}
	return i < 0 || r.scopes[i].permits(source, name), true
}

// IsScoped reports whether a scope restricts the names of the anchor.
func (r *Reader) IsScoped(anchor trust.KeyID) bool {
	if r == nil {
		return false
	}
	s := r.scopeOf(anchor)
	return s != nil && !s.every
}

// Clients returns the names that the anchor may issue, as they are configured, or nil if
// it may issue every name.
func (r *Reader) Clients(anchor trust.KeyID) []string {
	if !r.IsScoped(anchor) {
		return nil
	}
	return slices.Clone(r.scopeOf(anchor).clients)
}

// maxDescribed is the number of names that Describe lists.
const maxDescribed = 4

// Describe returns the source and the names that an anchor may issue, such as
// `uri ["spiffe://partner.example/*"]` or "ou, every name".
func (r *Reader) Describe(anchor trust.KeyID) string {
	source := r.SourceFor(anchor)
	if !r.IsScoped(anchor) {
		return string(source) + ", every name"
	}
	clients := r.Clients(anchor)
	text := fmt.Sprintf("%s %.80q", source, clients[:min(len(clients), maxDescribed)])
	if more := len(clients) - maxDescribed; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}
