package extauth

import (
	"net/http"

	"github.com/certgate/certgate/internal/core/headers"
	"github.com/certgate/certgate/internal/core/refusal"
)

// headerPair is a pair of header names with which a proxy describes the original request.
type headerPair struct{ method, target string }

// headerPairs lists the supported pairs: the names that Traefik and Caddy set, and the
// names that are common in nginx configurations.
var headerPairs = [...]headerPair{
	{headers.ForwardedMethod, headers.ForwardedURI},
	{headers.OriginalMethod, headers.OriginalURI},
}

// describe returns the original request that the header of a check describes.
//
// The proxy forwards the client's own header in addition to the fields that it sets, so
// any of these fields may come from the client. Both fields of a pair must be present
// and not empty; an incomplete pair, which a client could complete, is OriginMissing.
// Duplicate fields, and two pairs that differ, are OriginAmbiguous. A client can
// therefore cause a refusal of its own request, but cannot replace the description.
func describe(h http.Header) (request, *refusal.Error) {
	r := request{header: h}
	for _, f := range headerPairs {
		methods, targets := h[f.method], h[f.target]
		switch {
		case len(methods) == 0 && len(targets) == 0:
			continue
		case len(methods) > 1 || len(targets) > 1:
			return request{}, refusal.New(refusal.OriginAmbiguous, "want %s and %s once, found %d and %d", f.method, f.target, len(methods), len(targets))
		case len(methods) == 0 || len(targets) == 0 || methods[0] == "" || targets[0] == "":
			return request{}, refusal.New(refusal.OriginMissing, "want %s beside %s, found one of them missing or empty", f.method, f.target)
		case r.method != "" && (r.method != methods[0] || r.target != targets[0]):
			return request{}, refusal.New(refusal.OriginAmbiguous, "want the same request in every pair of fields, found in %s and %s %.20q and %.80q, in others %.20q and %.80q",
				f.method, f.target, methods[0], targets[0], r.method, r.target)
		}
		r.method, r.target = methods[0], targets[0]
	}
	if r.method == "" {
		return request{}, refusal.New(refusal.OriginMissing, "want the method and target of a request, found neither X-Forwarded- nor X-Original- fields")
	}
	return r, nil
}
