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
	Client    string        `help:"The client's name, the certificate's organizational unit." required:"" placeholder:"NAME"`
	Days      int           `help:"Validity in days." default:"90"`
	CSR       string        `help:"Certify the key of this request, PEM or DER, - for standard input, instead of a new one; of the request only the key counts." placeholder:"FILE"`
	Algorithm pki.Algorithm `help:"Of the new key, so not with --csr: ed25519, p256, rsa2048 or rsa4096." enum:"ed25519,p256,rsa2048,rsa4096" default:"p256"`
	CADir     string        `help:"The folder of ca.key and ca.crt. By default --dir if ca.key is there, else keys." name:"ca-dir" placeholder:"DIR"`
	Dir       string        `help:"The folder to write to; made if need be. By default --ca-dir." placeholder:"DIR"`
	Name      string        `help:"The name of the files, without .crt and .key. By default the client's, with - for / : and space." placeholder:"NAME"`
}

// Help is the long text of certgate issue --help.
func (issueCommand) Help() string {
	return `Writes NAME.crt and, without --csr, NAME.key (0600). Nothing is overwritten.
The certificate has a random 128-bit serial number, the purpose clientAuth and
begins one minute ago. It cannot outlive the CA's.

Example:

  certgate issue --client mail --days 30
  curl -H "X-SSL-Auth: $(certgate header keys/mail.crt)" http://127.0.0.1:8080/events`
}

// Run issues one certificate.
func (c issueCommand) Run(s surroundings) error {
	if err := identity.CheckName(c.Client); err != nil {
		return usageError{fmt.Errorf("--client: %w", err)}
	}
	if c.CSR != "" && c.Algorithm != pki.P256 {
		return usageError{fmt.Errorf("--algorithm: want none with --csr, whose key is certified; found %q", c.Algorithm)}
	}
	lifetime, err := lifetimeOf(c.Days)
	if err != nil {
		return err
	}
	name, err := c.fileName()
	if err != nil {
		return usageError{err}
	}
	c = c.withFolders()
	ca, err := c.authority()
	if err != nil {
		return fmt.Errorf("--ca-dir: %w", err)
	}
	base := filepath.Join(c.Dir, name)
	key, files, err := c.key(s, base)
	if err != nil {
		return err
	}
	cert, err := ca.Issue(pki.Request{Client: c.Client, PublicKey: key, Lifetime: lifetime, Now: time.Now()})
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
	return printNames(s, files)
}

func printNames(s surroundings, files []newFile) error {
	for _, f := range files {
		if _, err := fmt.Fprintln(s.stdout, f.name); err != nil {
			return err
		}
	}
	return nil
}

// withFolders fills in the folders that were not given.
func (c issueCommand) withFolders() issueCommand {
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

// fileName is the name of the files, as scripts/ make it: one element of a path,
// and not the CA's.
func (c issueCommand) fileName() (string, error) {
	name := c.Name
	if name == "" {
		name = strings.NewReplacer("/", "-", ":", "-", " ", "-").Replace(c.Client)
	}
	if err := identity.CheckName(name); err != nil {
		return "", fmt.Errorf("--name: %w", err)
	}
	if strings.ContainsAny(name, "/: ") {
		return "", fmt.Errorf("--name: want the name of a file without / : and space, found %q", name)
	}
	// Some file systems do not tell CA.key from ca.key.
	if strings.EqualFold(name, "ca") {
		return "", fmt.Errorf("--name: want another than %q, the master key's own; the client may be called so all the same", name)
	}
	return name, nil
}

func (c issueCommand) authority() (*pki.Authority, error) {
	key, err := readInput(filepath.Join(c.CADir, "ca.key"), nil)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%w; certgate ca init makes it", err)
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
	text, err := pki.EncodeKey(key)
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
	der, err := requestDER(text)
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

// requestDER is the only request among the PEM blocks, or the whole text, which
// is DER then.
func requestDER(text []byte) ([]byte, error) {
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
