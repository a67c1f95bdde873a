package main

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/certgate/certgate/internal/config"
	"github.com/certgate/certgate/internal/denial"
	"github.com/certgate/certgate/internal/identity"
	"github.com/certgate/certgate/internal/trust"
)

type inspectCommand struct {
	File string `arg:"" help:"The certificate, PEM or DER; - is standard input."`
	JSON bool   `help:"Print JSON." name:"json"`
}

// Help is the long text of certgate inspect --help.
func (inspectCommand) Help() string {
	return `Shows what matters of a certificate here, and what would make certgate refuse it
whoever signed it. Where the gateway's environment is set, it also says whether a
key in force vouches for it. Exit code 0 when nothing speaks against it, else 1.

Example:

  certgate inspect keys/mail.crt`
}

// report is what inspect knows about a certificate.
type certificateReport struct {
	Client      string   `json:"client,omitempty"`
	Subject     string   `json:"subject"`
	Issuer      string   `json:"issuer"`
	Serial      string   `json:"serial"`
	NotBefore   string   `json:"not_before"`
	NotAfter    string   `json:"not_after"`
	DaysLeft    int      `json:"days_left"`
	Key         string   `json:"key"`
	Signature   string   `json:"signature"`
	SPKI        string   `json:"spki"`
	Certificate string   `json:"certificate"`
	SharedKey   bool     `json:"legacy_shared_key"`
	KeyID       string   `json:"key_id,omitempty"`
	Faults      []string `json:"faults"`
}

// Run prints the report on the file's first certificate.
func (c inspectCommand) Run(s surroundings) error {
	certs, err := readCertificates(c.File, s.stdin)
	if err != nil {
		return err
	}
	r := examine(certs, time.Now(), s.variables())
	if c.JSON {
		err = printJSON(s.stdout, r)
	} else {
		err = r.print(s.stdout)
	}
	if err == nil && len(r.Faults) > 0 {
		err = fmt.Errorf("%s: certgate would refuse it", c.File)
	}
	return err
}

func examine(certs []*x509.Certificate, now time.Time, environ map[string]string) certificateReport {
	cert := certs[0]
	spki, tbs := sha256.Sum256(cert.RawSubjectPublicKeyInfo), sha256.Sum256(cert.RawTBSCertificate)
	r := certificateReport{
		Subject: cert.Subject.String(), Issuer: cert.Issuer.String(), Serial: hex.EncodeToString(cert.SerialNumber.Bytes()),
		NotBefore: cert.NotBefore.UTC().Format(time.RFC3339), NotAfter: cert.NotAfter.UTC().Format(time.RFC3339),
		DaysLeft: int(cert.NotAfter.Sub(now) / day),
		Key:      trust.DescribeKey(cert.PublicKey), Signature: cert.SignatureAlgorithm.String(),
		SPKI:        "sha256/" + base64.StdEncoding.EncodeToString(spki[:]),
		Certificate: hex.EncodeToString(tbs[:]),
		// Signed with its own key and no CA: the 2012 recipe.
		SharedKey: !cert.IsCA && cert.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature) == nil,
		Faults:    []string{},
	}
	limits := trust.Limits{ClockSkew: time.Minute}
	c, err := config.Load(environ)
	if err == nil {
		limits = c.Limits
	}
	faults := limits.Faults(cert, now)
	name, claimErr := identity.Claimed(cert)
	if claimErr != nil {
		faults = append(faults, claimErr)
	}
	r.Client = name
	if err == nil && len(faults) == 0 {
		v, err := c.Verifier().Verify(cert, now, certs[1:]...)
		if err != nil {
			faults = append(faults, err)
		} else {
			r.KeyID = v.KeyID().Short()
		}
	}
	for _, f := range faults {
		r.Faults = append(r.Faults, f.Error())
	}
	return r
}

func (r certificateReport) print(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name, value string) { _, _ = fmt.Fprintf(table, "%s\t%s\n", name, value) }
	row("client", orNone(r.Client))
	row("subject", r.Subject)
	row("issuer", r.Issuer)
	row("serial", r.Serial)
	row("valid", fmt.Sprintf("%s to %s, %d days left", r.NotBefore, r.NotAfter, r.DaysLeft))
	row("key", r.Key)
	row("signature", r.Signature)
	row("deny by key", "spki: "+r.SPKI)
	row("deny this one", "certificate: "+r.Certificate)
	if r.SharedKey {
		row("shared key", "yes: signed over its own key (legacy_shared_key); the client owns no key of its own")
	}
	if r.KeyID != "" {
		row("trusted by", "key "+r.KeyID)
	}
	if len(r.Faults) == 0 {
		row("refused for", "nothing in the certificate itself")
	}
	for _, f := range r.Faults {
		row("refused for", f)
	}
	return table.Flush()
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// reasonOf is the stable code of a refusal.
func reasonOf(d *denial.Error) string {
	if d == nil {
		return ""
	}
	return string(d.Reason)
}
