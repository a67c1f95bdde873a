package forward

import (
	"net/http"
	"slices"

	"github.com/certgate/certgate/internal/core/access"
	"github.com/certgate/certgate/internal/core/headers"
)

// Filter decides which of a client's fields are forwarded. It is immutable and safe
// for concurrent use. [NewFilter] makes one.
type Filter struct {
	credentials []string
	usual       map[string]bool // the result of [Filter.decide] for usual names; never written to
}

// NewFilter makes a filter that strips the fields of these names too. Empty names
// are ignored.
func NewFilter(credentials []string) Filter {
	var f Filter
	names := headers.Usual()
	for _, name := range credentials {
		if name != "" {
			f.credentials = append(f.credentials, name)
			names = append(names, http.CanonicalHeaderKey(name))
		}
	}
	f.usual = make(map[string]bool, len(names))
	for _, name := range names {
		f.usual[name] = f.decide(name)
	}
	return f
}

// eachField calls give with each field of the request to the upstream: first those of
// the client's fields that are forwarded, then the gateway's own, which no Connection
// field of the client can remove.
func (f *Forwarder) eachField(m *message, give func(name, value string)) {
	f.headers.keep(m.r.Header, selection{m.listed, m.hop.SignaturesRead}, give)
	identify(m.g, m.hop.Auth, give)
	give(headers.ForwardedFor, m.hop.For)
	give(headers.ForwardedProto, m.hop.Proto)
	give(headers.ForwardedHost, m.hop.Host)
	give(headers.RequestID, m.hop.RequestID)
}

// Identity calls give with each field that tells a service who is calling. It does
// nothing for an invalid grant.
func Identity(g access.Grant, hop Hop, give func(name, value string)) {
	if !g.Valid() {
		return
	}
	identify(g, hop.Auth, give)
	give(headers.RequestID, hop.RequestID)
}

func identify(g access.Grant, auth string, give func(name, value string)) {
	client := g.Client()
	cert := client.Certificate()
	give(headers.ClientID, client.Name())
	give(headers.ClientAuth, auth)
	give(headers.ClientCertSerial, cert.Serial())
	give(headers.ClientCertFingerprint, cert.Fingerprint())
}

// selection is the part of the decision that is not the same for all requests.
type selection struct {
	listed         headers.Options // by the client's Connection fields: not forwarded
	signaturesRead bool            // the gateway has evaluated signatures: they are not forwarded
}

// keep calls give with each of the client's fields that is forwarded.
func (f Filter) keep(in http.Header, by selection, give func(name, value string)) {
	for name, values := range in {
		if !f.passes(name) || by.listed.List(name) || by.signaturesRead && headers.IsSignature(name) {
			continue
		}
		for _, value := range values {
			give(name, value)
		}
	}
}

// passes reports whether a field of this name is forwarded.
func (f Filter) passes(name string) bool {
	if pass, ok := f.usual[name]; ok {
		return pass
	}
	return f.decide(name)
}

func (f Filter) decide(name string) bool {
	return headers.KindOf(name) == headers.Forwarded && !f.isCredential(name)
}

// Protects reports whether a field of this name, in any spelling, is one of the
// gateway's own, one in which a proxy or client identifies the caller or the
// request, or a credential. A client's own field of such a name never reaches a
// service. Fields that concern the connection only are not included.
func (f Filter) Protects(name string) bool {
	switch headers.KindOf(name) {
	case headers.Forwarded, headers.Hop:
		return f.isCredential(name)
	default:
		return true
	}
}

func (f Filter) isCredential(name string) bool {
	return slices.ContainsFunc(f.credentials, func(credential string) bool { return headers.Same(credential, name) })
}
