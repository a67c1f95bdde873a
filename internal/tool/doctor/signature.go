package doctor

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/certgate/certgate/internal/surface/echo"
)

// signatures checks what signed requests need in addition to the certificate and the
// request target: the fields of a signature arrive unchanged, and the gateway expects the
// host for which clients sign. The signature that the doctor sends is not valid.
func (e *examination) signatures(ctx context.Context) {
	const check = "signature"
	sent := map[string]string{
		"Content-Digest":  "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:",
		"Signature-Input": `sig1=("@method" "@path");created=1785542400;nonce="canary, \"1\"";tag="certgate-doctor"`,
		"Signature":       "sig1=:Y2VydGdhdGU+Pz8/:",
	}
	header := http.Header{}
	for name, value := range sent {
		header.Set(name, value)
	}
	a := e.send(ctx, canary{header: header})
	if a.answer == nil {
		e.add(Problem, check, "a request with the fields of a signature is refused: "+a.describe())
		return
	}
	var unchanged []string
	for _, name := range echo.Signed() {
		if fault := describeDamage(sent[name], a.answer.Header(name)); fault != "" {
			e.add(Problem, check, fmt.Sprintf("%s does not arrive unchanged: %s; configure the load balancer to forward it unchanged", name, fault))
			continue
		}
		unchanged = append(unchanged, name)
	}
	if len(unchanged) > 0 {
		e.add(OK, check, "these fields arrive unchanged: "+strings.Join(unchanged, ", "))
	}
	e.authority(a.answer.Authority)
}

// authority compares the host for which clients sign with the host that the gateway
// expects. Older gateways do not report that host.
func (e *examination) authority(found string) {
	const check = "authority"
	switch host := signedHost(e.URL); found {
	case "":
	case host:
		e.add(OK, check, fmt.Sprintf("clients that sign their requests sign for %s, and the gateway expects that", host))
	default:
		e.add(Note, check, fmt.Sprintf("clients that sign their requests sign for %s, and the gateway expects %.100q: set PUBLIC_AUTHORITY=%s at the gateway before AUTH_PROOF or a rule requires signatures", host, found, host))
	}
}

// signedHost returns the authority that a client signs (RFC 9421, section 2.2.3).
func signedHost(u *url.URL) string {
	host := strings.ToLower(u.Host)
	for scheme, port := range map[string]string{"http": ":80", "https": ":443"} {
		if u.Scheme == scheme {
			return strings.TrimSuffix(host, port)
		}
	}
	return host
}
