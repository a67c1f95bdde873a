package main

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/certgate/certgate/internal/core/identity"
	"github.com/certgate/certgate/internal/core/trust"
	"github.com/certgate/certgate/internal/core/x509diag"
)

type inspectCommand struct {
	File string `arg:"" help:"The certificate as PEM, DER or header value; - is standard input."`
	JSON bool   `help:"Print JSON." name:"json"`
}

// Help is the long text of certgate inspect --help.
func (inspectCommand) Help() string {
	return `Shows the fields of the first certificate in the file, and every reason for which the
gateway would refuse it, whatever its issuer. The whole file is checked, because clients
often send base64 of the file: a file that also contains a private key or other text is
refused. If AUTH_PUBLIC_KEY or AUTH_PUBLIC_KEY_FILE is set, inspect also checks whether
one of these keys signed the certificate, directly or through the other certificates in
the file. If ACCESS_RULES or ACCESS_RULES_FILE is set, it checks the deny list. certgate
explain shows which requests the access rules allow.

The exit code is 0 if the file can be sent as a credential, 1 if it would be refused or
contains no certificate, and 2 if the command line or the configuration is wrong or the
file cannot be read.

Example:

  certgate inspect keys/mail.crt
  openssl x509 -in mail.pem -outform DER | base64 -w0 | certgate inspect -
  echo "$X_SSL_AUTH" | certgate inspect -`
}

// certificateReport describes a certificate. Its JSON always has every key.
type certificateReport struct {
	Client      string   `json:"client"`   // "" if the certificate has no valid client name
	Identity    string   `json:"identity"` // the part of the certificate that holds the name
	Subject     string   `json:"subject"`
	Issuer      string   `json:"issuer"`
	IssuerKeyID string   `json:"issuer_key_id"` // authority key identifier in hex, or ""
	Serial      string   `json:"serial"`
	NotBefore   string   `json:"not_before"`
	NotAfter    string   `json:"not_after"`
	DaysLeft    int      `json:"days_left"` // whole days; negative after the end
	Key         string   `json:"key"`
	Signature   string   `json:"signature"`
	SPKI        string   `json:"spki"`
	Certificate string   `json:"certificate"`
	SharedKey   bool     `json:"legacy_shared_key"`
	Others      int      `json:"others"` // number of further certificates in the file
	Trust       string   `json:"trust"`  // trusted, refused or not asked
	KeyID       string   `json:"key_id"` // of the anchor that signed it, or ""
	Faults      []string `json:"faults"`

	validity      string // as text
	scope         string // the names that the anchor may issue, or "" for every name
	notAsked      string // why the certificate was not verified against the trusted keys
	denyListUnset bool   // whether there was no deny list to check
	unreadable    bool   // whether the gateway cannot read the certificate in any form
}

const (
	trusted  = "trusted"
	refused  = "refused"
	notAsked = "not asked"
)

// Run prints the report on the file's first certificate.
func (c inspectCommand) Run(env environment) error {
	conf, err := loadGatewayConfig(env)
	if err != nil {
		return err
	}
	text, err := readInput(c.File, env.stdin)
	if err != nil {
		return err
	}
	certs, err := parseCertificates(c.File, text)
	if err != nil {
		return err
	}
	now := time.Now()
	r := describe(certs, now)
	r.check(certs, now, conf)
	r.checkFile(text, conf.MaxCredentialBytes)
	if c.JSON {
		err = printJSON(env.stdout, r)
	} else {
		err = r.print(env.stdout)
	}
	if err == nil && len(r.Faults) > 0 {
		err = errSilent
	}
	return err
}

// describe returns the fields of the first certificate, without any checks.
func describe(certs []*x509.Certificate, now time.Time) certificateReport {
	cert := certs[0]
	spki, tbs := sha256.Sum256(cert.RawSubjectPublicKeyInfo), sha256.Sum256(cert.RawTBSCertificate)
	return certificateReport{
		Subject: trust.SubjectText(cert), Issuer: trust.IssuerText(cert), Serial: serial(cert),
		NotBefore: cert.NotBefore.UTC().Format(time.RFC3339), NotAfter: cert.NotAfter.UTC().Format(time.RFC3339),
		DaysLeft:    daysLeft(cert, now),
		IssuerKeyID: hex.EncodeToString(cert.AuthorityKeyId),
		Key:         keyName(cert), Signature: cert.SignatureAlgorithm.String(),
		SPKI:        "sha256/" + base64.StdEncoding.EncodeToString(spki[:]),
		Certificate: hex.EncodeToString(tbs[:]),
		// A client certificate that is signed with its own key, as in the recipe of 2012.
		SharedKey: !cert.IsCA && cert.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature) == nil,
		Others:    len(certs) - 1,
		Trust:     notAsked,
		Faults:    []string{},
		validity:  validity(cert, now),
	}
}

// keyName names the algorithm and size of the certificate's key.
func keyName(cert *x509.Certificate) string {
	if fault, ok := x509diag.UnsupportedKey(cert); ok {
		return fault.Description + ", not supported"
	}
	return trust.DescribeKey(cert.PublicKey)
}

// serial returns the serial number in the form of the deny list and the log.
func serial(cert *x509.Certificate) string {
	if cert.SerialNumber.Sign() == 0 {
		return "00"
	}
	return hex.EncodeToString(cert.SerialNumber.Bytes())
}

// daysLeft returns the whole days until the certificate expires. It computes with
// seconds, because a time.Duration has at most 292 years.
func daysLeft(cert *x509.Certificate, now time.Time) int {
	return int((cert.NotAfter.Unix() - now.Unix()) / int64(day/time.Second))
}

func validity(cert *x509.Certificate, now time.Time) string {
	days := daysLeft(cert, now)
	switch {
	case now.Before(cert.NotBefore):
		return "not yet"
	case now.After(cert.NotAfter) && days == 0:
		return "expired today"
	case now.After(cert.NotAfter):
		return "expired " + count(-days, "day") + " ago"
	default:
		return count(days, "day") + " left"
	}
}

func (r *certificateReport) print(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name, value string) { _, _ = fmt.Fprintf(table, "%s\t%s\n", name, printable(value)) }
	row("client", orNone(r.Client))
	if r.Identity != string(identity.OU) {
		row("identity", r.Identity)
	}
	row("subject", orNone(r.Subject))
	row("issuer", orNone(r.Issuer))
	row("issuer key", orNone(r.IssuerKeyID))
	row("serial", r.Serial)
	row("valid", fmt.Sprintf("%s to %s, %s", r.NotBefore, r.NotAfter, r.validity))
	row("key", r.Key)
	row("signature", r.Signature)
	row("deny by key", "spki: "+r.SPKI)
	row("deny this one", "certificate: "+r.Certificate)
	if r.SharedKey {
		row("shared key", "yes: signed with its own key (legacy_shared_key); the client has no key of its own")
	}
	if r.Others > 0 {
		row("also there", count(r.Others, "more certificate")+", used as the chain")
	}
	switch r.Trust {
	case trusted:
		row("trusted by", "key "+r.KeyID)
		if r.scope != "" {
			row("may issue", r.scope)
		}
		if r.denyListUnset {
			row("deny list", "not checked: ACCESS_RULES and ACCESS_RULES_FILE are not set")
		}
	case notAsked:
		row("trusted by", "not checked: "+r.notAsked)
	}
	if len(r.Faults) == 0 {
		row("refused for", "nothing in the certificate or the file")
	}
	for _, f := range r.Faults {
		row("refused for", f)
	}
	return table.Flush()
}
