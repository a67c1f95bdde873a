package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/certgate/certgate/internal/tool/pki"
)

const (
	day = 24 * time.Hour
	// maxDays keeps a slip of the finger from overflowing a time.Duration.
	maxDays = 36500
)

// lifetimeOf is what --days means.
func lifetimeOf(days int) (time.Duration, error) {
	if days < 1 || days > maxDays {
		return 0, usageError{fmt.Errorf("--days: want 1 to %d, found %d", maxDays, days)}
	}
	return time.Duration(days) * day, nil
}

type caCommand struct {
	Init caInitCommand `cmd:"" help:"Make a master key and its CA certificate."`
}

type caInitCommand struct {
	Dir       string        `help:"The folder to write to; made if need be." default:"keys"`
	Name      string        `help:"Common name of the CA." default:"certgate CA"`
	Algorithm pki.Algorithm `help:"Of the master key: ed25519, p256, rsa2048 or rsa4096." enum:"ed25519,p256,rsa2048,rsa4096" default:"p256"`
	Days      int           `help:"Validity of the CA certificate in days; no client certificate outlives it." default:"1825"`
}

// Help is the long text of certgate ca init --help.
func (caInitCommand) Help() string {
	return `Writes ca.key (0600: it signs for every client and stays with the operator), and
ca.pub and ca.crt, either of which is given to the gateway: the bare key is good
until it is taken out, the certificate until its validity ends. Nothing is
overwritten.

Example:

  certgate ca init --dir keys
  AUTH_PUBLIC_KEY_FILE=keys/ca.pub ACCESS_RULES_FILE=rules.yaml \
    UPSTREAM_URL=http://127.0.0.1:8081 certgate serve`
}

// Run makes the three files.
func (c caInitCommand) Run(s surroundings) error {
	lifetime, err := lifetimeOf(c.Days)
	if err != nil {
		return err
	}
	a, err := pki.New(pki.Options{Name: c.Name, Algorithm: c.Algorithm, Lifetime: lifetime, Now: time.Now()})
	if err != nil {
		return usageError{fmt.Errorf("--name: %w", err)}
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
	_, err = fmt.Fprintf(s.stdout, `%s  private: signs for every client, never at the gateway
%s  public: the CA certificate, with an end
%s  public: the bare key; AUTH_PUBLIC_KEY_FILE of the gateway is one of these two
`, files[0].name, files[1].name, files[2].name)
	return err
}
