package extauth

import (
	"net/http"

	"github.com/certgate/certgate/internal/core/headers"
	"github.com/certgate/certgate/internal/core/refusal"
)

// family is a pair of header names in which proxies describe the request that
// they ask about.
type family struct{ method, target string }

// families are all that are read: of Traefik and Caddy, and what people configure
// in nginx.
var families = [...]family{
	{headers.ForwardedMethod, headers.ForwardedURI},
	{headers.OriginalMethod, headers.OriginalURI},
}

// describe reads the request that the proxy asks about.
//
// The proxy passes on the client's own header beside what it sets, so any of
// these fields may be the client's. A family counts only as a whole, each field
// once and not empty: half of one, which could be completed by the client, is
// OriginMissing. Two families must agree, and a field that comes twice does not:
// OriginAmbiguous. So what a client sends can take its request away from what the
// proxy says, but never put another one in its place.
func describe(h http.Header) (request, *refusal.Error) {
	r := request{header: h}
	for _, f := range families {
		methods, targets := h[f.method], h[f.target]
		switch {
		case len(methods) == 0 && len(targets) == 0:
			continue
		case len(methods) > 1 || len(targets) > 1:
			return request{}, refusal.New(refusal.OriginAmbiguous, "want %s and %s once, found %d and %d", f.method, f.target, len(methods), len(targets))
		case len(methods) == 0 || len(targets) == 0 || methods[0] == "" || targets[0] == "":
			return request{}, refusal.New(refusal.OriginMissing, "want %s beside %s, found one of them missing or empty", f.method, f.target)
		case r.method != "" && (r.method != methods[0] || r.target != targets[0]):
			return request{}, refusal.New(refusal.OriginAmbiguous, "%s and %s say %.20q and %.80q, others %.20q and %.80q",
				f.method, f.target, methods[0], targets[0], r.method, r.target)
		}
		r.method, r.target = methods[0], targets[0]
	}
	if r.method == "" {
		return request{}, refusal.New(refusal.OriginMissing, "want the method and target of a request, found neither X-Forwarded- nor X-Original- fields")
	}
	return r, nil
}
