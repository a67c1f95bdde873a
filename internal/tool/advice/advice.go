// Package advice states what an operator can do about a refused request.
package advice

import "github.com/certgate/certgate/internal/core/refusal"

// For returns one sentence about what to do when requests are refused for this reason, or ""
// for an unknown reason. It does not depend on the request, whose detail may say more.
func For(r refusal.Reason) string { return sentences[r] }

const (
	clientSends = "The client must send its certificate as certgate header prints it, once, in the header of AUTH_HEADER."
	newCert     = "Issue a new certificate to the client (certgate issue)."
	signAgain   = "The client must sign the request as it is sent: certgate agent and certgate request do."
	overload    = "Compare the requests in flight with MAX_IN_FLIGHT and MAX_CONNECTIONS, and the state of the service."
	proxySends  = "Correct the proxy that asks: see the configurations in test/proxies."
)

var sentences = map[refusal.Reason]string{
	refusal.PathAmbiguous:     "The client must send the path without //, dot segments and encoded slashes or dots.",
	refusal.RequestAmbiguous:  "The client must send exactly one of Content-Length and Transfer-Encoding.",
	refusal.RequestMalformed:  "The client must send a valid HTTP request; the detail states the fault.",
	refusal.MethodNotAllowed:  "The client must use a method that this path of the gateway supports, or another path.",
	refusal.ExpectationFailed: "The client must omit Expect, or send Expect: 100-continue.",

	refusal.PeerUntrusted:   "If the address is that of your proxy, add it to AUTHZ_PEERS.",
	refusal.OriginMissing:   proxySends,
	refusal.OriginAmbiguous: proxySends,

	refusal.CredentialMissing:    clientSends,
	refusal.CredentialMalformed:  clientSends + " certgate inspect FILE states what is wrong with a file.",
	refusal.CredentialDuplicated: clientSends,
	refusal.CredentialTooLarge:   "Send fewer intermediate certificates, or raise MAX_CREDENTIAL_BYTES.",
	refusal.CredentialPrivateKey: "Treat the key as stolen: deny its certificate, make a new key, and issue a certificate over it.",
	refusal.ProxyUntrusted:       "If the sender is your proxy, add its address to TRUSTED_PROXIES; a client uses the header of AUTH_HEADER.",

	refusal.CertificateUntrusted:   "Issue a certificate with a key in force (certgate keys lists them), or add the issuing key to AUTH_PUBLIC_KEY.",
	refusal.CertificateExpired:     newCert,
	refusal.CertificateNotYetValid: "Compare the clocks of the issuer and of the gateway.",
	refusal.CertificateRevoked:     "If the revocation is an error, remove the entry of the deny list or revocation list; otherwise issue a certificate over a new key.",
	refusal.CertificateWeak:        "Issue a certificate over a stronger key, signed with SHA-256 or better.",
	refusal.CertificateUnsuitable:  "Issue a client certificate: no CA certificate, with digitalSignature and clientAuth if it has usages.",
	refusal.CertificateLifetime:    "Issue a certificate with a shorter validity period, or raise AUTH_MAX_LIFETIME.",
	refusal.RevocationUnknown:      "Replace the revocation list, which is not current (AUTH_CRL_FILE).",
	refusal.LegacySharedKey:        "Issue a certificate over a key of the client's own (certgate issue).",

	refusal.IdentityMissing:    "Issue a certificate with a name in the part that AUTH_IDENTITY selects.",
	refusal.IdentityAmbiguous:  "Issue a certificate with exactly one name in the part that AUTH_IDENTITY selects.",
	refusal.IdentityInvalid:    "Issue a certificate with a valid client name; certgate inspect shows the names in a certificate.",
	refusal.IdentityOutOfScope: "Issue the certificate with another key, or add the name to the clients of this key under anchors in the rules file.",

	refusal.ProofMissing:    signAgain,
	refusal.ProofMalformed:  signAgain,
	refusal.ProofIncomplete: "The client must cover the components that the response lists in Accept-Signature.",
	refusal.ProofExpired:    "Compare the clock of the client with that of the gateway; a signature is valid for a short time only.",
	refusal.ProofInvalid:    "Check that the client uses the key of this certificate, and that no proxy changes what the signature covers (certgate doctor).",
	refusal.ProofDigest:     "Check that no proxy changes the body, and that the client computes Content-Digest of the bytes that it sends.",
	refusal.ProofReplayed:   "The client must make a new signature for each request, also for a repeated one.",
	refusal.ProofImpossible: "Issue a certificate over a key of the client's own, of a kind that can sign (certgate issue).",

	refusal.AccessDenied: "If the request is wanted, add its client, method and path to a rule, or remove the client from the deny list.",

	refusal.BodyTooLarge:    "Send a smaller body, or raise MAX_BODY_BYTES.",
	refusal.RequestTimeout:  "The client must send the body faster, or raise READ_TIMEOUT.",
	refusal.ClientClosed:    "Compare the client's timeout with the duration of the request.",
	refusal.UpstreamFailed:  "Check the service (certgate check --probe).",
	refusal.UpstreamTimeout: "Check why the service is slow, or raise UPSTREAM_TIMEOUT.",
	refusal.RateLimited:     "The client must wait for the time in Retry-After, or raise the rate of the rule.",
	refusal.Overloaded:      overload,
	refusal.Draining:        "The client must repeat the request: the gateway was stopping.",
	refusal.Internal:        "This is a fault of the gateway: search the log for lines of the level error at this time.",
}
