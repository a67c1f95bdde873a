package doctor

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/certgate/certgate/internal/surface/echo"
)

// signatures looks at what a signed request needs beside its certificate and its
// target: fields that arrive as they are sent, and the host that the client signs
// for. The signature that is sent is nobody's.
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
		e.say(Problem, check, "a request with the fields of a signature is not let through: "+a.refusal())
		return
	}
	var whole []string
	for _, name := range echo.Signed() {
		if words := damage(sent[name], a.answer.Header(name)); words != "" {
			e.say(Problem, check, fmt.Sprintf("%s does not arrive as it is sent: %s; let the load balancer pass it on as it is", name, words))
			continue
		}
		whole = append(whole, name)
	}
	if len(whole) > 0 {
		e.say(OK, check, "these fields arrive as they are sent: "+strings.Join(whole, ", "))
	}
	e.authority(a.answer.Authority)
}

// authority compares the host that clients sign for with the one that the gateway
// wants to be named; a gateway that does not say is an older one.
func (e *examination) authority(found string) {
	const check = "authority"
	switch host := signedHost(e.URL); found {
	case "":
	case host:
		e.say(OK, check, fmt.Sprintf("clients that sign their requests sign for %s, and the gateway expects that", host))
	default:
		e.say(Note, check, fmt.Sprintf("clients that sign their requests sign for %s, and the gateway expects %.100q: set PUBLIC_AUTHORITY=%s there before AUTH_PROOF or a rule asks for signatures", host, found, host))
	}
}

// signedHost is what a client takes for the authority (RFC 9421, section 2.2.3).
func signedHost(u *url.URL) string {
	host := strings.ToLower(u.Host)
	for scheme, port := range map[string]string{"http": ":80", "https": ":443"} {
		if u.Scheme == scheme {
			return strings.TrimSuffix(host, port)
		}
	}
	return host
}
