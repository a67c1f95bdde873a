package main

import (
	"cmp"
	"crypto/x509"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/certgate/certgate/internal/config"
	"github.com/certgate/certgate/internal/core/access"
	"github.com/certgate/certgate/internal/core/certheader"
	"github.com/certgate/certgate/internal/core/gate"
	"github.com/certgate/certgate/internal/core/httpsig"
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/guard/replay"
)

type explainCommand struct {
	Cert   string `help:"The client's certificate, as PEM, DER or header value, with its chain if it has one; - is standard input." required:"" placeholder:"FILE"`
	Method string `arg:"" help:"The request's method, such as GET; upper and lower case differ."`
	Target string `arg:"" help:"The request's path and query, as they stand in the request line."`
	Signed bool   `help:"Explain the request as if it were signed as it must be."`
	JSON   bool   `help:"Print JSON." name:"json"`
}

// Help is the long text of certgate explain --help.
func (explainCommand) Help() string {
	return `Asks the gateway's own code, with the gateway's environment, what it would say to
a request, and shows each step. Nothing is sent: UPSTREAM_URL need not be set.
Of a rate it shows what the rule says: how much of it the client has used, only
the gateway knows. The request has no signature; with --signed it is explained as
if it had a good one, which takes no key: what is left to ask is whether the
certificate's own could make it. Exit code 0 when the request would be forwarded,
1 when it would be refused, 2 when the environment is not a configuration.

Example:

  certgate explain --cert keys/mail.crt POST /events`
}

// explanation is the verdict with its steps. Its JSON always has every key, with
// "" for what the steps did not come to.
type explanation struct {
	Decision string      `json:"decision"` // "allowed" or "refused"
	Status   int         `json:"status"`   // of the refusal; 0 when the upstream would answer
	Reason   string      `json:"reason"`
	Client   string      `json:"client"`
	Rule     string      `json:"rule"`
	KeyID    string      `json:"key_id"`
	Steps    []stepTaken `json:"steps"`
}

type stepTaken struct {
	Step   gate.Step `json:"step"`
	Result string    `json:"result"` // "passed", "failed" or "not reached"
	Detail string    `json:"detail"`
}

// Run explains one request.
func (c explainCommand) Run(s surroundings) error {
	conf, err := loadConfig(s, unusedUpstream())
	if err != nil {
		return err
	}
	certs, err := readCertificates(c.Cert, s.stdin)
	if err != nil {
		return err
	}
	e := explain(c.decide(conf, certs))
	if c.JSON {
		err = printJSON(s.stdout, e)
	} else {
		err = e.print(s.stdout)
	}
	if err == nil && e.Decision == refused {
		err = errNo
	}
	return err
}

// decide asks the gate. A signature that is as it must be is nothing that a gate
// without the client's key could look at; so possession counts as shown, and what is
// left of the proof is asked afterwards.
func (c explainCommand) decide(conf config.Config, certs []*x509.Certificate) gate.Decision {
	verifier := &httpsig.Verifier{CredentialHeader: conf.AuthHeader, LegacyRSA: conf.LegacyRSAProof, Nonces: replay.NewMemory()}
	g := gate.Gate{
		Identifier: gate.Verification{Verifier: conf.Verifier(), MaxCredentialBytes: conf.MaxCredentialBytes},
		Policy:     conf.Rules.Policy,
		Possession: gate.Possession{Default: conf.Proof, Verifier: verifier},
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
	return signed(g.Decide(r), verifier)
}

// signed is the decision on a request whose possession counted as shown, for one
// that is signed.
func signed(d gate.Decision, v *httpsig.Verifier) gate.Decision {
	d.Auth = gate.Bearer
	if !d.LooksAtSignatures() {
		return d
	}
	refused := refusal.Of(v.Able(d.Client))
	switch {
	case refused == nil:
		d.Auth = gate.Signed
	case d.Proof == access.ProofObserve:
		d.WouldRefuse = refused
	default:
		d.Last, d.Grant, d.Denial = gate.Proof, access.Grant{}, refused
	}
	return d
}

func explain(d gate.Decision) explanation {
	e := explanation{Decision: "allowed", Client: d.Client.Name(), Rule: d.Rule}
	switch {
	case d.Certificate.Valid():
		e.KeyID = d.Certificate.ShortKeyID()
	case d.Signed.Valid(): // as in the audit line
		e.KeyID, e.Client = d.Signed.ShortKeyID(), d.SignedClient()
	}
	if d.Denial != nil {
		e.Decision, e.Status = refused, d.Denial.Reason.Status()
		e.Reason = string(d.Denial.Reason)
	}
	result := "passed"
	for _, step := range gate.Steps() {
		taken := stepTaken{Step: step, Result: result}
		switch {
		case d.Denial != nil && step == d.Last:
			taken.Result, taken.Detail = "failed", d.Denial.Detail
			result = "not reached"
		case result == "passed":
			taken.Detail = passed(step, d)
		}
		e.Steps = append(e.Steps, taken)
	}
	return e
}

// passed says what a step found.
func passed(step gate.Step, d gate.Decision) string {
	switch step {
	case gate.Target:
		return d.Target.String()
	case gate.Credential:
		return "a certificate"
	case gate.Trust:
		cert := d.Certificate.Certificate()
		return fmt.Sprintf("key %s vouches for serial %s, valid to %s", d.Certificate.ShortKeyID(),
			d.Certificate.Serial(), cert.NotAfter.UTC().Format(time.RFC3339))
	case gate.Identity:
		return "client " + d.Client.Name()
	case gate.Access:
		return "rule " + d.Rule
	case gate.Proof:
		return proofPassed(d)
	case gate.Rate:
		return cmp.Or(d.Grant.Rate(), "no rate")
	default:
		return ""
	}
}

func proofPassed(d gate.Decision) string {
	switch {
	case d.WouldRefuse != nil:
		return fmt.Sprintf("only observed; required, it would be refused: %s", d.WouldRefuse.Reason)
	case d.Proof == access.ProofOff:
		return "not asked for"
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
	_, err := fmt.Fprintf(w, "refused: %d %s\n", e.Status, e.Reason)
	return err
}
