package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/certgate/certgate/internal/core/access"
	"github.com/certgate/certgate/internal/tool/signing"
)

// credentialFlags name the certificate and the key that sign requests.
type credentialFlags struct {
	Cert   string `help:"The client's certificate in PEM, followed by its chain if it has one." required:"" placeholder:"FILE"`
	Key    string `help:"Its private key in PEM, without a passphrase." required:"" placeholder:"FILE"`
	Header string `help:"The gateway's AUTH_HEADER." default:"X-SSL-Auth"`
}

func (f credentialFlags) checkHeader() error {
	if !httpguts.ValidHeaderFieldName(f.Header) {
		return fmt.Errorf("--header: want the name of a header field, found %q", f.Header)
	}
	return nil
}

// gatewayFlags define which servers are trusted as the gateway or its load balancer.
type gatewayFlags struct {
	CA string `help:"CA certificates that are trusted to sign the server's certificate, instead of those of the system." name:"ca" placeholder:"FILE"`
}

// roots returns the certificates of --ca, or nil for those of the system.
func (f gatewayFlags) roots(env environment) (*x509.CertPool, error) {
	if f.CA == "" {
		return nil, nil
	}
	certs, err := readCertificates(f.CA, env.stdin)
	if err != nil {
		return nil, fmt.Errorf("--ca: %w", err)
	}
	pool := x509.NewCertPool()
	for _, cert := range certs {
		pool.AddCert(cert)
	}
	return pool, nil
}

// requestFlags define one request.
type requestFlags struct {
	Method      string `arg:"" help:"The request's method, such as POST."`
	URL         string `arg:"" help:"The URL, as clients of the gateway know it: https://host/path?query."`
	Data        string `help:"The body. @FILE reads it from a file, @- from standard input. At most 1 MiB." placeholder:"BODY"`
	ContentType string `help:"The Content-Type of the body. It is signed, too." placeholder:"TYPE"`
}

// newRequest returns the request of the flags, and the transport that signs it.
func newRequest(ctx context.Context, env environment, f requestFlags, c credentialFlags) (*http.Request, *signing.Transport, error) {
	if err := c.checkHeader(); err != nil {
		return nil, nil, err
	}
	if !httpguts.ValidHeaderFieldValue(f.ContentType) {
		return nil, nil, fmt.Errorf("--content-type: want the value of a header field, found %q", f.ContentType)
	}
	u, err := requestURL(f.URL)
	if err != nil {
		return nil, nil, err
	}
	credential, err := signing.Load(c.Cert, c.Key)
	if err != nil {
		return nil, nil, err
	}
	body, err := f.body(env.stdin)
	if err != nil {
		return nil, nil, fmt.Errorf("--data: %w", err)
	}
	r, err := http.NewRequestWithContext(ctx, f.Method, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	r.URL = u
	if f.ContentType != "" {
		r.Header.Set("Content-Type", f.ContentType)
	}
	return r, &signing.Transport{Credential: credential, Origin: u.Scheme + "://" + u.Host, Header: c.Header, MaxBodyBytes: maxInput}, nil
}

func (f requestFlags) body(stdin io.Reader) ([]byte, error) {
	if name, ok := strings.CutPrefix(f.Data, "@"); ok {
		return readInput(name, stdin)
	}
	return []byte(f.Data), nil
}

// requestURL parses a URL. It refuses characters that package url would escape, because
// the program that sends a signed request may escape them in another way, and then the
// signature would not match.
func requestURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("want http:// or https:// with a host, found %q", text)
	}
	if u.User != nil || u.Fragment != "" {
		return nil, errors.New("want a URL without user and fragment, found a user or a fragment")
	}
	_, rest, _ := strings.Cut(text, "://")
	target := strings.TrimPrefix(rest[strings.IndexAny(rest+"/", "/?"):], "/")
	if found := u.RequestURI(); found != "/"+target {
		return nil, fmt.Errorf("want a path and query with all special characters percent-encoded, such as %q, found %q", found, "/"+target)
	}
	if _, err := access.ParseTarget(u.RequestURI()); err != nil {
		return nil, fmt.Errorf("want a URL that the gateway accepts: %w", err)
	}
	return u, nil
}

type signCommand struct {
	credentialFlags `embed:""`
	requestFlags    `embed:""`
}

// Help is the long text of certgate sign --help.
func (signCommand) Help() string {
	return `Prints the header fields of one signed request. They are valid for this URL, method and
body, once, for one minute. Keep them confidential: everyone who has them can send the
request. curl -H reads them from a file or, with @-, from standard input. Use
--data-binary for the body, because curl --data removes line breaks.

Example:

  certgate sign --cert mail.crt --key mail.key --content-type application/json \
    --data @event.json POST https://schedule.example.com/events |
    curl -H @- --data-binary @event.json https://schedule.example.com/events`
}

// Run prints the header fields.
func (c signCommand) Run(ctx context.Context, env environment) error {
	r, transport, err := newRequest(ctx, env, c.requestFlags, c.credentialFlags)
	if err != nil {
		return usageError{err}
	}
	signed, err := transport.Sign(r)
	if err != nil {
		return err
	}
	for _, name := range []string{c.Header, "Content-Type", "Content-Digest", "Signature-Input", "Signature"} {
		for _, value := range signed.Header.Values(name) {
			if _, err := fmt.Fprintf(env.stdout, "%s: %s\n", name, value); err != nil {
				return err
			}
		}
	}
	return nil
}
