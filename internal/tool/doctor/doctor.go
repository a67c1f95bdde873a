// Package doctor finds out how a load balancer changes the requests that it forwards to
// the gateway.
//
// [Examine] sends canaries, a limited number of small requests, through the load balancer
// to the gateway's echo (package echo), and compares each request with what the echo
// received. Each [Finding] describes the result and, if necessary, what to do. No finding
// contains a part of the certificate.
package doctor

import (
	"context"
	"net/http"
	"net/url"

	"github.com/certgate/certgate/internal/core/certheader"
	"github.com/certgate/certgate/internal/surface/echo"
)

// Verdict classifies a finding.
type Verdict string

// The verdicts.
const (
	OK      Verdict = "ok"      // correct
	Note    Verdict = "note"    // works, with consequences that the operator should know
	Problem Verdict = "problem" // damaged or unsafe
)

// Finding is one result of a check.
type Finding struct {
	Verdict Verdict `json:"verdict"`
	Check   string  `json:"check"`
	Text    string  `json:"text"`
}

// Options configure [Examine]. All fields are required.
type Options struct {
	// URL is the URL of the echo at the load balancer. It has a scheme, a host and a path.
	URL *url.URL
	// Certificates are the client's certificate and its chain, in DER.
	Certificates [][]byte
	// Header is the gateway's AUTH_HEADER.
	Header string
	// Client sends the requests. It must not follow redirects, which would send the
	// certificate to another server, and must have a timeout for each request.
	Client *http.Client
}

// Examine runs all checks and returns their findings. If the echo cannot be reached or
// the gateway refuses the certificate, it runs the first checks only. When ctx is done,
// the remaining checks fail with a problem.
func Examine(ctx context.Context, o Options) []Finding {
	e := &examination{Options: o}
	if !e.connect(ctx) {
		return e.findings
	}
	e.forms(ctx)
	e.sizes(ctx)
	e.headers(ctx)
	e.forwardedFor(ctx)
	e.spoofs(ctx)
	e.pathAndQuery(ctx)
	e.normalization(ctx)
	e.signatures(ctx)
	e.connections()
	return e.findings
}

// examination is the state of one run of [Examine].
type examination struct {
	Options

	sent      int             // number of requests
	form      certheader.Form // a form of the certificate that the gateway accepts
	base      echo.Response   // the echo of a request with the certificate only
	prefix    string          // the prefix that the load balancer removes from the path
	rewritten bool            // whether the load balancer replaces the path by another one
	peers     []string        // the load balancer's address in each echo, in order
	findings  []Finding
}

func (e *examination) add(v Verdict, check, text string) {
	e.findings = append(e.findings, Finding{v, check, text})
}

// value returns the certificate in a form.
func (e *examination) value(f certheader.Form) string {
	return certheader.Encode(f, e.Certificates...)
}
