package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/certgate/certgate/internal/config"
	"github.com/certgate/certgate/internal/trust"
)

// loadConfig reads the configuration as serve does.
func loadConfig(s surroundings) (config.Config, error) {
	c, err := config.Load(s.variables())
	if err != nil {
		return c, usageError{fmt.Errorf("the environment is not a configuration:\n%w", err)}
	}
	return c, nil
}

type checkCommand struct{}

// Help is the long text of certgate check --help.
func (checkCommand) Help() string {
	return `Reads the whole configuration from the environment, as certgate serve would, and
starts nothing. Exit code 0 when it is right, 2 when it has faults: all of them
are printed.

Example:

  AUTH_PUBLIC_KEY_FILE=keys/ca.pub ACCESS_RULES_FILE=rules.yaml \
    UPSTREAM_URL=http://127.0.0.1:8081 certgate check`
}

// Run checks.
func (checkCommand) Run(s surroundings) error {
	c, err := loadConfig(s)
	if err != nil {
		return err
	}
	for _, w := range c.Warnings {
		if _, err := fmt.Fprintf(s.stdout, "warning: %s\n", w); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(s.stdout, "ok: %d keys, %d rules, %d denied, %d revocation lists, upstream %s\n",
		len(c.Keyring.Anchors()), c.Rules.RuleCount, c.Rules.DenyCount, len(c.CRLs), c.Upstream)
	return err
}

type keysCommand struct {
	File string `arg:"" optional:"" help:"A file as AUTH_PUBLIC_KEY_FILE would name it; by default the gateway's environment."`
	JSON bool   `help:"Print JSON." name:"json"`
}

// Help is the long text of certgate keys --help.
func (keysCommand) Help() string {
	return `Lists the keys in force by the id that the log gives them (key_id). Several keys
are an overlap: certificates of each pass, until the old key is taken out.

Example:

  certgate keys keys/ca.pub`
}

// keyReport is one anchor.
type keyReport struct {
	KeyID     string `json:"key_id"`
	SPKI      string `json:"spki_sha256"`
	Algorithm string `json:"algorithm"`
	Kind      string `json:"kind"` // "public key" or "CA certificate"
	Subject   string `json:"subject,omitempty"`
	NotAfter  string `json:"not_after,omitempty"`
}

// Run lists the keys.
func (k keysCommand) Run(s surroundings) error {
	ring, err := k.keyring(s)
	if err != nil {
		return err
	}
	var list []keyReport
	for _, a := range ring.Anchors() {
		r := keyReport{KeyID: a.ID().Short(), SPKI: a.ID().String(), Algorithm: a.Algorithm(), Kind: "public key"}
		if cert := a.Certificate(); cert != nil {
			r.Kind, r.Subject, r.NotAfter = "CA certificate", cert.Subject.String(), cert.NotAfter.UTC().Format(time.RFC3339)
		}
		list = append(list, r)
	}
	if k.JSON {
		return printJSON(s.stdout, list)
	}
	return printKeys(s.stdout, list)
}

func (k keysCommand) keyring(s surroundings) (*trust.Keyring, error) {
	if k.File == "" {
		c, err := loadConfig(s)
		return c.Keyring, err
	}
	text, err := readInput(k.File, s.stdin)
	if err != nil {
		return nil, err
	}
	ring, err := trust.ParseKeyring(text, 1024)
	if err != nil {
		return nil, usageError{fmt.Errorf("%s: %w", k.File, err)}
	}
	return ring, nil
}

func printKeys(w io.Writer, list []keyReport) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, r := range list {
		words := []string{r.KeyID, r.Algorithm, r.Kind}
		if r.Subject != "" {
			words = append(words, r.Subject, "valid to "+r.NotAfter)
		}
		_, _ = fmt.Fprintln(table, strings.Join(words, "\t"))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if len(list) == 1 {
		_, err := fmt.Fprintln(w, "one key in force: no rotation under way")
		return err
	}
	_, err := fmt.Fprintf(w, "%d keys in force: certificates of each pass (overlap)\n", len(list))
	return err
}
