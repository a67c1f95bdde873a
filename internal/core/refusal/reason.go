package refusal

import (
	"net/http"
	"slices"
)

// Reason is the stable code of a refusal, in lower snake case. Reasons are part
// of the contract with clients: new ones may be added, existing ones are never
// renamed.
type Reason string

// The reasons, grouped by the check that refuses.
const (
	// The request itself, before the client is identified.
	PathAmbiguous    Reason = "path_ambiguous"
	RequestAmbiguous Reason = "request_ambiguous"
	RequestMalformed Reason = "request_malformed"
	MethodNotAllowed Reason = "method_not_allowed"
	// ExpectationFailed refuses an Expect field other than 100-continue.
	ExpectationFailed Reason = "expectation_failed"

	// External authorization: another proxy requests a decision.
	PeerUntrusted   Reason = "peer_untrusted"
	OriginMissing   Reason = "origin_missing"
	OriginAmbiguous Reason = "origin_ambiguous"

	// The credential that the request carries.
	CredentialMissing    Reason = "credential_missing"
	CredentialMalformed  Reason = "credential_malformed"
	CredentialDuplicated Reason = "credential_duplicated"
	CredentialTooLarge   Reason = "credential_too_large"
	CredentialPrivateKey Reason = "credential_private_key"
	ProxyUntrusted       Reason = "proxy_untrusted"

	// The certificate: signed by an anchor, valid now, not revoked.
	CertificateUntrusted   Reason = "certificate_untrusted"
	CertificateExpired     Reason = "certificate_expired"
	CertificateNotYetValid Reason = "certificate_not_yet_valid"
	CertificateRevoked     Reason = "certificate_revoked"
	CertificateWeak        Reason = "certificate_weak"
	CertificateUnsuitable  Reason = "certificate_unsuitable"
	CertificateLifetime    Reason = "certificate_lifetime"
	RevocationUnknown      Reason = "revocation_unknown"
	LegacySharedKey        Reason = "legacy_shared_key"

	// The client name in the certificate.
	IdentityMissing   Reason = "identity_missing"
	IdentityAmbiguous Reason = "identity_ambiguous"
	IdentityInvalid   Reason = "identity_invalid"
	// IdentityOutOfScope refuses a name that the certificate's anchor may not issue.
	IdentityOutOfScope Reason = "identity_out_of_scope"

	// The signature of the request, made with the certificate's key.
	ProofMissing    Reason = "proof_missing"
	ProofMalformed  Reason = "proof_malformed"
	ProofIncomplete Reason = "proof_incomplete"
	ProofExpired    Reason = "proof_expired"
	ProofInvalid    Reason = "proof_invalid"
	ProofDigest     Reason = "proof_digest"
	ProofReplayed   Reason = "proof_replayed"
	ProofImpossible Reason = "proof_impossible"

	// The access rules.
	AccessDenied Reason = "access_denied"

	// Limits, the upstream and the gateway itself.
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

// response holds the parts of an error response that depend on the reason only.
type response struct {
	status int
	title  string
}

var responses = map[Reason]response{
	PathAmbiguous:    {http.StatusBadRequest, "The request path can be read in more than one way"},
	RequestAmbiguous: {http.StatusBadRequest, "The request's length can be read in more than one way"},
	RequestMalformed: {http.StatusBadRequest, "The request is not valid"},
	MethodNotAllowed: {http.StatusMethodNotAllowed, "This path does not support this method"},

	ExpectationFailed: {http.StatusExpectationFailed, "The request has an expectation that the gateway does not support"},

	PeerUntrusted:   {http.StatusForbidden, "This proxy may not request authorization decisions"},
	OriginMissing:   {http.StatusForbidden, "The proxy does not describe the request to authorize"},
	OriginAmbiguous: {http.StatusForbidden, "The proxy describes more than one request to authorize"},

	CredentialMissing:    {http.StatusUnauthorized, "The request carries no client certificate"},
	CredentialMalformed:  {http.StatusUnauthorized, "The client certificate header is not a readable certificate"},
	CredentialDuplicated: {http.StatusUnauthorized, "The request carries more than one client certificate header"},
	CredentialPrivateKey: {http.StatusUnauthorized, "A private key was sent instead of a certificate and must be replaced"},
	ProxyUntrusted:       {http.StatusUnauthorized, "The client certificate is in a proxy's header but the sender is not a trusted proxy"},
	CredentialTooLarge:   {http.StatusRequestHeaderFieldsTooLarge, "The client certificate header is too large"},

	CertificateUntrusted:   {http.StatusForbidden, "The certificate is not signed by a key in force"},
	CertificateExpired:     {http.StatusForbidden, "The certificate has expired"},
	CertificateNotYetValid: {http.StatusForbidden, "The certificate is not valid yet"},
	CertificateRevoked:     {http.StatusForbidden, "The certificate has been revoked"},
	CertificateWeak:        {http.StatusForbidden, "The certificate uses cryptography that is too weak"},
	CertificateUnsuitable:  {http.StatusForbidden, "The certificate is not a client certificate"},
	CertificateLifetime:    {http.StatusForbidden, "The certificate's validity period is too long"},
	RevocationUnknown:      {http.StatusForbidden, "The revocation status of the certificate is not known"},
	LegacySharedKey:        {http.StatusForbidden, "The certificate contains the master key instead of the client's own key"},

	IdentityMissing:    {http.StatusForbidden, "The certificate has no client name"},
	IdentityAmbiguous:  {http.StatusForbidden, "The certificate has more than one client name"},
	IdentityInvalid:    {http.StatusForbidden, "The client name in the certificate is not valid"},
	IdentityOutOfScope: {http.StatusForbidden, "The key that signed the certificate may not issue this client name"},

	ProofMissing:    {http.StatusUnauthorized, "The request is not signed with the certificate's key"},
	ProofMalformed:  {http.StatusUnauthorized, "The request's signature cannot be read"},
	ProofIncomplete: {http.StatusUnauthorized, "The request's signature does not cover all required components"},
	ProofExpired:    {http.StatusUnauthorized, "The request's signature is not valid at this time"},
	ProofInvalid:    {http.StatusUnauthorized, "The request's signature does not match this request and the certificate's key"},
	ProofDigest:     {http.StatusUnauthorized, "The request's body does not match the signed digest"},
	ProofReplayed:   {http.StatusUnauthorized, "The request's signature has been used before"},
	ProofImpossible: {http.StatusUnauthorized, "The certificate's key cannot sign requests"},

	AccessDenied: {http.StatusForbidden, "No access rule allows this request for this client"},

	BodyTooLarge:   {http.StatusRequestEntityTooLarge, "The request body is too large"},
	RequestTimeout: {http.StatusRequestTimeout, "The request body did not arrive in time"},
	// 499 is nginx's status for a client that closed the connection. It appears in the
	// log only.
	ClientClosed:    {499, "The client closed the connection"},
	UpstreamFailed:  {http.StatusBadGateway, "The upstream service could not be reached"},
	UpstreamTimeout: {http.StatusGatewayTimeout, "The upstream service did not respond in time"},
	RateLimited:     {http.StatusTooManyRequests, "Too many requests were sent in a short time"},
	Overloaded:      {http.StatusServiceUnavailable, "The gateway or the upstream service is overloaded"},
	Draining:        {http.StatusServiceUnavailable, "The gateway is shutting down"},
	Internal:        {http.StatusInternalServerError, "The gateway failed"},
}

// Known reports whether the reason is one of [Reasons].
func (r Reason) Known() bool {
	_, ok := responses[r]
	return ok
}

// Status returns the HTTP status of the reason, or 500 for an unknown reason.
func (r Reason) Status() int {
	if known, ok := responses[r]; ok {
		return known.status
	}
	return http.StatusInternalServerError
}

// Title returns one sentence for human readers. It is the same for every refusal of
// this reason (RFC 9457, section 3.1.3).
func (r Reason) Title() string {
	if known, ok := responses[r]; ok {
		return known.title
	}
	return responses[Internal].title
}

// Reasons returns every reason in alphabetical order. The caller may change the
// slice.
func Reasons() []Reason {
	all := make([]Reason, 0, len(responses))
	for r := range responses {
		all = append(all, r)
	}
	slices.Sort(all)
	return all
}
