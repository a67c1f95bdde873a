package main

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/certgate/certgate/internal/config"
	"github.com/certgate/certgate/internal/core/access"
	"github.com/certgate/certgate/internal/core/certheader"
	"github.com/certgate/certgate/internal/core/gate"
	"github.com/certgate/certgate/internal/core/httpsig"
	"github.com/certgate/certgate/internal/core/identity"
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/guard/replay"
	"github.com/certgate/certgate/internal/tool/advice"
)

type explainCommand struct {
	Cert      string `help:"The client's certificate as PEM, DER or header value, followed by its chain if it has one; - is standard input." xor:"client" placeholder:"FILE"`
	Client    string `help:"The client's name, in place of a certificate. No certificate is checked." xor:"client" placeholder:"NAME"`
	RequestID string `help:"Explain the recorded decision about this request, instead of a new one. Requires --log." xor:"client" placeholder:"ID" name:"request-id"`
	Log       string `help:"The audit log with the request, plain or gzip; - is standard input." placeholder:"FILE"`
	Method    string `arg:"" optional:"" help:"The request's method, such as GET. It is case-sensitive."`
	Target    string `arg:"" optional:"" help:"The request's path and query, as in the request line."`
	Signed    bool   `help:"Explain the request as if it had a valid signature."`
	JSON      bool   `help:"Print JSON." name:"json"`
}

// Validate returns an error for arguments that are missing or have no effect. kong calls it.
func (c explainCommand) Validate() error {
	switch {
	case c.Cert == "" && c.Client == "" && c.RequestID == "":
		return errors.New("want one of the flags --cert, --client and --request-id")
	case c.RequestID == "" && c.Target == "":
		return errors.New("want the method and the target of a request")
	case c.RequestID == "" && c.Log != "":
		return errors.New("want --request-id with --log")
	case c.RequestID == "":
		return nil
	case c.Log == "":
		return errors.New("want --log with --request-id")
	case c.Method != "" || c.Signed:
		return errors.New("want no method, target and --signed with --request-id: they are those of the recorded request")
	}
	return nil
}

// Help is the long text of certgate explain --help.
func (explainCommand) Help() string {
	return `Evaluates a request with the gateway's code and configuration, and shows the result of
each step. No request is sent, and UPSTREAM_URL may be unset. For a rate limit, explain
shows the rate of the rule; only the running gateway knows how much of it is used. The
request has no signature. With --signed it is evaluated as if it had a valid one; no key
is needed, and explain checks only whether the certificate's key can make signatures
that the gateway accepts. The exit code is 0 if the request would be forwarded, 1 if it
would be refused, and 2 if the configuration is invalid.

With --client the certificate is not evaluated: the decision is that about a client of
this name whose certificate is accepted. AUTH_PUBLIC_KEY may be unset.

With --request-id the recorded decision is shown, with its reason and what to do about
it, and what the rules in the configuration say now. Rules and keys may be unset. The
exit code is 0 if these rules allow the request (without rules: if it was allowed), 1
otherwise, and 2 also if the log does not contain the request.

Example:

  certgate explain --cert keys/mail.crt POST /events
  certgate explain --client mail POST /events
  certgate explain --request-id 8d3b2e89c10503edfeb563995c2e4991 --log certgate.log`
}

// explanation is the decision with its steps. Its JSON always has every key, with an
// empty value for a result of a step that was not reached.
type explanation struct {
	Decision string       `json:"decision"` // "allowed" or "refused"
	Status   int          `json:"status"`   // of the refusal, or 0 if the request would be forwarded
	Reason   string       `json:"reason"`
	Client   string       `json:"client"`
	Rule     string       `json:"rule"`
	KeyID    string       `json:"key_id"`
	Advice   string       `json:"advice"` // what to do about a refusal
	Steps    []stepResult `json:"steps"`
}

type stepResult struct {
	Step   gate.Step `json:"step"`
	Result string    `json:"result"` // "passed", "failed", "not reached" or "not checked"
	Detail string    `json:"detail"`
}

// Run explains one request.
func (c explainCommand) Run(ctx context.Context, env environment) error {
	switch {
	case c.RequestID != "":
		return c.explainRecorded(ctx, env)
	case c.Client != "":
		return c.explainClient(env)
	}
	conf, err := loadConfig(env, unusedUpstream())
	if err != nil {
		return err
	}
	certs, err := readCertificates(c.Cert, env.stdin)
	if err != nil {
		return err
	}
	return c.print(env, explain(c.decide(conf, certs), conf))
}

// print prints the explanation. The error states the verdict.
func (c explainCommand) print(env environment, e explanation) (err error) {
	if c.JSON {
		err = printJSON(env.stdout, e)
	} else {
		err = e.print(env.stdout)
	}
	if err == nil && e.Decision == refused {
		err = errSilent
	}
	return err
}

// decide returns the gate's decision. Without the client's key there is no signature to
// verify, so for --signed the gate treats possession as proven, and withSignature checks
// the rest of the proof.
func (c explainCommand) decide(conf config.Config, certs []*x509.Certificate) gate.Decision {
	verifier := &httpsig.Verifier{CredentialHeader: conf.AuthHeader, LegacyRSA: conf.LegacyRSAProof, Nonces: replay.NewMemory()}
	g := gate.Gate{
		Identifier: gate.Verification{Verifier: conf.Verifier(), Names: conf.Rules.Names, MaxCredentialBytes: conf.MaxCredentialBytes},
		Policy:     conf.Rules.Policy,
		Signatures: gate.SignaturePolicy{Default: conf.Proof, Verifier: verifier},
	}
	r := gate.Request{
		Time:       time.Now(),
		Credential: []string{certheader.Encode(certheader.Base64DER, rawOf(certs)...)},
		Method:     c.Method, Target: c.Target,
	}
	if !c.Signed {
		return g.Decide(r)
	}
	r.Auth = gate.MTLS
	return withSignature(g.Decide(r), verifier)
}

// withSignature converts the decision about a request whose possession was treated as
// proven to the decision about a request with a valid signature.
func withSignature(d gate.Decision, v *httpsig.Verifier) gate.Decision {
	d.Auth = gate.Bearer
	if !d.LooksAtSignatures() {
		return d
	}
	unable := refusal.Of(v.CheckKey(d.Client))
	switch {
	case unable == nil:
		d.Auth = gate.Signed
	case d.Proof == access.ProofObserve:
		d.WouldRefuse = unable
	default:
		d.Last, d.Grant, d.Refusal = gate.Proof, access.Grant{}, unable
	}
	return d
}

func explain(d gate.Decision, conf config.Config) explanation {
	e := explanation{Decision: "allowed", Client: d.Client.Name(), Rule: d.Rule}
	switch {
	case d.Certificate.Valid():
		e.KeyID = d.Certificate.ShortKeyID()
	case d.Signed.Valid(): // as in the audit line
		e.KeyID, e.Client = d.Signed.ShortKeyID(), d.SignedClient
	}
	e.refuse(d.Refusal)
	e.Steps = stepResults(d.Refusal, d.Last, func(step gate.Step) (result, detail string) {
		return "passed", describeStep(step, d, conf.Rules.Names)
	})
	return e
}

// stepResults returns the result of every step. The refusal, or nil, is that of the step last;
// before returns the result of a step before it.
func stepResults(refused *refusal.Error, last gate.Step, before func(gate.Step) (result, detail string)) (all []stepResult) {
	reached := true
	for _, step := range gate.Steps() {
		s := stepResult{Step: step, Result: "not reached"}
		switch {
		case refused != nil && step == last:
			s.Result, s.Detail = "failed", refused.Detail
			reached = false
		case reached:
			s.Result, s.Detail = before(step)
		}
		all = append(all, s)
	}
	return all
}

// refuse sets the fields of a refusal. Nil changes nothing.
func (e *explanation) refuse(r *refusal.Error) {
	if r != nil {
		e.Decision, e.Status, e.Reason, e.Advice = refused, r.Reason.Status(), string(r.Reason), advice.For(r.Reason)
	}
}

// describeStep returns the result of a step that passed.
func describeStep(step gate.Step, d gate.Decision, names *identity.Reader) string {
	switch step {
	case gate.Target:
		return d.Target.String()
	case gate.Credential:
		return "a certificate"
	case gate.Trust:
		return fmt.Sprintf("signed by key %s, serial %s, valid to %s", d.Certificate.ShortKeyID(),
			d.Certificate.Serial(), d.Certificate.NotAfter())
	case gate.Identity:
		return describeClient(d.Client, names)
	case gate.Access:
		return "rule " + d.Rule
	case gate.Proof:
		return describeProof(d)
	case gate.Rate:
		return cmp.Or(d.Grant.Rate(), "no rate")
	default:
		return ""
	}
}

// describeClient returns the client's name, with the source unless it is the default, and
// with the names that the anchor may issue, if they are restricted.
func describeClient(c identity.Client, names *identity.Reader) string {
	text := "client " + c.Name()
	if c.Source() != identity.OU {
		text += ", from " + string(c.Source())
	}
	if anchor := c.Certificate().KeyID(); names.IsScoped(anchor) {
		text += fmt.Sprintf("; key %s may issue %s", anchor.Short(), names.Describe(anchor))
	}
	return text
}

func describeProof(d gate.Decision) string {
	switch {
	case d.WouldRefuse != nil:
		return fmt.Sprintf("observed only; a rule that requires proof would refuse: %s", d.WouldRefuse.Reason)
	case d.Proof == access.ProofOff:
		return "not required"
	default:
		return d.Auth
	}
}

func (e explanation) print(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, s := range e.Steps {
		if s.Detail == "" {
			_, _ = fmt.Fprintf(table, "%s\t%s\n", s.Result, s.Step)
			continue
		}
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\n", s.Result, s.Step, printable(s.Detail))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if e.Decision == "allowed" {
		_, err := fmt.Fprintf(w, "allowed: forwarded as client %s by rule %s\n", e.Client, printable(e.Rule))
		return err
	}
	_, err := fmt.Fprintf(w, "refused: %d %s\nwhat to do: %s\n", e.Status, e.Reason, e.Advice)
	return err
}
