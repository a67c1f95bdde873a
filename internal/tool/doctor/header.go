package doctor

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/certgate/certgate/internal/core/certheader"
	"github.com/certgate/certgate/internal/surface/echo"
)

// forms checks whether the certificate arrives unchanged in each form.
func (e *examination) forms(ctx context.Context) {
	var damaged []Finding
	var intact []string
	for _, form := range certheader.Forms() {
		if fault := e.checkForm(ctx, form); fault != "" {
			damaged = append(damaged, Finding{Problem, "form " + string(form), fault})
			continue
		}
		intact = append(intact, string(form))
	}
	if len(intact) > 0 {
		e.add(OK, "forms", fmt.Sprintf("the certificate arrives unchanged as %s", strings.Join(intact, ", ")))
	}
	for _, f := range damaged {
		f.Text += "; send it as " + string(e.form) + ", or configure the load balancer to forward the header unchanged"
		e.findings = append(e.findings, f)
	}
}

// checkForm describes how the certificate in a form is damaged, and returns "" if it
// arrives unchanged. It sends the form as the credential first. If the gateway refuses
// that, the echo does not respond, so checkForm sends the form in another header in
// addition to a valid credential.
func (e *examination) checkForm(ctx context.Context, form certheader.Form) string {
	value := e.value(form)
	asCredential := e.send(ctx, canary{credential: value})
	if asCredential.answer != nil {
		return describeDamage(value, asCredential.answer.Header(e.Header))
	}
	inOther := e.send(ctx, with(echo.CanaryPrefix+"-Form", value))
	if inOther.answer == nil {
		return inOther.describe()
	}
	if fault := describeDamage(value, inOther.answer.Header(echo.CanaryPrefix+"-Form")); fault != "" {
		return fault
	}
	return fmt.Sprintf("it arrives unchanged in another header, but in %s %s", e.Header, asCredential.describe())
}

// sizes sends longer and longer headers until one is refused or truncated.
func (e *examination) sizes(ctx context.Context) {
	const check = "header size"
	passed, fault := 0, ""
	for _, size := range []int{1 << 10, 4 << 10, 8 << 10, 16 << 10} {
		if fault = e.checkSize(ctx, size); fault != "" {
			fault = fmt.Sprintf("with %d KiB %s", size>>10, fault)
			break
		}
		passed = size
	}
	need := e.maxValueLength()
	switch {
	case fault == "":
		e.add(OK, check, fmt.Sprintf("a header of 16 KiB arrives, which is the default of MAX_CREDENTIAL_BYTES; this certificate needs at most %d bytes", need))
	case passed >= 2*need:
		e.add(Note, check, fmt.Sprintf("a header of %d KiB arrives in addition to the certificate, and this certificate needs at most %d bytes; %s: raise the load balancer's limit if you use chains", passed>>10, need, fault))
	default:
		e.add(Problem, check, fmt.Sprintf("only %d KiB arrive in addition to the certificate, and this certificate needs up to %d bytes; %s: raise the load balancer's limit for header lines (nginx: large_client_header_buffers 4 32k)", passed>>10, need, fault))
	}
}

// checkSize describes how a header of the size is damaged, and returns "" if it arrives
// unchanged.
func (e *examination) checkSize(ctx context.Context, size int) string {
	const name = echo.CanaryPrefix + "-Size"
	value := strings.Repeat("canary-9", size/8)
	a := e.send(ctx, with(name, value))
	if a.answer == nil {
		return a.describe()
	}
	return describeDamage(value, a.answer.Header(name))
}

// maxValueLength returns the length of the certificate in its longest form.
func (e *examination) maxValueLength() int {
	lengths := []int{0}
	for _, form := range certheader.Forms() {
		lengths = append(lengths, len(e.value(form)))
	}
	return slices.Max(lengths)
}

// headers checks how unknown and repeated headers arrive.
func (e *examination) headers(ctx context.Context) {
	const plain, twice = echo.CanaryPrefix + "-Plain", echo.CanaryPrefix + "-Twice"
	a := e.send(ctx, canary{header: http.Header{plain: {"one"}, twice: {"first", "second"}}})
	if a.answer == nil {
		e.add(Problem, "headers", "a request with unknown headers, one of them repeated, is refused: "+a.describe())
		return
	}
	if fault := describeDamage("one", a.answer.Header(plain)); fault != "" {
		e.add(Problem, "headers", fmt.Sprintf("an unknown header, %s, is not forwarded unchanged: %s", plain, fault))
	} else {
		e.add(OK, "headers", "an unknown header arrives once and under its name")
	}
	e.repeatedHeader(a.answer.Header(twice))
	e.underscores(ctx)
}

// repeatedHeader reports how two lines of one header arrive.
func (e *examination) repeatedHeader(lines []echo.Value) {
	const check = "doubled header"
	first, second := echo.Of("first"), echo.Of("second")
	switch {
	case slices.Equal(lines, []echo.Value{first, second}):
		e.add(OK, check, fmt.Sprintf("two lines of one header arrive as two; the gateway refuses a repeated %s", e.Header))
	case slices.Equal(lines, []echo.Value{echo.Of("first, second")}), slices.Equal(lines, []echo.Value{echo.Of("first,second")}):
		e.add(Note, check, fmt.Sprintf("two lines of one header arrive as one with a comma; the gateway refuses a repeated %s as credential_malformed", e.Header))
	case slices.Equal(lines, []echo.Value{first}), slices.Equal(lines, []echo.Value{second}):
		e.add(Note, check, "only one of two lines of one header arrives")
	default:
		e.add(Note, check, fmt.Sprintf("two lines of one header do not arrive unchanged: %d of them arrive", len(lines)))
	}
}

// underscores checks whether the load balancer converts _ to - in header names. If it
// does, a client's X_Client_Cert becomes X-Client-Cert after the load balancer has set or
// deleted the header of that name.
func (e *examination) underscores(ctx context.Context) {
	const check, name = "underscores", "X_Certgate_Canary_Under"
	a := e.send(ctx, with(name, "one"))
	switch {
	case a.answer == nil:
		e.add(OK, check, "a request with _ in a header name is refused: "+a.describe())
	case a.answer.Header(name) != nil:
		e.add(OK, check, "a header with _ in its name arrives under its name; the gateway deletes such headers if they resemble its own")
	case a.answer.Header(strings.ReplaceAll(name, "_", "-")) == nil:
		e.add(OK, check, "a header with _ in its name does not arrive")
	case e.base.PeerTrusted:
		e.add(Problem, check, "a header with _ in its name arrives with -: a client can set X-Forwarded-For and similar headers by sending X_Forwarded_For, and the gateway trusts the load balancer; configure it to drop such headers")
	default:
		e.add(Note, check, "a header with _ in its name arrives with -: configure the load balancer to drop such headers before you add it to TRUSTED_PROXIES")
	}
}
