package main

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

	"github.com/certgate/certgate/internal/core/httpsig"
)

const (
	credentialHeader = "X-SSL-Auth" // where clients attach their certificates
	target           = "/events"
)

// message is a request as it goes over the wire.
type message struct {
	method, body string
	header       http.Header
}

// compose makes the message of the n-th scene out of what its sender holds, or has
// seen of earlier messages.
func (s *system) compose(sc scene, earlier []message) (message, error) {
	body := sc.body(time.Now(), len(earlier))
	if sc.seen > 0 {
		return earlier[sc.seen-1].stolen(sc, body), nil
	}
	m := message{sc.method, body, http.Header{}}
	if body != "" {
		m.header.Set("Content-Type", "application/json")
	}
	if sc.who != "" {
		m.header.Set(credentialHeader, s.callers[sc.who].header)
	}
	if !sc.signed {
		return m, nil
	}
	fields, err := s.sign(m, s.callers[sc.who].signer)
	maps.Copy(m.header, fields)
	return m, err
}

// sign returns the fields that prove that the message is the signer's.
func (s *system) sign(m message, signer *httpsig.Signer) (http.Header, error) {
	gateway, err := url.Parse(s.gatewayURL)
	if err != nil {
		return nil, err
	}
	return signer.Sign(httpsig.Message{
		Method: m.method, Target: target, Authority: gateway.Host, Header: m.header,
		HasBody: m.body != "", Body: func() ([]byte, error) { return []byte(m.body), nil },
	}, httpsig.Terms{})
}

// stolen is what somebody who has seen the message makes of it: the method and the
// body of his own scene take their place, where it has any.
func (m message) stolen(sc scene, body string) message {
	m.header = m.header.Clone()
	if sc.bare {
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

// secretParts of a signature's fields say nothing to a reader.
var secretParts = regexp.MustCompile(`((?:nonce|keyid)=")[^"]+|(=:)[^:]+`)

// shown are the lines by which a reader recognizes the message. Nobody who reads
// them can send it.
func (m message) shown(sc scene, certificateFile string) []string {
	lines, names := []string{m.method + " " + target}, []string(nil)
	for _, name := range append([]string{credentialHeader}, signatureFields()...) {
		value := m.header.Get(name)
		switch {
		case value == "":
		case sc.seen > 0:
			names = append(names, name)
		case name == credentialHeader:
			lines = append(lines, fmt.Sprintf("%s: (the certificate in %s)", name, certificateFile))
		default:
			lines = append(lines, name+": "+secretParts.ReplaceAllString(value, "$1$2…"))
		}
	}
	if len(names) > 0 {
		lines = append(lines, fmt.Sprintf("%s: (as in %d)", strings.Join(names, ", "), sc.seen))
	}
	if m.body != "" {
		lines = append(lines, m.body)
	}
	return lines
}

// send sends the message to the gateway.
func (m message) send(ctx context.Context, gatewayURL string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, m.method, gatewayURL+target, strings.NewReader(m.body))
	if err != nil {
		return nil, err
	}
	req.Header = m.header.Clone()
	return http.DefaultClient.Do(req)
}
