// Command certificates issues many client certificates for scripts/bench.sh. To save time,
// all of them contain the same client key, unlike real ones. Each has its own OU and serial
// number, and the same master key signs all of them.
//
// The command writes the master public key to a file and prints the certificates as values
// of X-SSL-Auth (base64 of DER), one per line, for the clients app-1, app-2 and so on.
package main

import (
	"bufio"
	"encoding/base64"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/certgate/certgate/internal/tool/pki"
)

// lifetime is longer than any benchmark.
const lifetime = 24 * time.Hour

func main() {
	count := flag.Int("count", 1, "`number` of certificates")
	public := flag.String("public", "", "`file` to write the master public key to")
	flag.Parse()
	if err := run(*count, *public, os.Stdout, time.Now()); err != nil {
		fmt.Fprintln(os.Stderr, "certificates:", err)
		os.Exit(1)
	}
}

func run(count int, public string, out io.Writer, now time.Time) error {
	master, err := pki.New(pki.Options{
		Name: "certgate benchmark", Algorithm: pki.P256, Lifetime: 2 * lifetime, Now: now,
	})
	if err != nil {
		return err
	}
	if err := os.WriteFile(public, master.PublicKeyPEM(), 0o600); err != nil {
		return err
	}
	key, err := pki.P256.Generate()
	if err != nil {
		return err
	}
	lines := bufio.NewWriter(out)
	for i := range count {
		certificate, err := master.Issue(pki.Request{
			Client: fmt.Sprintf("app-%d", i+1), PublicKey: key.Public(), Lifetime: lifetime, Now: now,
		})
		if err != nil {
			return err
		}
		fmt.Fprintln(lines, base64.StdEncoding.EncodeToString(certificate.Raw))
	}
	return lines.Flush()
}
