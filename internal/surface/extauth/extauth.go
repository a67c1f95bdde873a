// Package extauth serves external authorization: another proxy describes a request, and
// the gateway decides whether the proxy may forward it.
//
// The decision is made by the same gate as for a request that certgate forwards itself,
// with the same reasons, rate limits, audit records and metrics. The proxy is trusted
// to describe the request that it forwards.
//
// [NewHandler] serves checks over HTTP, for nginx, Caddy, Traefik and similar proxies.
// [NewServer] serves checks over gRPC, for Envoy.
//
// Only an allowed request gets a success response. Checks from addresses outside the
// list of peers are refused before they are evaluated. An ambiguous description is
// refused, so that a client cannot choose how its request is described.
package extauth

import (
	"net/http"
	"net/netip"
	"time"

	"go.uber.org/zap"

	"github.com/certgate/certgate/internal/audit"
	"github.com/certgate/certgate/internal/core/gate"
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/proxy/assertion"
	"github.com/certgate/certgate/internal/proxy/ingress"
	"github.com/certgate/certgate/internal/tracing"
)

// Options configures both surfaces. All fields are required, except Signer, Tracer, and Peers:
// without peers every check is refused.
type Options struct {
	// Gate returns the current gate. It is called once per check.
	Gate     func() *gate.Gate
	Recorder *audit.Recorder
	Log      *zap.Logger
	// Provenance determines which forwarded headers and credentials of a request are
	// trusted.
	Provenance *ingress.Reader
	// Signer returns the current signer of assertions, or nil. It is called once per
	// allowed request. A nil function means no assertions.
	Signer func() *assertion.Signer
	// Tracer makes a span for each check. Nil makes none.
	Tracer *tracing.Tracer
	// Peers lists the networks of the proxies that may send checks.
	Peers []netip.Prefix
	// Stopping reports whether the gateway is shutting down. While it is true, health
	// checks fail.
	Stopping func() bool
	// Draining reports whether connections are being closed. It becomes true only
	// after Stopping.
	Draining func() bool
}

// request is the description of a request in a check.
type request struct {
	method, target string // as the proxy received them
	header         http.Header
	// handshake is the certificate of the client's TLS handshake with the proxy, if the
	// proxy reports it outside of the header.
	handshake string
	// hasBody reports whether the proxy declares content. body is the content, or nil
	// unless the proxy sends all of it.
	hasBody bool
	body    gate.Body
}

// authzCheck is one check with the origin of its request and its audit record.
type authzCheck struct {
	*Options

	from   ingress.Origin
	record audit.Record
}

// beginCheck returns a check from the given origin, with the record that has been begun.
func beginCheck(o *Options, from ingress.Origin, record audit.Record) authzCheck {
	record.RequestID, record.Source = from.Metadata.RequestID, from.SourceText
	from.Metadata.Span = o.Tracer.Start(from.Caller, record.Time)
	tracing.Identify(&record, from.Caller, from.Metadata.Span)
	return authzCheck{Options: o, from: from, record: record}
}

// decide returns the decision of the gate. All grants of this package come from decide.
// It calls describe to parse the request only after the proxy is known to be a peer. If
// the decision is not a refusal, its grant is valid.
func (q *authzCheck) decide(describe func() (request, *refusal.Error)) gate.Decision {
	if !ingress.Contains(q.Peers, q.from.Peer) {
		return refusedDecision(refusal.New(refusal.PeerUntrusted, "%s is not in AUTHZ_PEERS", q.from.Peer))
	}
	if refused := q.Recorder.Refusal(); refused != nil {
		return refusedDecision(refused)
	}
	r, refused := describe()
	if refused != nil {
		return refusedDecision(refused)
	}
	q.record.Method, q.record.Path = r.method, audit.PathWithoutQuery(r.target)
	credential, refused := q.credential(r)
	if refused != nil {
		return refusedDecision(refused)
	}
	d := q.Gate().Decide(gate.Request{
		Time: q.record.Time, Credential: credential.Values, Source: q.from.Source, Method: r.method, Target: r.target,
		Auth: credential.Auth, Authority: q.from.Metadata.Host, Header: r.header, HasBody: r.mayHaveBody(), Body: r.body,
	})
	q.from.Metadata.Auth, q.from.Metadata.SignaturesRead = d.Auth, d.LooksAtSignatures()
	q.record.ApplyDecision(&d)
	return q.assert(granted(d), r)
}

// assert makes the assertion about an allowed request, if assertions are configured.
func (q *authzCheck) assert(d gate.Decision, r request) gate.Decision {
	if d.Refusal != nil || q.Signer == nil {
		return d
	}
	token, err := q.Signer().Assert(d.Grant, d.Auth, r.content())
	if refused := refusal.Of(err); refused != nil {
		return refusedDecision(refused)
	}
	if err != nil {
		return refusedDecision(refusal.New(refusal.Internal, "%v", err))
	}
	q.from.Metadata.Assertion = token
	return d
}

// content returns the content of the request, if the proxy sent all of it.
func (r *request) content() assertion.Content {
	body, ok := r.body.(receivedBody)
	if !ok || body.err != nil {
		return assertion.Content{}
	}
	return assertion.Content{Bytes: body.content, Complete: true}
}

// mayHaveBody reports whether the request may have content. For methods with defined
// content semantics it is always true: a proxy that does not send the content may also
// omit the headers that declare it, and a signature over unseen content cannot be
// verified.
func (r *request) mayHaveBody() bool {
	switch r.method {
	case http.MethodGet, http.MethodHead, http.MethodDelete:
		return r.hasBody
	default:
		return true
	}
}

// credential returns the credential of the request. A handshake certificate is used only
// if a trusted proxy reports it; a certificate that the client attached is then ignored.
func (q *authzCheck) credential(r request) (ingress.Credential, *refusal.Error) {
	if r.handshake != "" && q.Provenance.Trusts(q.from.Peer) {
		return ingress.Credential{Values: []string{r.handshake}, Auth: gate.MTLS}, nil
	}
	return q.Provenance.Credential(r.header, q.from.Peer)
}

// granted refuses a decision that has neither a refusal nor a valid grant, such as the
// zero value.
func granted(d gate.Decision) gate.Decision {
	if d.Refusal == nil && !d.Grant.Valid() {
		return refusedDecision(refusal.New(refusal.Internal, "want a grant, found none"))
	}
	return d
}

func refusedDecision(d *refusal.Error) gate.Decision { return gate.Decision{Refusal: d} }

// save writes the audit record of the response.
func (q *authzCheck) save(status int, d *refusal.Error) {
	q.record.Status, q.record.Decision = status, audit.Allowed
	if d != nil {
		q.record.Decision, q.record.Reason, q.record.Detail = audit.Refused, d.Reason, d.Detail
	}
	q.record.Duration = time.Since(q.record.Time)
	q.Recorder.Record(&q.record)
	q.from.Metadata.Span.End(&q.record)
}
