package public

import (
	"net/http"
	"strings"

	"github.com/certgate/certgate/internal/audit"
	"github.com/certgate/certgate/internal/core/gate"
	"github.com/certgate/certgate/internal/core/headers"
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/surface/echo"
)

// below reports whether the path of the target equals path or is a subpath of it.
// Paths are compared byte by byte.
func below(path, target string) bool {
	rest, ok := strings.CutPrefix(target, path)
	return ok && (rest == "" || rest[0] == '/' || rest[0] == '?')
}

// echo responds to a verified client with a description of its request as received.
// Access rules are not evaluated, because the request is not forwarded and the
// response describes only the request itself. The deny list still applies.
func (x *exchange) echo(gateRequest gate.Request) {
	d := x.Gate().Admit(gateRequest)
	x.record.ApplyDecision(&d)
	if d.Refusal != nil {
		x.refuse(d.Refusal)
		return
	}
	if m := x.c.Request.Method; m != http.MethodGet && m != http.MethodHead {
		x.c.Writer.Header().Set("Allow", "GET, HEAD") // RFC 9110, section 15.5.6
		x.refuse(refusal.New(refusal.MethodNotAllowed, "the echo takes only GET and HEAD"))
		return
	}
	response := echo.Digest(x.c.Request, x.Provenance.CredentialHeader, x.Provenance.ProxyHeader)
	response.Client, response.Auth = d.Client.Name(), d.Auth
	response.Authority = x.Gate().Signatures.Verifier.Authority(gateRequest.Authority)
	response.PeerTrusted, response.Source = x.Provenance.Trusts(x.from.Peer), x.from.SourceText
	h := x.c.Writer.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set(headers.RequestID, x.from.Metadata.RequestID)
	x.c.JSON(http.StatusOK, response)
	x.record.Status, x.record.BytesOut = http.StatusOK, int64(max(x.c.Writer.Size(), 0))
	x.record.Detail = "served by the echo of ECHO_PATH"
	x.save(audit.Allowed, nil)
}
