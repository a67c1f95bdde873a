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

	"github.com/certgate/certgate/internal/core/trust"
	"github.com/certgate/certgate/internal/core/x509diag"
)

type inspectCommand struct {
	File string `arg:"" help:"The certificate, as PEM, DER or header value; - is standard input."`
	JSON bool   `help:"Print JSON." name:"json"`
}

// Help is the long text of certgate inspect --help.
func (inspectCommand) Help() string {
	return `Shows the fields of the file's first certificate, and every reason for which
certgate would refuse it, independent of its issuer. The file is judged as it is: one
that also holds a private key or other text is refused, because base64 of the whole
file is no credential. Where AUTH_PUBLIC_KEY or its file is set, it also says whether
one of these keys signed the certificate, through the other certificates of the file
if need be, and where ACCESS_RULES or its file is set, whether the deny list names it.
certgate explain shows what the access rules allow.

Exit code 0 when the file can be sent as it is, 1 when it would be refused or holds no
certificate, 2 when the command line, the environment or reading the file fails.

Example:

  certgate inspect keys/mail.crt
  openssl x509 -in mail.pem -outform DER | base64 -w0 | certgate inspect -
  echo "$X_SSL_AUTH" | certgate inspect -`
}

// certificateReport is what inspect knows about a certificate. Its JSON always
// has every key.
type certificateReport struct {
	Client      string   `json:"client"` // "" when it names none
	Subject     string   `json:"subject"`
	Issuer      string   `json:"issuer"`
	IssuerKeyID string   `json:"issuer_key_id"` // authority key identifier, hex; "" when it names none
	Serial      string   `json:"serial"`
	NotBefore   string   `json:"not_before"`
	NotAfter    string   `json:"not_after"`
	DaysLeft    int      `json:"days_left"` // whole days; negative after the end
	Key         string   `json:"key"`
	Signature   string   `json:"signature"`
	SPKI        string   `json:"spki"`
	Certificate string   `json:"certificate"`
	SharedKey   bool     `json:"legacy_shared_key"`
	Others      int      `json:"others"` // certificates behind it in the file
	Trust       string   `json:"trust"`  // trusted, refused or not asked
	KeyID       string   `json:"key_id"` // of the key that vouches for it
	Faults      []string `json:"faults"`

	validity string // for people
	notAsked string // why the keys in force were not consulted
	noDenies bool   // whether no deny list was consulted

	unreadable bool // whether the gateway cannot read the certificate in any form
}

const (
	trusted  = "trusted"
	refused  = "refused"
	notAsked = "not asked"
)

// Run prints the report on the file's first certificate.
func (c inspectCommand) Run(s surroundings) error {
	conf, err := loadInForce(s)
	if err != nil {
		return err
	}
	text, err := readInput(c.File, s.stdin)
	if err != nil {
		return err
	}
	certs, err := parseCertificates(c.File, text)
	if err != nil {
		return err
	}
	now := time.Now()
	r := describe(certs, now)
	r.judge(certs, now, conf)
	r.judgeFile(text, conf.MaxCredentialBytes)
	if c.JSON {
		err = printJSON(s.stdout, r)
	} else {
		err = r.print(s.stdout)
	}
	if err == nil && len(r.Faults) > 0 {
		err = errNo
	}
	return err
}

// describe reads the certificate and decides nothing.
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
		// Signed with its own key and no CA: the 2012 recipe.
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
		return fault.Found + ", not supported"
	}
	return trust.DescribeKey(cert.PublicKey)
}

// serial is the serial number as the deny list and the log write it.
func serial(cert *x509.Certificate) string {
	if cert.SerialNumber.Sign() == 0 {
		return "00"
	}
	return hex.EncodeToString(cert.SerialNumber.Bytes())
}

// daysLeft counts whole days in seconds: a time.Duration ends at 292 years.
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
		row("shared key", "yes: signed over its own key (legacy_shared_key); the client owns no key of its own")
	}
	if r.Others > 0 {
		row("also there", count(r.Others, "more certificate")+", taken for the chain")
	}
	switch r.Trust {
	case trusted:
		row("trusted by", "key "+r.KeyID)
		if r.noDenies {
			row("deny list", "not asked: ACCESS_RULES and ACCESS_RULES_FILE are not set")
		}
	case notAsked:
		row("trusted by", "not asked: "+r.notAsked)
	}
	if len(r.Faults) == 0 {
		row("refused for", "nothing in the certificate or the file")
	}
	for _, f := range r.Faults {
		row("refused for", f)
	}
	return table.Flush()
}
