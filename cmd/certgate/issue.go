package main

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/certgate/certgate/internal/core/identity"
	"github.com/certgate/certgate/internal/tool/pki"
)

type issueCommand struct {
	Client    string        `help:"The client's name." required:"" placeholder:"NAME"`
	Identity  string        `help:"The part of the certificate that holds the name, as the gateway's AUTH_IDENTITY: ou, cn, uri, dns or email." enum:"ou,cn,uri,dns,email" default:"ou"`
	Days      int           `help:"The validity in days." default:"90"`
	CSR       string        `help:"A certificate request, PEM or DER, whose key is certified instead of a new one; - is standard input. Its other contents are ignored." placeholder:"FILE"`
	Algorithm pki.Algorithm `help:"The algorithm of the new key: ed25519, p256, rsa2048 or rsa4096. Not with --csr." enum:"ed25519,p256,rsa2048,rsa4096" default:"p256"`
	CADir     string        `help:"The folder with ca.key and ca.crt. By default --dir if it contains ca.key, otherwise keys." name:"ca-dir" placeholder:"DIR"`
	Dir       string        `help:"The output folder. It is created if it does not exist. By default --ca-dir." placeholder:"DIR"`
	Name      string        `help:"The name of the files, without .crt and .key. By default the client's name, with - for / : and space." placeholder:"NAME"`
}

// Help is the long text of certgate issue --help.
func (issueCommand) Help() string {
	return `Writes NAME.crt and, without --csr, NAME.key (mode 0600). Existing files are never
overwritten. The certificate has a random 128-bit serial number, the extended key usage
clientAuth, and a validity that begins one minute ago. It cannot be valid for longer than
the CA certificate.

Example:

  certgate issue --client mail --days 30
  certgate issue --identity uri --client spiffe://example.org/mail --name mail
  curl -H "X-SSL-Auth: $(certgate header keys/mail.crt)" http://127.0.0.1:8080/events`
}

// Run issues one certificate.
func (c issueCommand) Run(env environment) error {
	source := identity.Source(c.Identity)
	if err := source.CheckName(c.Client); err != nil {
		return usageError{fmt.Errorf("--client: %w", err)}
	}
	if c.CSR != "" && c.Algorithm != pki.P256 {
		return usageError{fmt.Errorf("--algorithm: want none with --csr, which has a key already; found %q", c.Algorithm)}
	}
	lifetime, err := parseDays(c.Days)
	if err != nil {
		return err
	}
	name, err := c.fileName()
	if err != nil {
		return usageError{err}
	}
	c = c.withDefaultFolders()
	ca, err := c.authority()
	if err != nil {
		return fmt.Errorf("--ca-dir: %w", err)
	}
	base := filepath.Join(c.Dir, name)
	key, files, err := c.publicKey(env, base)
	if err != nil {
		return err
	}
	cert, err := ca.Issue(pki.Request{Client: c.Client, Source: source, PublicKey: key, Lifetime: lifetime, Now: time.Now()})
	if err != nil {
		return err
	}
	if err := os.MkdirAll(c.Dir, 0o750); err != nil {
		return err
	}
	files = append(files, newFile{base + ".crt", pki.EncodeCertificate(cert), public})
	if err := writeNew(files...); err != nil {
		return err
	}
	return printNames(env, files)
}

func printNames(env environment, files []newFile) error {
	for _, f := range files {
		if _, err := fmt.Fprintln(env.stdout, f.name); err != nil {
			return err
		}
	}
	return nil
}

// withDefaultFolders sets the folders that were not given.
func (c issueCommand) withDefaultFolders() issueCommand {
	if c.CADir == "" {
		c.CADir = "keys"
		if _, err := os.Lstat(filepath.Join(c.Dir, "ca.key")); c.Dir != "" && err == nil {
			c.CADir = c.Dir
		}
	}
	if c.Dir == "" {
		c.Dir = c.CADir
	}
	return c
}

// fileName returns the name of the files, as the scripts in scripts/ choose it: one path
// element that is not the name of the CA's files.
func (c issueCommand) fileName() (string, error) {
	name := c.Name
	if name == "" {
		name = strings.NewReplacer("/", "-", ":", "-", " ", "-").Replace(c.Client)
	}
	if err := identity.OU.CheckName(name); err != nil {
		return "", fmt.Errorf("--name: %w", err)
	}
	if strings.ContainsAny(name, "/: ") {
		return "", fmt.Errorf("--name: want the name of a file without / : and space, found %q", name)
	}
	// Some file systems are not case-sensitive.
	if strings.EqualFold(name, "ca") {
		return "", fmt.Errorf("--name: want another name than %q, which is that of the master key's files; the client may have this name", name)
	}
	return name, nil
}

func (c issueCommand) authority() (*pki.Authority, error) {
	key, err := readInput(filepath.Join(c.CADir, "ca.key"), nil)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%w; certgate ca init creates it", err)
	}
	if err != nil {
		return nil, err
	}
	cert, err := readInput(filepath.Join(c.CADir, "ca.crt"), nil)
	if err != nil {
		return nil, err
	}
	a, err := pki.Load(key, cert)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.CADir, err)
	}
	return a, nil
}

// publicKey returns the public key to certify: that of the certificate request, or a new
// one, whose private key is the first of the files to write.
func (c issueCommand) publicKey(env environment, base string) (crypto.PublicKey, []newFile, error) {
	if c.CSR != "" {
		key, err := csrKey(c.CSR, env)
		return key, nil, err
	}
	key, err := c.Algorithm.Generate()
	if err != nil {
		return nil, nil, err
	}
	text, err := pki.EncodeKey(key)
	if err != nil {
		return nil, nil, err
	}
	return key.Public(), []newFile{{base + ".key", text, private}}, nil
}

// csrKey returns the public key of a certificate request (RFC 2986). The request must be
// signed with that key, which shows that its author has the private key.
func csrKey(name string, env environment) (crypto.PublicKey, error) {
	text, err := readInput(name, env.stdin)
	if err != nil {
		return nil, err
	}
	der, err := csrDER(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", inputName(name), err)
	}
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return nil, fmt.Errorf("%s: want a certificate request as PEM or DER: %w", inputName(name), err)
	}
	if err := csr.CheckSignature(); err != nil {
		return nil, fmt.Errorf("%s: want a request signed with its own key: %w", inputName(name), err)
	}
	return csr.PublicKey, nil
}

// csrDER returns the only certificate request among the PEM blocks or, if there is no PEM
// block, the whole text.
func csrDER(text []byte) ([]byte, error) {
	var requests [][]byte
	var others []string
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE REQUEST" || block.Type == "NEW CERTIFICATE REQUEST" {
			requests = append(requests, block.Bytes)
			continue
		}
		others = append(others, block.Type)
	}
	switch {
	case len(requests) == 1:
		return requests[0], nil
	case len(requests) > 1:
		return nil, fmt.Errorf("want one certificate request, found %d", len(requests))
	case len(others) > 0:
		return nil, fmt.Errorf("want a certificate request, found %.200q", others)
	default:
		return text, nil
	}
}
