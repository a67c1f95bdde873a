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

// credentialFlags say whom requests speak for.
type credentialFlags struct {
	Cert   string `help:"The client's certificate in PEM, with its chain if it has one." required:"" placeholder:"FILE"`
	Key    string `help:"Its private key in PEM, without a passphrase." required:"" placeholder:"FILE"`
	Header string `help:"The gateway's AUTH_HEADER." default:"X-SSL-Auth"`
}

func (f credentialFlags) checkHeader() error {
	if !httpguts.ValidHeaderFieldName(f.Header) {
		return fmt.Errorf("--header: want the name of a header field, found %q", f.Header)
	}
	return nil
}

// gatewayFlags say how the gateway, or the load balancer before it, is known.
type gatewayFlags struct {
	CA string `help:"The certificates of the authorities that may have signed the server's, instead of those that the machine knows." name:"ca" placeholder:"FILE"`
}

// roots are the authorities of --ca, or nil for those of the machine.
func (f gatewayFlags) roots(s surroundings) (*x509.CertPool, error) {
	if f.CA == "" {
		return nil, nil
	}
	certs, err := readCertificates(f.CA, s.stdin)
	if err != nil {
		return nil, fmt.Errorf("--ca: %w", err)
	}
	pool := x509.NewCertPool()
	for _, cert := range certs {
		pool.AddCert(cert)
	}
	return pool, nil
}

// requestFlags are one request.
type requestFlags struct {
	Method      string `arg:"" help:"The request's method, such as POST."`
	URL         string `arg:"" help:"Where it goes, as the gateway's clients know it: https://host/path?query."`
	Data        string `help:"The body, byte for byte; @FILE reads it from a file, @- from standard input. At most 1 MiB." placeholder:"BODY"`
	ContentType string `help:"The body's Content-Type; it is signed, too." placeholder:"TYPE"`
}

// prepare makes the request that is to be signed, and what signs it.
func prepare(ctx context.Context, s surroundings, f requestFlags, c credentialFlags) (*http.Request, *signing.Transport, error) {
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
	body, err := f.body(s.stdin)
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

// requestURL reads a URL whose path and query are sent as they stand: what would
// be written in another way is refused, for another program would write it in a
// third, and only one of them can be signed.
func requestURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("want http:// or https:// with a host, found %q", text)
	}
	if u.User != nil || u.Fragment != "" {
		return nil, errors.New("want a URL without user and fragment, found one")
	}
	_, rest, _ := strings.Cut(text, "://")
	target := strings.TrimPrefix(rest[strings.IndexAny(rest+"/", "/?"):], "/")
	if found := u.RequestURI(); found != "/"+target {
		return nil, fmt.Errorf("want a path and query with every odd character percent-encoded, such as %q, found %q", found, "/"+target)
	}
	if _, err := access.ParseTarget(u.RequestURI()); err != nil {
		return nil, fmt.Errorf("want a URL that the gateway would take: %w", err)
	}
	return u, nil
}

type signCommand struct {
	credentialFlags `embed:""`
	requestFlags    `embed:""`
}

// Help is the long text of certgate sign --help.
func (signCommand) Help() string {
	return `Prints the header fields with which one request has to be sent: to this URL, with this
method and body, once and within a minute. Whoever sees them can do that as well. curl
reads them from a file or, with @-, from standard input; --data-binary sends a file as
it is, where --data would leave out its line ends.

Example:

  certgate sign --cert mail.crt --key mail.key --content-type application/json \
    --data @event.json POST https://schedule.example.com/events |
    curl -H @- --data-binary @event.json https://schedule.example.com/events`
}

// Run prints the fields.
func (c signCommand) Run(ctx context.Context, s surroundings) error {
	r, transport, err := prepare(ctx, s, c.requestFlags, c.credentialFlags)
	if err != nil {
		return usageError{err}
	}
	signed, err := transport.Sign(r)
	if err != nil {
		return err
	}
	for _, name := range []string{c.Header, "Content-Type", "Content-Digest", "Signature-Input", "Signature"} {
		for _, value := range signed.Header.Values(name) {
			if _, err := fmt.Fprintf(s.stdout, "%s: %s\n", name, value); err != nil {
				return err
			}
		}
	}
	return nil
}
