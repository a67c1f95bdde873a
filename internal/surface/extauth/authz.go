// Package extauth answers other proxies' question: may this request pass?
//
// It is the gateway's decision without its proxying. A proxy that has a request
// describes it and asks; the same gate decides as for a request that certgate
// forwards itself, with the same reasons, rates, audit line and metrics. The
// proxy forwards the request, or does not, and is trusted to ask about the one
// that it forwards.
//
// [NewHandler] answers over HTTP, for nginx, Caddy, Traefik and their like,
// [NewServer] over gRPC, for Envoy.
//
// Nothing but an allowed request is ever answered with success. Who is not on the
// list of peers is told nothing, and a question that can be read in two ways is
// refused: a client must not be able to choose what is asked about its request.
package extauth

import (
	"net/http"
	"net/netip"
	"time"

	"go.uber.org/zap"

	"github.com/certgate/certgate/internal/audit"
	"github.com/certgate/certgate/internal/core/gate"
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/proxy/ingress"
)

// Options are what the answers depend on. All fields are required, except Peers:
// without them everybody is refused.
type Options struct {
	// Gate is the gate in force, asked once for each question.
	Gate     func() *gate.Gate
	Recorder *audit.Recorder
	Log      *zap.Logger
	// Provenance says what is believed of a request.
	Provenance *ingress.Reader
	// Peers are the proxies that may ask.
	Peers []netip.Prefix
	// Stopping reports that the gateway has been told to stop. From then on
	// health checks fail.
	Stopping func() bool
	// Draining reports that connections are being closed. It is never true
	// before Stopping is.
	Draining func() bool
}

// request is what a proxy asks about.
type request struct {
	method, target string // as the proxy received them
	header         http.Header
	// handshake is the certificate of the client's TLS handshake with the proxy, if
	// the proxy says so itself and not in a header.
	handshake string
	// hasBody is whether the proxy says that there is content, and body that content,
	// where it sends all of it; else nil.
	hasBody bool
	body    gate.Body
}

// inquiry is one question and what there is to say about it in the end.
type inquiry struct {
	*Options

	from   ingress.Origin
	record audit.Record
}

// decide is the only way to a grant. Describe reads the request from what the
// proxy sent, after the proxy is known to be a peer. Without a denial the
// decision's grant is valid.
func (q *inquiry) decide(describe func() (request, *refusal.Error)) gate.Decision {
	if !ingress.Contains(q.Peers, q.from.Peer) {
		return deniedResponse(refusal.New(refusal.PeerUntrusted, "%s is not in AUTHZ_PEERS", q.from.Peer))
	}
	if refused := q.Recorder.Refusal(); refused != nil {
		return deniedResponse(refused)
	}
	r, refused := describe()
	if refused != nil {
		return deniedResponse(refused)
	}
	q.record.Method, q.record.Path = r.method, audit.PathWithoutQuery(r.target)
	credential, refused := q.credential(r)
	if refused != nil {
		return deniedResponse(refused)
	}
	d := q.Gate().Decide(gate.Request{
		Time: q.record.Time, Credential: credential.Values, Source: q.from.Source, Method: r.method, Target: r.target,
		Auth: credential.Auth, Authority: q.from.Hop.Host, Header: r.header, HasBody: r.mayHaveBody(), Body: r.body,
	})
	q.from.Hop.Auth, q.from.Hop.SignaturesRead = d.Auth, d.LooksAtSignatures()
	q.record.ApplyDecision(&d)
	return granted(d)
}

// mayHaveBody is true for a method whose content means something: a proxy that does
// not send the content need not say either whether there is any, and what is not to
// be seen cannot be found to be what was signed.
func (r *request) mayHaveBody() bool {
	switch r.method {
	case http.MethodGet, http.MethodHead, http.MethodDelete:
		return r.hasBody
	default:
		return true
	}
}

// credential is what counts. As in a header, a handshake counts only where a
// trusted proxy tells of it, and then what the client attached does not.
func (q *inquiry) credential(r request) (ingress.Credential, *refusal.Error) {
	if r.handshake != "" && q.Provenance.Trusts(q.from.Peer) {
		return ingress.Credential{Values: []string{r.handshake}, Auth: gate.MTLS}, nil
	}
	return q.Provenance.Credential(r.header, q.from.Peer)
}

// granted refuses the zero value: no denial is not yet a grant.
func granted(d gate.Decision) gate.Decision {
	if d.Denial == nil && !d.Grant.Valid() {
		return deniedResponse(refusal.New(refusal.Internal, "want a grant, found none"))
	}
	return d
}

func deniedResponse(d *refusal.Error) gate.Decision { return gate.Decision{Denial: d} }

// save records the answer.
func (q *inquiry) save(status int, d *refusal.Error) {
	q.record.Status, q.record.Decision = status, audit.Allowed
	if d != nil {
		q.record.Decision, q.record.Reason, q.record.Detail = audit.Refused, d.Reason, d.Detail
	}
	q.record.Duration = time.Since(q.record.Time)
	q.Recorder.Record(&q.record)
}
