package main

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/certgate/certgate/internal/authority"
	"github.com/certgate/certgate/internal/identity"
)

const day = 24 * time.Hour

type caCommand struct {
	Init caInitCommand `cmd:"" help:"Make a master key and its CA certificate."`
}

type caInitCommand struct {
	Dir       string              `help:"Where to write." default:"keys" placeholder:"DIR"`
	Name      string              `help:"Common name of the CA." default:"certgate CA"`
	Algorithm authority.Algorithm `help:"ed25519, p256, rsa2048 or rsa4096." enum:"ed25519,p256,rsa2048,rsa4096" default:"p256"`
	Days      int                 `help:"Validity in days." default:"1825"`
}

// Help is the long text of certgate ca init --help.
func (caInitCommand) Help() string {
	return `Writes ca.key (0600: it signs for every client and stays with the operator),
ca.crt and ca.pub (either is what the gateway is given). Nothing is overwritten.

Example:

  certgate ca init --dir keys
  AUTH_PUBLIC_KEY_FILE=keys/ca.pub certgate serve`
}

// Run makes the three files.
func (c caInitCommand) Run(s surroundings) error {
	if c.Days < 1 {
		return usageError{fmt.Errorf("--days: want 1 or more, found %d", c.Days)}
	}
	a, err := authority.New(authority.Options{
		Name: c.Name, Algorithm: c.Algorithm, Lifetime: time.Duration(c.Days) * day, Now: time.Now(),
	})
	if err != nil {
		return usageError{err}
	}
	key, err := a.PrivateKeyPEM()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(c.Dir, 0o750); err != nil {
		return err
	}
	files := []newFile{
		{filepath.Join(c.Dir, "ca.key"), key, private},
		{filepath.Join(c.Dir, "ca.crt"), a.CertificatePEM(), public},
		{filepath.Join(c.Dir, "ca.pub"), a.PublicKeyPEM(), public},
	}
	if err := writeNew(files...); err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.stdout, "%s  private: signs for every client, never at the gateway\n%s  public: AUTH_PUBLIC_KEY_FILE of the gateway\n%s  public: the same as a bare key\n",
		files[0].name, files[1].name, files[2].name)
	return err
}

type issueCommand struct {
	Client    string              `help:"The client's name, the certificate's organizational unit." required:""`
	Days      int                 `help:"Validity in days." default:"90"`
	CSR       string              `help:"Certify the key of this request instead of a new one; of the request only the key counts." placeholder:"FILE"`
	CADir     string              `help:"Where ca.key and ca.crt are." name:"ca-dir" default:"keys" placeholder:"DIR"`
	Dir       string              `help:"Where to write; by default --ca-dir." placeholder:"DIR"`
	Algorithm authority.Algorithm `help:"Of the client's key: ed25519, p256, rsa2048 or rsa4096." enum:"ed25519,p256,rsa2048,rsa4096" default:"p256"`
}

// Help is the long text of certgate issue --help.
func (issueCommand) Help() string {
	return `Writes NAME.crt and, without --csr, NAME.key (0600). Nothing is overwritten.
The certificate has a random 128-bit serial number, the purpose clientAuth and
begins one minute ago.

Example:

  certgate issue --client mail --days 30
  curl -H "X-SSL-Auth: $(certgate header keys/mail.crt)" http://127.0.0.1:8080/events`
}

// Run issues one certificate.
func (c issueCommand) Run(s surroundings) error {
	if err := identity.CheckName(c.Client); err != nil {
		return usageError{fmt.Errorf("--client: %w", err)}
	}
	if c.Days < 1 {
		return usageError{fmt.Errorf("--days: want 1 or more, found %d", c.Days)}
	}
	ca, err := c.authority()
	if err != nil {
		return err
	}
	dir := c.Dir
	if dir == "" {
		dir = c.CADir
	}
	base := filepath.Join(dir, fileName(c.Client))
	key, files, err := c.key(s, base)
	if err != nil {
		return err
	}
	cert, err := ca.Issue(authority.Request{Client: c.Client, PublicKey: key, Lifetime: time.Duration(c.Days) * day, Now: time.Now()})
	if err != nil {
		return err
	}
	files = append(files, newFile{base + ".crt", authority.EncodeCertificate(cert), public})
	if err := writeNew(files...); err != nil {
		return err
	}
	for _, f := range files {
		if _, err := fmt.Fprintln(s.stdout, f.name); err != nil {
			return err
		}
	}
	return nil
}

func (c issueCommand) authority() (*authority.Authority, error) {
	key, err := os.ReadFile(filepath.Join(c.CADir, "ca.key"))
	if err != nil {
		return nil, fmt.Errorf("%w; certgate ca init makes it", err)
	}
	cert, err := os.ReadFile(filepath.Join(c.CADir, "ca.crt"))
	if err != nil {
		return nil, err
	}
	return authority.Load(key, cert)
}

// key is the public key to certify: a new one, whose private half is the first
// file to write, or the request's.
func (c issueCommand) key(s surroundings, base string) (crypto.PublicKey, []newFile, error) {
	if c.CSR != "" {
		key, err := requestedKey(c.CSR, s)
		return key, nil, err
	}
	key, err := c.Algorithm.Generate()
	if err != nil {
		return nil, nil, err
	}
	text, err := authority.EncodeKey(key)
	if err != nil {
		return nil, nil, err
	}
	return key.Public(), []newFile{{base + ".key", text, private}}, nil
}

// requestedKey reads a certification request (RFC 2986) and checks that whoever
// made it holds the key.
func requestedKey(name string, s surroundings) (crypto.PublicKey, error) {
	text, err := readInput(name, s.stdin)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE REQUEST" && block.Type != "NEW CERTIFICATE REQUEST" {
		return nil, fmt.Errorf("%s: want a PEM certificate request, found none", name)
	}
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if err := csr.CheckSignature(); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: the request is not signed with its own key", name), err)
	}
	return csr.PublicKey, nil
}
