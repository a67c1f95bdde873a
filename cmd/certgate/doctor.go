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

	URL    string `help:"The load balancer, https:// or http://. Without a path, ${echo_path} is used." required:"" placeholder:"URL"`
	Cert   string `help:"A client's certificate as PEM, DER or header value, followed by its chain if it has one; - is standard input." required:"" placeholder:"FILE"`
	Header string `help:"The gateway's AUTH_HEADER." default:"X-SSL-Auth"`
	JSON   bool   `help:"Print JSON." name:"json"`
}

const (
	probeTimeout       = 10 * time.Second // for one request
	examinationTimeout = 3 * time.Minute  // for all
)

// Help is the long text of certgate doctor --help.
func (doctorCommand) Help() string {
	return `Sends up to 80 small requests through the load balancer to the gateway's echo and
reports how they arrive: the certificate in each form; long, repeated and renamed
headers; X-Forwarded-For; paths and queries. It also reports whether a client can set
X-Request-Id or a header of a proxy, and whether the load balancer normalizes paths with
// and "..". The gateway needs ECHO_PATH while the doctor runs, and no access rule. The
doctor sends the certificate, which is a credential, to --url only, and never prints it.

The exit code is 0 if no problem was found, 1 if something is damaged or unsafe, and 2 if
the command line is wrong or a file cannot be read.

Example:

  ECHO_PATH=` + echo.Path + ` certgate serve
  certgate doctor --url https://schedule.example.com --cert mail.crt`
}

// diagnosis is the result of the doctor as JSON.
type diagnosis struct {
	OK       bool             `json:"ok"`
	Findings []doctor.Finding `json:"findings"`
}

// Run examines the load balancer and prints the findings.
func (c doctorCommand) Run(ctx context.Context, env environment) error {
	o, err := c.options(env)
	if err != nil {
		return err
	}
	defer o.Client.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(ctx, examinationTimeout)
	defer cancel()
	d := diagnosis{OK: true, Findings: doctor.Examine(ctx, o)}
	for _, f := range d.Findings {
		d.OK = d.OK && f.Verdict != doctor.Problem
	}
	if c.JSON {
		err = printJSON(env.stdout, d)
	} else {
		err = d.print(env.stdout)
	}
	if err == nil && !d.OK {
		err = errSilent
	}
	return err
}

func (c doctorCommand) options(env environment) (doctor.Options, error) {
	u, err := echoURL(c.URL)
	if err != nil {
		return doctor.Options{}, usageError{err}
	}
	if !httpguts.ValidHeaderFieldName(c.Header) {
		return doctor.Options{}, usageError{fmt.Errorf("--header: want the name of a header field, found %q", c.Header)}
	}
	certs, err := readClient(c.Cert, env.stdin)
	if err != nil {
		return doctor.Options{}, usageError{err}
	}
	o := doctor.Options{URL: u, Header: c.Header, Certificates: rawOf(certs)}
	roots, err := c.roots(env)
	if err != nil {
		return doctor.Options{}, usageError{err}
	}
	o.Client = newProbeClient(roots)
	return o, nil
}

// echoURL returns the URL of the echo.
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

// newProbeClient returns a client that offers HTTP/2, as most clients do. It uses no
// forward proxy, because the doctor could not distinguish a change by the forward proxy from
// one by the load balancer. It follows no redirects.
func newProbeClient(roots *x509.CertPool) *http.Client {
	return &http.Client{
		Timeout: probeTimeout,
		Transport: &http.Transport{
			Proxy:             nil,
			ForceAttemptHTTP2: true,
			TLSClientConfig:   &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// print writes each finding as a paragraph with its verdict in the left column.
func (d diagnosis) print(w io.Writer) error {
	var b strings.Builder
	found := map[doctor.Verdict]int{}
	for _, f := range d.Findings {
		found[f.Verdict]++
		_, _ = fmt.Fprintf(&b, "%-9s%s\n", f.Verdict, wrapText(f.Check+": "+printable(f.Text), 9))
	}
	_, _ = fmt.Fprintf(&b, "%s, %s, %d ok\n", count(found[doctor.Problem], "problem"), count(found[doctor.Note], "note"), found[doctor.OK])
	_, err := io.WriteString(w, b.String())
	return err
}

// wrapText breaks text between words into lines of at most 80 characters and indents
// every line except the first. Longer words get a line of their own.
func wrapText(text string, indent int) string {
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
