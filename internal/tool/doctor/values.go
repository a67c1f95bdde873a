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

// forms sends the certificate in each form. As the credential it shows that the
// gateway takes it; where that fails, only a canary beside a good credential can
// show what became of it.
func (e *examination) forms(ctx context.Context) {
	var damaged []Finding
	var intact []string
	for _, form := range certheader.Forms() {
		if words := e.suffers(ctx, form); words != "" {
			damaged = append(damaged, Finding{Problem, "form " + string(form), words})
			continue
		}
		intact = append(intact, string(form))
	}
	if len(intact) > 0 {
		e.say(OK, "forms", fmt.Sprintf("the certificate arrives intact as %s", strings.Join(intact, ", ")))
	}
	for _, f := range damaged {
		f.Text += "; send it as " + string(e.form) + ", or let the load balancer leave the header alone"
		e.findings = append(e.findings, f)
	}
}

// suffers says what happens to the certificate in a form; "" is nothing.
func (e *examination) suffers(ctx context.Context, form certheader.Form) string {
	value := e.value(form)
	as := e.send(ctx, canary{credential: value})
	if as.answer != nil {
		return damage(value, as.answer.Header(e.Header))
	}
	beside := e.send(ctx, with(echo.CanaryPrefix+"-Form", value))
	if beside.answer == nil {
		return beside.refusal()
	}
	if words := damage(value, beside.answer.Header(echo.CanaryPrefix+"-Form")); words != "" {
		return words
	}
	return fmt.Sprintf("it arrives intact under another name, but in %s %s", e.Header, as.refusal())
}

// sizes grows a header until it is refused or does not arrive whole.
func (e *examination) sizes(ctx context.Context) {
	const check = "header size"
	passed, stopped := 0, ""
	for _, size := range []int{1 << 10, 4 << 10, 8 << 10, 16 << 10} {
		if stopped = e.outgrown(ctx, size); stopped != "" {
			stopped = fmt.Sprintf("with %d KiB %s", size>>10, stopped)
			break
		}
		passed = size
	}
	need := e.longest()
	switch {
	case stopped == "":
		e.say(OK, check, fmt.Sprintf("a header of 16 KiB arrives, which is the default of MAX_CREDENTIAL_BYTES; this certificate takes at most %d bytes", need))
	case passed >= 2*need:
		e.say(Note, check, fmt.Sprintf("a header of %d KiB arrives beside the certificate, and this certificate takes at most %d bytes; %s: raise the load balancer's limit if you use chains", passed>>10, need, stopped))
	default:
		e.say(Problem, check, fmt.Sprintf("only %d KiB arrive beside the certificate, and this certificate takes up to %d bytes; %s: raise the load balancer's limit for header lines (nginx: large_client_header_buffers 4 32k)", passed>>10, need, stopped))
	}
}

// outgrown says what happens to a header of that many bytes; "" is nothing.
func (e *examination) outgrown(ctx context.Context, size int) string {
	const name = echo.CanaryPrefix + "-Size"
	value := strings.Repeat("canary-9", size/8)
	a := e.send(ctx, with(name, value))
	if a.answer == nil {
		return a.refusal()
	}
	return damage(value, a.answer.Header(name))
}

// longest is the length of the certificate in its longest form.
func (e *examination) longest() int {
	lengths := []int{0}
	for _, form := range certheader.Forms() {
		lengths = append(lengths, len(e.value(form)))
	}
	return slices.Max(lengths)
}

// headers looks at what becomes of headers as such.
func (e *examination) headers(ctx context.Context) {
	const plain, twice = echo.CanaryPrefix + "-Plain", echo.CanaryPrefix + "-Twice"
	a := e.send(ctx, canary{header: http.Header{plain: {"one"}, twice: {"first", "second"}}})
	if a.answer == nil {
		e.say(Problem, "headers", "unknown headers, one of them twice, are not let through: "+a.refusal())
		return
	}
	if words := damage("one", a.answer.Header(plain)); words != "" {
		e.say(Problem, "headers", fmt.Sprintf("an unknown header, %s, is not passed on as it is: %s", plain, words))
	} else {
		e.say(OK, "headers", "an unknown header arrives once and under its name")
	}
	e.doubled(a.answer.Header(twice))
	e.underscores(ctx)
}

func (e *examination) doubled(lines []echo.Value) {
	const check = "doubled header"
	first, second := echo.Of("first"), echo.Of("second")
	switch {
	case slices.Equal(lines, []echo.Value{first, second}):
		e.say(OK, check, fmt.Sprintf("two lines of one header arrive as two; the gateway refuses a doubled %s", e.Header))
	case slices.Equal(lines, []echo.Value{echo.Of("first, second")}), slices.Equal(lines, []echo.Value{echo.Of("first,second")}):
		e.say(Note, check, fmt.Sprintf("two lines of one header arrive as one with a comma; the gateway refuses a doubled %s as credential_malformed", e.Header))
	case slices.Equal(lines, []echo.Value{first}), slices.Equal(lines, []echo.Value{second}):
		e.say(Note, check, "of two lines of one header only one arrives")
	default:
		e.say(Note, check, fmt.Sprintf("two lines of one header do not arrive as they are sent: %d do", len(lines)))
	}
}

// underscores: a client's X_Client_Cert that becomes X-Client-Cert goes past what
// the load balancer sets or deletes under that name.
func (e *examination) underscores(ctx context.Context) {
	const check, name = "underscores", "X_Certgate_Canary_Under"
	a := e.send(ctx, with(name, "one"))
	switch {
	case a.answer == nil:
		e.say(OK, check, "a header with _ in its name is not let through: "+a.refusal())
	case a.answer.Header(name) != nil:
		e.say(OK, check, "a header with _ in its name arrives under its name; the gateway deletes those that look like its own")
	case a.answer.Header(strings.ReplaceAll(name, "_", "-")) == nil:
		e.say(OK, check, "a header with _ in its name does not arrive")
	case e.base.PeerTrusted:
		e.say(Problem, check, "a header with _ in its name arrives with -: a client can send X_Forwarded_For and the like past what the load balancer sets, and the gateway trusts the load balancer; let it drop such headers")
	default:
		e.say(Note, check, "a header with _ in its name arrives with -: let the load balancer drop such headers before you put it in TRUSTED_PROXIES")
	}
}
