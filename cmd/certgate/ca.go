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
	// maxDays keeps a typing error from overflowing a time.Duration.
	maxDays = 36500
)

// parseDays converts the value of --days.
func parseDays(days int) (time.Duration, error) {
	if days < 1 || days > maxDays {
		return 0, usageError{fmt.Errorf("--days: want 1 to %d, found %d", maxDays, days)}
	}
	return time.Duration(days) * day, nil
}

type caCommand struct {
	Init caInitCommand `cmd:"" help:"Create a master key and its CA certificate."`
}

type caInitCommand struct {
	Dir       string        `help:"The output folder. It is created if it does not exist." default:"keys"`
	Name      string        `help:"The common name of the CA." default:"certgate CA"`
	Algorithm pki.Algorithm `help:"The algorithm of the master key: ed25519, p256, rsa2048 or rsa4096." enum:"ed25519,p256,rsa2048,rsa4096" default:"p256"`
	Permit    []string      `help:"Names that the CA may issue, as SOURCE=NAME: ou=mail or cn=mail, dns=example.org with the hosts below it, uri=example.org or uri=.example.org for the hosts below it, email=example.org or email=mail@example.org. It can be repeated. Sources without it are not limited." placeholder:"SOURCE=NAME"`
	Days      int           `help:"The validity of the CA certificate in days. Client certificates cannot be valid for longer." default:"1825"`
}

// Help is the long text of certgate ca init --help.
func (caInitCommand) Help() string {
	return `Writes three files: ca.key (mode 0600), which signs every client certificate and stays
with the operator; ca.pub, the public key; and ca.crt, the CA certificate. The gateway
needs either ca.pub, which it trusts until it is removed, or ca.crt, which it trusts
until the certificate expires. Existing files are never overwritten.

--permit writes name constraints into the CA certificate. They apply only if the gateway
trusts ca.crt: a bare public key has none.

Example:

  certgate ca init --dir keys
  certgate ca init --dir partner --permit uri=partner.example
  AUTH_PUBLIC_KEY_FILE=keys/ca.pub ACCESS_RULES_FILE=rules.yaml \
    UPSTREAM_URL=http://127.0.0.1:8081 certgate serve`
}

// permitted parses the values of --permit.
func (c caInitCommand) permitted() (list []pki.Permitted, err error) {
	for _, text := range c.Permit {
		p, err := pki.ParsePermitted(text)
		if err != nil {
			return nil, usageError{fmt.Errorf("--permit: %w", err)}
		}
		list = append(list, p)
	}
	return list, nil
}

// Run creates the three files.
func (c caInitCommand) Run(env environment) error {
	lifetime, err := parseDays(c.Days)
	if err != nil {
		return err
	}
	permitted, err := c.permitted()
	if err != nil {
		return err
	}
	a, err := pki.New(pki.Options{Name: c.Name, Algorithm: c.Algorithm, Lifetime: lifetime, Now: time.Now(), Permitted: permitted})
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
	_, err = fmt.Fprintf(env.stdout, `%s  private: signs every client certificate; never copy it to the gateway
%s  public: the CA certificate, trusted until it expires
%s  public: the public key; AUTH_PUBLIC_KEY_FILE of the gateway is one of these two
`, files[0].name, files[1].name, files[2].name)
	return err
}
