package transcript

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/certgate/certgate/internal/core/headers"
	"github.com/certgate/certgate/internal/core/httpsig"
)

// CredentialHeader is the name of the header with the certificate.
const CredentialHeader = "X-SSL-Auth"

const target = "/events"

// request is a request as it is sent.
type request struct {
	method, body string
	header       http.Header
}

// newRequest returns the request of a scene: a new one, or a captured one of the requests
// that were sent before.
func (s System) newRequest(sc scene, sent []request) (request, error) {
	body := sc.body(time.Now(), len(sent))
	if sc.captured > 0 {
		return sent[sc.captured-1].replay(sc, body), nil
	}
	m := request{sc.method, body, http.Header{}}
	if body != "" {
		m.header.Set("Content-Type", "application/json")
	}
	if sc.caller != "" {
		m.header.Set(CredentialHeader, s.Callers[sc.caller].Header)
	}
	if sc.forged != (Identity{}) {
		m.header.Set(headers.ClientID, sc.forged.Client)
		m.header.Set(headers.ClientAuth, sc.forged.Auth)
	}
	if !sc.signed {
		return m, nil
	}
	fields, err := s.sign(m, s.Callers[sc.caller].Signer)
	maps.Copy(m.header, fields)
	return m, err
}

// sign returns the fields of the signature over the request.
func (s System) sign(m request, signer *httpsig.Signer) (http.Header, error) {
	gateway, err := url.Parse(s.GatewayURL)
	if err != nil {
		return nil, err
	}
	return signer.Sign(httpsig.Message{
		Method: m.method, Target: target, Authority: gateway.Host, Header: m.header,
		HasBody: m.body != "", Body: func() ([]byte, error) { return []byte(m.body), nil },
	}, httpsig.Terms{})
}

// replay returns a captured request with the method and the body of the attacker's scene,
// if it has any.
func (m request) replay(sc scene, body string) request {
	m.header = m.header.Clone()
	if sc.unsigned {
		for _, name := range signatureFields() {
			m.header.Del(name)
		}
	}
	if sc.method != "" || body != "" {
		m.method, m.body = cmp.Or(sc.method, m.method), body
	}
	return m
}

func signatureFields() []string { return []string{"Content-Digest", "Signature-Input", "Signature"} }

// secretParts matches the parts of the signature fields that are not printed.
var secretParts = regexp.MustCompile(`((?:nonce|keyid)=")[^"]+|(=:)[^:]+`)

// printableLines returns the request for the transcript, without the certificate and the
// signature: the transcript is not enough to send the request.
func (m request) printableLines(sc scene, certificateFile string) []string {
	lines, names := []string{m.method + " " + target}, []string(nil)
	for _, name := range append([]string{CredentialHeader}, signatureFields()...) {
		value := m.header.Get(name)
		switch {
		case value == "":
		case sc.captured > 0:
			names = append(names, name)
		case name == CredentialHeader:
			lines = append(lines, fmt.Sprintf("%s: (the certificate in %s)", name, certificateFile))
		default:
			lines = append(lines, name+": "+secretParts.ReplaceAllString(value, "$1$2…"))
		}
	}
	if sc.forged != (Identity{}) {
		lines[0] += " at the schedule service"
		lines = append(lines, headers.ClientID+": "+sc.forged.Client, headers.ClientAuth+": "+sc.forged.Auth)
	}
	if len(names) > 0 {
		lines = append(lines, fmt.Sprintf("%s: (as in %d)", strings.Join(names, ", "), sc.captured))
	}
	if m.body != "" {
		lines = append(lines, m.body)
	}
	return lines
}

// send sends the request to the gateway or the service and returns the response.
func (m request) send(ctx context.Context, url string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, m.method, url+target, strings.NewReader(m.body))
	if err != nil {
		return nil, err
	}
	req.Header = m.header.Clone()
	return http.DefaultClient.Do(req)
}
