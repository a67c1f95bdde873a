// Package doctor examines what a load balancer leaves of a request on its way to
// the gateway.
//
// [Examine] sends canaries to the gateway's echo (package echo), a bounded number
// of small requests one after the other, and compares what was sent with what
// arrived. Each [Finding] is a sentence that says what to do. None has a value of
// the certificate in it.
package doctor

import (
	"context"
	"net/http"
	"net/url"

	"github.com/certgate/certgate/internal/core/certheader"
	"github.com/certgate/certgate/internal/surface/echo"
)

// Verdict is what a finding is worth.
type Verdict string

// The verdicts.
const (
	OK      Verdict = "ok"      // as it should be
	Note    Verdict = "note"    // works, and is good to know
	Problem Verdict = "problem" // damaged or unsafe
)

// Finding is the outcome of one check.
type Finding struct {
	Verdict Verdict `json:"verdict"`
	Check   string  `json:"check"`
	Text    string  `json:"text"`
}

// Options are what to examine. All fields are required.
type Options struct {
	// URL is that of the echo, from outside. It has a scheme, a host and a path.
	URL *url.URL
	// Certificates are the client's and its chain, in DER.
	Certificates [][]byte
	// Header is where the gateway wants the certificate.
	Header string
	// Client sends. It must follow no redirect, which would carry the certificate
	// elsewhere, and have a timeout for each request.
	Client *http.Client
}

// Examine runs every check, and only the first ones if the gateway cannot be
// reached or does not know the certificate. It asks until ctx is done; what was
// not asked then is a problem.
func Examine(ctx context.Context, o Options) []Finding {
	e := &examination{Options: o}
	if !e.introduce(ctx) {
		return e.findings
	}
	e.forms(ctx)
	e.sizes(ctx)
	e.headers(ctx)
	e.forwardedFor(ctx)
	e.spoofs(ctx)
	e.targets(ctx)
	e.normalization(ctx)
	e.signatures(ctx)
	e.hop()
	return e.findings
}

// examination is one run.
type examination struct {
	Options

	sent     int             // requests
	form     certheader.Form // in which the certificate passes
	base     echo.Answer     // to a request with nothing but the certificate
	prefix   string          // what the load balancer takes off the path
	foreign  bool            // the path arrives as quite another one
	peers    []string        // of every answer, in their order
	findings []Finding
}

func (e *examination) say(v Verdict, check, text string) {
	e.findings = append(e.findings, Finding{v, check, text})
}

// value is the certificate in a form.
func (e *examination) value(f certheader.Form) string {
	return certheader.Encode(f, e.Certificates...)
}
