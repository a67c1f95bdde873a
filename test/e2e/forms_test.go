package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/core/certheader"
	"github.com/certgate/certgate/test/harness"
)

// TestCertificateEncodingsGiveOneIdentity sends a certificate in every supported encoding
// and expects the same identity at the upstream.
func TestCertificateEncodingsGiveOneIdentity(t *testing.T) {
	t.Parallel()
	root := harness.NewMasterKey(t, "rsa")
	issuing := newIntermediate(t, root)
	mail, below := root.Issue(t, harness.OU("mail")), issuing.Issue(t, harness.OU("mail"))
	u := harness.NewUpstream(t, nil)
	g := harness.StartGateway(t, u, harness.GatewayEnv(string(root.ReadFile(t, root.CertFile)), u))
	g.CheckLogAtEnd(t)
	for _, form := range certheader.Forms() {
		t.Run(string(form), func(t *testing.T) {
			wantIdentity(t, g.WantAllowed(t, harness.GetWithCredential(mail.HeaderValue(form))), "mail", mail)
			if form == certheader.RFC9440 { // it holds one certificate
				return
			}
			chain := certheader.Encode(form, below.Parsed.Raw, issuing.ca.Parsed.Raw)
			wantIdentity(t, g.WantAllowed(t, harness.GetWithCredential(chain)), "mail", below)
		})
	}
}

// TestRecordedEncodingsGiveOneIdentity sends the recorded header values of nginx, Apache,
// HAProxy and Envoy and expects the same identity.
func TestRecordedEncodingsGiveOneIdentity(t *testing.T) {
	t.Parallel()
	mail, issuer := harness.VectorCertificates(t)
	files, err := os.ReadDir(filepath.Join(harness.VectorFolder, "vectors"))
	if err != nil || len(files) < 30 {
		t.Fatalf("want the vectors, found %d and %v", len(files), err)
	}
	u := harness.NewUpstream(t, nil)
	g := harness.StartGateway(t, u, harness.GatewayEnv(string(issuer.PEM), u))
	g.CheckLogAtEnd(t)
	for _, file := range files {
		t.Run(file.Name(), func(t *testing.T) {
			value := string(harness.ReadFile(t, harness.VectorFolder, "vectors", file.Name()))
			wantIdentity(t, g.WantAllowed(t, harness.GetWithCredential(value)), "mail", mail)
		})
	}
}

// TestFoldedHeaderLines sends what nginx writes for $ssl_client_cert: PEM over several
// lines, each further one beginning with a tab.
func TestFoldedHeaderLines(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	mail := m.Issue(t, harness.OU("mail"))
	g := harness.NewGateway(t, m, nil)
	folded := strings.ReplaceAll(strings.TrimSuffix(string(mail.PEM), "\n"), "\n", "\r\n\t")
	wantIdentity(t, g.WantAllowed(t, harness.GetWithCredential(folded)), "mail", mail)
}
