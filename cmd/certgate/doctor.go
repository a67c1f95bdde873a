package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/net/http/httpguts"

	"github.com/certgate/certgate/internal/surface/echo"
	"github.com/certgate/certgate/internal/tool/doctor"
)

type doctorCommand struct {
	gatewayFlags `embed:""`

	URL    string `help:"The load balancer, https:// or http://; with ${echo_path} behind it unless it has a path." required:"" placeholder:"URL"`
	Cert   string `help:"A client's certificate, as PEM, DER or header value, with its chain if it has one; - is standard input." required:"" placeholder:"FILE"`
	Header string `help:"The gateway's AUTH_HEADER." default:"X-SSL-Auth"`
	JSON   bool   `help:"Print JSON." name:"json"`
}

const (
	canaryTimeout = 10 * time.Second // for one request
	visitTimeout  = 3 * time.Minute  // for all
)

// Help is the long text of certgate doctor --help.
func (doctorCommand) Help() string {
	return `Sends up to 80 small requests through the load balancer to the gateway's echo and
says what arrives of them: the certificate in each form, long, doubled and renamed
headers, X-Forwarded-For, paths and queries, and whether a client's own X-Request-Id or
another header of a proxy gets through, or paths with // and .. are normalized. It needs
ECHO_PATH at the gateway, while it runs, and no access rule. It sends the certificate,
which is a credential, to --url and nowhere else, and prints nothing of it.

Exit code 0 when nothing is wrong, 1 when something is damaged or unsafe, 2 when the
command line is wrong or a file cannot be read.

Example:

  ECHO_PATH=` + echo.Path + ` certgate serve
  certgate doctor --url https://schedule.example.com --cert mail.crt`
}

// diagnosis is what the doctor says, as JSON.
type diagnosis struct {
	OK       bool             `json:"ok"`
	Findings []doctor.Finding `json:"findings"`
}

// Run examines.
func (c doctorCommand) Run(ctx context.Context, s surroundings) error {
	o, err := c.options(s)
	if err != nil {
		return err
	}
	defer o.Client.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(ctx, visitTimeout)
	defer cancel()
	d := diagnosis{OK: true, Findings: doctor.Examine(ctx, o)}
	for _, f := range d.Findings {
		d.OK = d.OK && f.Verdict != doctor.Problem
	}
	if c.JSON {
		err = printJSON(s.stdout, d)
	} else {
		err = d.print(s.stdout)
	}
	if err == nil && !d.OK {
		err = errNo
	}
	return err
}

func (c doctorCommand) options(s surroundings) (doctor.Options, error) {
	u, err := echoURL(c.URL)
	if err != nil {
		return doctor.Options{}, usageError{err}
	}
	if !httpguts.ValidHeaderFieldName(c.Header) {
		return doctor.Options{}, usageError{fmt.Errorf("--header: want the name of a header field, found %q", c.Header)}
	}
	certs, err := readClient(c.Cert, s.stdin)
	if err != nil {
		return doctor.Options{}, usageError{err}
	}
	o := doctor.Options{URL: u, Header: c.Header, Certificates: rawOf(certs)}
	roots, err := c.roots(s)
	if err != nil {
		return doctor.Options{}, usageError{err}
	}
	o.Client = newVisitor(roots)
	return o, nil
}

// echoURL is where the echo is.
func echoURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("--url: want http:// or https:// with a host, found %q", text)
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("--url: want no user, query or fragment, found one")
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = echo.Path
	}
	return u, nil
}

// newVisitor is a client as most are: it offers HTTP/2. It asks no proxy, whose
// work would be taken for the load balancer's, and follows nobody elsewhere.
func newVisitor(roots *x509.CertPool) *http.Client {
	return &http.Client{
		Timeout: canaryTimeout,
		Transport: &http.Transport{
			Proxy:             nil,
			ForceAttemptHTTP2: true,
			TLSClientConfig:   &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// print writes each finding as a paragraph behind its verdict.
func (d diagnosis) print(w io.Writer) error {
	var b strings.Builder
	found := map[doctor.Verdict]int{}
	for _, f := range d.Findings {
		found[f.Verdict]++
		_, _ = fmt.Fprintf(&b, "%-9s%s\n", f.Verdict, wrapped(f.Check+": "+printable(f.Text), 9))
	}
	_, _ = fmt.Fprintf(&b, "%s, %s, %d ok\n", count(found[doctor.Problem], "problem"), count(found[doctor.Note], "note"), found[doctor.OK])
	_, err := io.WriteString(w, b.String())
	return err
}

// wrapped breaks text between words, to be at most 80 characters wide where a
// word is not longer, with lines behind the first indented.
func wrapped(text string, indent int) string {
	var b strings.Builder
	column := indent
	for i, word := range strings.Fields(text) {
		switch width := utf8.RuneCountInString(word); {
		case i == 0:
			column += width
		case column+1+width > 80:
			b.WriteString("\n" + strings.Repeat(" ", indent))
			column = indent + width
		default:
			b.WriteByte(' ')
			column += 1 + width
		}
		b.WriteString(word)
	}
	return b.String()
}
