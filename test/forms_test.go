package test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/core/certheader"
)

// TestEveryFormIsOneIdentity: however a client spells its certificate, the
// upstream is told the same.
func TestEveryFormIsOneIdentity(t *testing.T) {
	t.Parallel()
	root := newMaster(t, "rsa")
	issuing := newIntermediate(t, root)
	mail, below := root.issue(t, subject("mail")), issuing.issue(t, subject("mail"))
	u := newUpstream(t, nil)
	g := serve(t, u, settings(string(root.read(t, root.cert)), u))
	for _, form := range certheader.Forms() {
		t.Run(string(form), func(t *testing.T) {
			wantIdentity(t, g.wantAllowed(t, credential(mail.header(form))), "mail", mail)
			if form == certheader.RFC9440 { // it holds one certificate
				return
			}
			chain := certheader.Encode(form, below.parsed.Raw, issuing.ca.parsed.Raw)
			wantIdentity(t, g.wantAllowed(t, credential(chain)), "mail", below)
		})
	}
}

// vectorFolder holds what real proxies sent, one header value a file.
const vectorFolder = "../internal/core/certheader/testdata"

// golden is the certificate in every vector, and its issuer.
func golden(t *testing.T) (mail, issuer certificate) {
	t.Helper()
	of := func(name string) certificate { return newCertificate(t, pemOf(readScriptFile(t, vectorFolder, name))) }
	return of("golden.der"), of("intermediate.der")
}

// TestEveryVectorIsOneIdentity is the same with the very bytes that nginx,
// Apache, HAProxy and Envoy wrote.
func TestEveryVectorIsOneIdentity(t *testing.T) {
	t.Parallel()
	mail, issuer := golden(t)
	files, err := os.ReadDir(filepath.Join(vectorFolder, "vectors"))
	if err != nil || len(files) < 30 {
		t.Fatalf("want the vectors, found %d and %v", len(files), err)
	}
	u := newUpstream(t, nil)
	g := serve(t, u, settings(string(issuer.pem), u))
	for _, file := range files {
		t.Run(file.Name(), func(t *testing.T) {
			value := string(readScriptFile(t, vectorFolder, "vectors", file.Name()))
			wantIdentity(t, g.wantAllowed(t, credential(value)), "mail", mail)
		})
	}
}

// TestFoldedLines sends what nginx really writes for $ssl_client_cert: the PEM
// over several lines, each behind the first beginning with a tab.
func TestFoldedLines(t *testing.T) {
	t.Parallel()
	m := newMaster(t, "p256")
	mail := m.issue(t, subject("mail"))
	g := newGateway(t, m, nil)
	folded := strings.ReplaceAll(strings.TrimSuffix(string(mail.pem), "\n"), "\n", "\r\n\t")
	wantIdentity(t, g.wantAllowed(t, credential(folded)), "mail", mail)
}
