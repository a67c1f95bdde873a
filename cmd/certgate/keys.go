package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/certgate/certgate/internal/core/trust"
)

type keysCommand struct {
	File string `arg:"" optional:"" help:"A file as AUTH_PUBLIC_KEY_FILE would name it; - is standard input. By default the gateway's environment."`
	JSON bool   `help:"Print JSON." name:"json"`
}

// Help is the long text of certgate keys --help.
func (keysCommand) Help() string {
	return `Lists the keys in force by the id that the log gives them (key_id), or the keys
that a file would bring into force. Several keys are an overlap: certificates of
each pass, until the old key is taken out. Of the environment only the AUTH_
variables need be set.

Example:

  certgate keys keys/ca.pub
  cat old.pub new.pub | certgate keys -`
}

// keyReport is one anchor. Its JSON always has every key; a bare public key has
// no subject and no end.
type keyReport struct {
	KeyID     string `json:"key_id"`
	SPKI      string `json:"spki_sha256"`
	Algorithm string `json:"algorithm"`
	Kind      string `json:"kind"` // "public key" or "CA certificate"
	Subject   string `json:"subject"`
	NotAfter  string `json:"not_after"`
	Expired   bool   `json:"expired"`
}

// legacyMinRSABits is the least that AUTH_MIN_RSA_BITS can be.
const legacyMinRSABits = 1024

// Run lists the keys.
func (k keysCommand) Run(s surroundings) error {
	ring, err := k.keyring(s)
	if err != nil {
		return err
	}
	for _, warning := range ring.Warnings() {
		_, _ = fmt.Fprintf(s.stderr, "warning: %s\n", warning)
	}
	list := keyReports(ring, time.Now())
	if k.JSON {
		return printJSON(s.stdout, list)
	}
	return k.print(s.stdout, list)
}

func (k keysCommand) keyring(s surroundings) (*trust.Keyring, error) {
	if k.File == "" {
		c, err := loadConfig(s, unusedRules(), unusedUpstream())
		return c.Keyring, err
	}
	text, err := readInput(k.File, s.stdin)
	if err != nil {
		return nil, err
	}
	ring, err := trust.ParseKeyring(text, trust.DefaultMinRSABits)
	if err == nil {
		return ring, nil
	}
	if ring, legacyErr := trust.ParseKeyring(text, legacyMinRSABits); legacyErr == nil {
		_, _ = fmt.Fprintf(s.stderr, "warning: the gateway takes this file only with AUTH_MIN_RSA_BITS=%d\n", legacyMinRSABits)
		return ring, nil
	}
	return nil, fmt.Errorf("%s: %w", inputName(k.File), err)
}

func keyReports(ring *trust.Keyring, now time.Time) []keyReport {
	var list []keyReport
	for _, a := range ring.Anchors() {
		r := keyReport{KeyID: a.ID().Short(), SPKI: a.ID().String(), Algorithm: a.Algorithm(), Kind: "public key"}
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
		words := []string{r.KeyID, r.Algorithm, r.Kind}
		if r.NotAfter != "" {
			words = append(words, printable(orNone(r.Subject)), r.end())
		}
		_, _ = fmt.Fprintln(table, strings.Join(words, "\t"))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	where := "in force"
	if k.File != "" {
		where = "in " + printable(inputName(k.File))
	}
	closing := count(len(list), "key") + " " + where
	if len(list) > 1 {
		closing += ": certificates of each pass (overlap)"
	}
	_, err := fmt.Fprintln(w, closing)
	return err
}

// end says how long the key's certificate lasts.
func (r keyReport) end() string {
	if r.Expired {
		return "expired " + r.NotAfter + ": vouches for nothing"
	}
	return "valid to " + r.NotAfter
}
