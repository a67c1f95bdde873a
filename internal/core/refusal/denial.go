// Package refusal names every reason for which certgate refuses a request.
//
// A refusal is an [*Error]: a stable [Reason] that the caller may see and a
// detail that only the log may see. Any other error is a fault of the gateway
// or of what is behind it, never an opinion about the caller.
//
// The status of a reason lives in one table here. An unknown reason is answered
// with 500, so a reason that somebody forgot to add can refuse too much but can
// never let anything pass.
package refusal

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"
)

// Reason is the stable code of a refusal, in lower snake case. Reasons are part
// of the contract with clients: they are added, never renamed.
type Reason string

// The reasons, grouped by the question that was asked.
const (
	// The request itself, before anybody asks who sent it.
	PathAmbiguous    Reason = "path_ambiguous"
	RequestAmbiguous Reason = "request_ambiguous"
	RequestMalformed Reason = "request_malformed"
	MethodNotAllowed Reason = "method_not_allowed"
	// ExpectationFailed is for an Expect field other than 100-continue.
	ExpectationFailed Reason = "expectation_failed"

	// The question of a proxy that asks about another request.
	PeerUntrusted   Reason = "peer_untrusted"
	OriginMissing   Reason = "origin_missing"
	OriginAmbiguous Reason = "origin_ambiguous"

	// The credential: what the request brought.
	CredentialMissing    Reason = "credential_missing"
	CredentialMalformed  Reason = "credential_malformed"
	CredentialDuplicated Reason = "credential_duplicated"
	CredentialTooLarge   Reason = "credential_too_large"
	CredentialPrivateKey Reason = "credential_private_key"
	ProxyUntrusted       Reason = "proxy_untrusted"

	// The certificate: whether the master key stands behind it today.
	CertificateUntrusted   Reason = "certificate_untrusted"
	CertificateExpired     Reason = "certificate_expired"
	CertificateNotYetValid Reason = "certificate_not_yet_valid"
	CertificateRevoked     Reason = "certificate_revoked"
	CertificateWeak        Reason = "certificate_weak"
	CertificateUnsuitable  Reason = "certificate_unsuitable"
	CertificateLifetime    Reason = "certificate_lifetime"
	RevocationUnknown      Reason = "revocation_unknown"
	LegacySharedKey        Reason = "legacy_shared_key"

	// The identity: whom the certificate speaks for.
	IdentityMissing   Reason = "identity_missing"
	IdentityAmbiguous Reason = "identity_ambiguous"
	IdentityInvalid   Reason = "identity_invalid"

	// The proof: whether the request was signed with the certificate's own key.
	ProofMissing    Reason = "proof_missing"
	ProofMalformed  Reason = "proof_malformed"
	ProofIncomplete Reason = "proof_incomplete"
	ProofExpired    Reason = "proof_expired"
	ProofInvalid    Reason = "proof_invalid"
	ProofDigest     Reason = "proof_digest"
	ProofReplayed   Reason = "proof_replayed"
	ProofImpossible Reason = "proof_impossible"

	// Access: what this client may do.
	AccessDenied Reason = "access_denied"

	// Limits and the way to the upstream.
	BodyTooLarge    Reason = "body_too_large"
	RequestTimeout  Reason = "request_timeout"
	ClientClosed    Reason = "client_closed"
	UpstreamFailed  Reason = "upstream_failed"
	UpstreamTimeout Reason = "upstream_timeout"
	RateLimited     Reason = "rate_limited"
	Overloaded      Reason = "overloaded"
	Draining        Reason = "draining"
	Internal        Reason = "internal"
)

// answer is what a reason looks like from outside.
type answer struct {
	status int
	title  string
}

var answers = map[Reason]answer{
	PathAmbiguous:    {http.StatusBadRequest, "The request path can be read in more than one way"},
	RequestAmbiguous: {http.StatusBadRequest, "The request's length can be read in more than one way"},
	RequestMalformed: {http.StatusBadRequest, "The request is not valid"},
	MethodNotAllowed: {http.StatusMethodNotAllowed, "This path does not take this method"},

	ExpectationFailed: {http.StatusExpectationFailed, "The request asks for something in Expect that the gateway does not support"},

	PeerUntrusted:   {http.StatusForbidden, "This proxy may not ask about requests"},
	OriginMissing:   {http.StatusForbidden, "The proxy does not say which request it asks about"},
	OriginAmbiguous: {http.StatusForbidden, "The proxy asks about more than one request at once"},

	CredentialMissing:    {http.StatusUnauthorized, "The request carries no client certificate"},
	CredentialMalformed:  {http.StatusUnauthorized, "The client certificate header is not a readable certificate"},
	CredentialDuplicated: {http.StatusUnauthorized, "The request carries more than one client certificate header"},
	CredentialPrivateKey: {http.StatusUnauthorized, "A private key was sent in the place of a certificate and has to be replaced"},
	ProxyUntrusted:       {http.StatusUnauthorized, "The client certificate is in a proxy's header but not from a trusted proxy"},
	CredentialTooLarge:   {http.StatusRequestHeaderFieldsTooLarge, "The client certificate header is too large"},

	CertificateUntrusted:   {http.StatusForbidden, "The certificate is not signed by a key in force"},
	CertificateExpired:     {http.StatusForbidden, "The certificate has expired"},
	CertificateNotYetValid: {http.StatusForbidden, "The certificate is not valid yet"},
	CertificateRevoked:     {http.StatusForbidden, "The certificate has been revoked"},
	CertificateWeak:        {http.StatusForbidden, "The certificate uses cryptography that is too weak"},
	CertificateUnsuitable:  {http.StatusForbidden, "The certificate is not a client certificate"},
	CertificateLifetime:    {http.StatusForbidden, "The certificate is issued for longer than is accepted"},
	RevocationUnknown:      {http.StatusForbidden, "Whether the certificate has been revoked is not known"},
	LegacySharedKey:        {http.StatusForbidden, "The certificate holds the master key and not a key of the client's own"},

	IdentityMissing:   {http.StatusForbidden, "The certificate names no organizational unit"},
	IdentityAmbiguous: {http.StatusForbidden, "The certificate names more than one organizational unit"},
	IdentityInvalid:   {http.StatusForbidden, "The certificate's organizational unit is not a client name"},

	ProofMissing:    {http.StatusUnauthorized, "The request is not signed with the certificate's key"},
	ProofMalformed:  {http.StatusUnauthorized, "The request's signature cannot be read"},
	ProofIncomplete: {http.StatusUnauthorized, "The request's signature does not cover what it has to"},
	ProofExpired:    {http.StatusUnauthorized, "The request's signature is not valid at this time"},
	ProofInvalid:    {http.StatusUnauthorized, "The request's signature was not made over this request with the certificate's key"},
	ProofDigest:     {http.StatusUnauthorized, "The request's body is not the one that was signed"},
	ProofReplayed:   {http.StatusUnauthorized, "The request's signature has been used before"},
	ProofImpossible: {http.StatusUnauthorized, "The certificate's key cannot sign requests"},

	AccessDenied: {http.StatusForbidden, "No access rule allows this client this request"},

	BodyTooLarge:   {http.StatusRequestEntityTooLarge, "The request body is too large"},
	RequestTimeout: {http.StatusRequestTimeout, "The request body did not arrive in time"},
	// 499 is nginx's number for a client that did not wait; nobody receives it.
	ClientClosed:    {499, "The client closed the connection"},
	UpstreamFailed:  {http.StatusBadGateway, "The service behind the gateway could not be reached"},
	UpstreamTimeout: {http.StatusGatewayTimeout, "The service behind the gateway did not answer in time"},
	RateLimited:     {http.StatusTooManyRequests, "Too many requests came in too short a time"},
	Overloaded:      {http.StatusServiceUnavailable, "The gateway or the service behind it has too much to do"},
	Draining:        {http.StatusServiceUnavailable, "The gateway is shutting down"},
	Internal:        {http.StatusInternalServerError, "The gateway failed"},
}

// Status is the HTTP status of the reason; 500 for an unknown one.
func (r Reason) Status() int {
	if a, ok := answers[r]; ok {
		return a.status
	}
	return http.StatusInternalServerError
}

// Title is one sentence for people, the same for every refusal of this reason
// (RFC 9457, section 3.1.3).
func (r Reason) Title() string {
	if a, ok := answers[r]; ok {
		return a.title
	}
	return answers[Internal].title
}

// Reasons lists every reason in alphabetical order.
func Reasons() []Reason {
	all := make([]Reason, 0, len(answers))
	for r := range answers {
		all = append(all, r)
	}
	slices.Sort(all)
	return all
}

// Error is one refusal. Detail is for the log and the operator's terminal
// only: it may quote the certificate's fields, so it never reaches a client.
type Error struct {
	Reason Reason
	Detail string
	// Hint tells the client how to repair its request (RFC 9457, section 3.1.4),
	// or is empty. It is for strangers: it says nothing but what anybody could see
	// in the request, and quotes nothing of it.
	Hint string
	// AcceptSignature tells the client what a signature has to cover, as the value
	// of Accept-Signature (RFC 9421, section 5.1), or is empty.
	AcceptSignature string
	// RetryAfter tells the client when another try may make sense (RFC 9110,
	// section 10.2.3); 0: the refusal does not say.
	RetryAfter time.Duration
}

// New makes a refusal whose detail is formatted as by [fmt.Sprintf]. Untrusted
// text belongs in %q.
func New(r Reason, format string, args ...any) *Error {
	return &Error{Reason: r, Detail: fmt.Sprintf(format, args...)}
}

// WithHint is a copy with a hint for the client, which the detail repeats for the
// operator.
func (e *Error) WithHint(hint string) *Error {
	advised := *e
	advised.Detail, advised.Hint = e.Detail+". "+hint, hint
	return &advised
}

// Error is the reason and the detail, for the log.
func (e *Error) Error() string { return string(e.Reason) + ": " + e.Detail }

// Of is the refusal inside err, or nil when err is a fault or nil.
func Of(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return nil
}
