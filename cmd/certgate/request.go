package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/certgate/certgate/internal/surface/problem"
)

type requestCommand struct {
	credentialFlags `embed:""`
	gatewayFlags    `embed:""`
	requestFlags    `embed:""`

	Include bool `help:"Print the status line and the header of the response before its body, on standard output." short:"i"`
}

// Help is the long text of certgate request --help.
func (requestCommand) Help() string {
	return `Signs one request, sends it, and prints the body of the response on standard output.
The status line and the text of a refusal are printed on standard error. Redirects are
not followed. The exit code is 0 for a 2xx response, 1 for another response or none, and
2 if the command line is wrong or a file cannot be used.

Example:

  certgate request --cert mail.crt --key mail.key --content-type application/json \
    --data @event.json POST https://schedule.example.com/events`
}

// Run sends the request.
func (c requestCommand) Run(ctx context.Context, env environment) error {
	r, transport, err := newRequest(ctx, env, c.requestFlags, c.credentialFlags)
	if err != nil {
		return usageError{err}
	}
	roots, err := c.roots(env)
	if err != nil {
		return usageError{err}
	}
	base := newTransport(r.URL.Scheme, roots)
	defer base.CloseIdleConnections()
	transport.Base = base
	res, err := transport.RoundTrip(r)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	return c.print(env, res)
}

// newTransport returns the transport that sends the request.
func newTransport(scheme string, roots *x509.CertPool) *http.Transport {
	t := &http.Transport{
		ForceAttemptHTTP2:  true,
		DisableCompression: true,
		TLSClientConfig:    &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
	}
	if scheme == "https" { // over http, a forward proxy could read the certificate
		t.Proxy = http.ProxyFromEnvironment
	}
	return t
}

// maxProblem is the limit, in bytes, for a problem document.
const maxProblem = 64 << 10

// print writes the response. It returns an error if the status is not 2xx.
func (c requestCommand) print(env environment, res *http.Response) error {
	head := env.stderr
	if c.Include {
		head = env.stdout
	}
	if _, err := fmt.Fprintln(head, printable(res.Proto+" "+res.Status)); err != nil {
		return err
	}
	if c.Include {
		var fields bytes.Buffer
		_ = res.Header.Write(&fields) // a buffer returns no error
		text := strings.ReplaceAll(fields.String(), "\r\n", "\n")
		if _, err := fmt.Fprintln(head, printableLines(text)); err != nil {
			return err
		}
	}
	var prefix bytes.Buffer
	if _, err := io.Copy(env.stdout, io.TeeReader(res.Body, &prefixBuffer{&prefix, maxProblem})); err != nil {
		return err
	}
	if res.StatusCode >= 200 && res.StatusCode < 300 {
		return nil
	}
	return problemError(res, prefix.Bytes())
}

// prefixBuffer is a buffer that keeps the first bytes and drops the others.
type prefixBuffer struct {
	*bytes.Buffer
	limit int
}

func (b *prefixBuffer) Write(p []byte) (int, error) {
	_, _ = b.Buffer.Write(p[:min(len(p), b.limit-b.Len())])
	return len(p), nil
}

// problemError returns the text of the problem document in the body (RFC 9457) as an
// error, or errSilent if the body is not a problem document.
func problemError(res *http.Response, body []byte) error {
	var p struct{ Title, Detail, Reason string }
	kind, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type"))
	if kind != problem.ContentType || json.Unmarshal(body, &p) != nil || p.Title == "" {
		return errSilent
	}
	text := p.Title
	if p.Detail != "" {
		text += ". " + p.Detail
	}
	if p.Reason != "" {
		text = p.Reason + ": " + text
	}
	return fmt.Errorf("refused: %s", printable(text)) // on one line
}
