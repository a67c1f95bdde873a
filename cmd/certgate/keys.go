package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/certgate/certgate/internal/core/identity"
	"github.com/certgate/certgate/internal/core/trust"
)

type keysCommand struct {
	File string `arg:"" optional:"" help:"A file in the form of AUTH_PUBLIC_KEY_FILE; - is standard input. Default: the gateway's configuration in the environment."`
	JSON bool   `help:"Print JSON." name:"json"`
}

// Help is the long text of certgate keys --help.
func (keysCommand) Help() string {
	return `Lists the keys that the gateway trusts, or the keys in a file, with the id that the log
contains (key_id). With several keys, as during a rotation, the gateway accepts
certificates that any of them signed. Only the AUTH_ variables have to be set. If the
rules are set too, the list has the client names that each key may issue.

Example:

  certgate keys keys/ca.pub
  cat old.pub new.pub | certgate keys -`
}

// keyReport describes one anchor. Its JSON always has every key. The subject and the end
// of a bare public key are empty.
type keyReport struct {
	KeyID     string `json:"key_id"`
	SPKI      string `json:"spki_sha256"`
	Algorithm string `json:"algorithm"`
	Kind      string `json:"kind"` // "public key" or "CA certificate"
	Subject   string `json:"subject"`
	NotAfter  string `json:"not_after"`
	Expired   bool   `json:"expired"`
	// Identity and Clients are the part of certificates with the client's name and the
	// names that the key may issue. Without the gateway's rules, and without a
	// restriction, Clients is empty.
	Identity string   `json:"identity"`
	Clients  []string `json:"clients"`

	names string // Identity and Clients as text, or "" for the default
}

// legacyMinRSABits is the smallest value of AUTH_MIN_RSA_BITS.
const legacyMinRSABits = 1024

// Run lists the keys.
func (k keysCommand) Run(env environment) error {
	ring, names, err := k.keyring(env)
	if err != nil {
		return err
	}
	for _, warning := range ring.Warnings() {
		_, _ = fmt.Fprintf(env.stderr, "warning: %s\n", warning)
	}
	list := keyReports(ring, names, time.Now())
	if k.JSON {
		return printJSON(env.stdout, list)
	}
	return k.print(env.stdout, list)
}

// keyring returns the keys, and for those of the configuration the reader of names.
func (k keysCommand) keyring(env environment) (*trust.Keyring, *identity.Reader, error) {
	if k.File == "" {
		c, err := loadConfig(env, unusedRules(), unusedUpstream())
		return c.Keyring, c.Rules.Names, err
	}
	ring, err := k.readFile(env)
	return ring, nil, err
}

func (k keysCommand) readFile(env environment) (*trust.Keyring, error) {
	text, err := readInput(k.File, env.stdin)
	if err != nil {
		return nil, err
	}
	ring, err := trust.ParseKeyring(text, trust.DefaultMinRSABits)
	if err == nil {
		return ring, nil
	}
	if ring, legacyErr := trust.ParseKeyring(text, legacyMinRSABits); legacyErr == nil {
		_, _ = fmt.Fprintf(env.stderr, "warning: the gateway accepts this file only with AUTH_MIN_RSA_BITS=%d\n", legacyMinRSABits)
		return ring, nil
	}
	return nil, fmt.Errorf("%s: %w", inputName(k.File), err)
}

func keyReports(ring *trust.Keyring, names *identity.Reader, now time.Time) []keyReport {
	var list []keyReport
	for _, a := range ring.Anchors() {
		r := keyReport{KeyID: a.ID().Short(), SPKI: a.ID().String(), Algorithm: a.Algorithm(), Kind: "public key",
			Identity: string(names.SourceFor(a.ID())), Clients: append([]string{}, names.Clients(a.ID())...)}
		if names != nil && (r.Identity != string(identity.OU) || names.IsScoped(a.ID())) {
			r.names = names.Describe(a.ID())
		}
		if cert := a.Certificate(); cert != nil {
			r.Kind, r.Subject, r.NotAfter = "CA certificate", trust.SubjectText(cert), cert.NotAfter.UTC().Format(time.RFC3339)
			r.Expired = now.After(cert.NotAfter)
		}
		list = append(list, r)
	}
	return list
}

func (k keysCommand) print(w io.Writer, list []keyReport) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, r := range list {
		cells := []string{r.KeyID, r.Algorithm, r.Kind}
		if r.NotAfter != "" {
			cells = append(cells, printable(orNone(r.Subject)), r.validity())
		}
		if r.names != "" {
			cells = append(cells, printable(r.names))
		}
		_, _ = fmt.Fprintln(table, strings.Join(cells, "\t"))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	where := "in force"
	if k.File != "" {
		where = "in " + printable(inputName(k.File))
	}
	summary := count(len(list), "key") + " " + where
	if len(list) > 1 {
		summary += ": certificates of each are accepted (overlap)"
	}
	_, err := fmt.Fprintln(w, summary)
	return err
}

// validity describes the end of the validity period of a CA certificate.
func (r keyReport) validity() string {
	if r.Expired {
		return "expired " + r.NotAfter + ": its certificates are refused"
	}
	return "valid to " + r.NotAfter
}
