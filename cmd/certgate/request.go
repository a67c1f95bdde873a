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

	Include bool `help:"Print the status line and the header of the answer before its body, on standard output." short:"i"`
}

// Help is the long text of certgate request --help.
func (requestCommand) Help() string {
	return `Signs one request, sends it and prints the body of the answer on standard output; the
status line, and what a refusal says, on standard error. Redirects are not followed.
Exit code 0 when the answer is 2xx, 1 when it is another or there is none, 2 when the
command line or a file is wrong.

Example:

  certgate request --cert mail.crt --key mail.key --content-type application/json \
    --data @event.json POST https://schedule.example.com/events`
}

// Run sends the request.
func (c requestCommand) Run(ctx context.Context, s surroundings) error {
	r, transport, err := prepare(ctx, s, c.requestFlags, c.credentialFlags)
	if err != nil {
		return usageError{err}
	}
	roots, err := c.roots(s)
	if err != nil {
		return usageError{err}
	}
	base := newSender(r.URL.Scheme, roots)
	defer base.CloseIdleConnections()
	transport.Base = base
	res, err := transport.RoundTrip(r)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	return c.print(s, res)
}

// newSender sends one request.
func newSender(scheme string, roots *x509.CertPool) *http.Transport {
	t := &http.Transport{
		ForceAttemptHTTP2:  true,
		DisableCompression: true,
		TLSClientConfig:    &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
	}
	if scheme == "https" { // in plain text a proxy would read the certificate
		t.Proxy = http.ProxyFromEnvironment
	}
	return t
}

// maxProblem is how much of a body is read to find a problem in it.
const maxProblem = 64 << 10

// print writes the answer, and returns an error when it is not 2xx.
func (c requestCommand) print(s surroundings, res *http.Response) error {
	head := s.stderr
	if c.Include {
		head = s.stdout
	}
	if _, err := fmt.Fprintln(head, printable(res.Proto+" "+res.Status)); err != nil {
		return err
	}
	if c.Include {
		var fields bytes.Buffer
		_ = res.Header.Write(&fields) // a buffer takes everything
		text := strings.ReplaceAll(fields.String(), "\r\n", "\n")
		if _, err := fmt.Fprintln(head, printableLines(text)); err != nil {
			return err
		}
	}
	var begin bytes.Buffer
	if _, err := io.Copy(s.stdout, io.TeeReader(res.Body, &limitedBuffer{&begin, maxProblem})); err != nil {
		return err
	}
	if res.StatusCode >= 200 && res.StatusCode < 300 {
		return nil
	}
	return refusalOf(res, begin.Bytes())
}

// limitedBuffer keeps the first bytes and drops the others.
type limitedBuffer struct {
	*bytes.Buffer
	limit int
}

func (b *limitedBuffer) Write(p []byte) (int, error) {
	_, _ = b.Buffer.Write(p[:min(len(p), b.limit-b.Len())])
	return len(p), nil
}

// refusalOf says in words what the problem in the body says, if there is one (RFC
// 9457).
func refusalOf(res *http.Response, body []byte) error {
	var p struct{ Title, Detail, Reason string }
	kind, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type"))
	if kind != problem.ContentType || json.Unmarshal(body, &p) != nil || p.Title == "" {
		return errNo
	}
	text := p.Title
	if p.Detail != "" {
		text += ". " + p.Detail
	}
	if p.Reason != "" {
		text = p.Reason + ": " + text
	}
	return fmt.Errorf("refused: %s", printable(text)) // in one line
}
