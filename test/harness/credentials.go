package harness

import (
	"os"
	"path/filepath"
	"testing"
)

// CredentialFiles are the files with a client's certificate and key, which a renewal
// replaces.
type CredentialFiles struct {
	master    *MasterKey
	Cert, Key string
}

// NewCredentialFiles issues a certificate and writes it with its key to a new folder.
func (m *MasterKey) NewCredentialFiles(t *testing.T, o CertificateOptions) CredentialFiles {
	t.Helper()
	dir := t.TempDir()
	p := CredentialFiles{m, filepath.Join(dir, "mail.crt"), filepath.Join(dir, "mail.key")}
	p.Renew(t, o)
	return p
}

// Renew issues another certificate and replaces both files, the certificate first.
func (p CredentialFiles) Renew(t *testing.T, o CertificateOptions) Certificate {
	t.Helper()
	c := p.master.Issue(t, o)
	key := o.Key
	if key == "" {
		key = "p256"
	}
	for name, text := range map[string][]byte{p.Cert: c.PEM, p.Key: p.master.ReadFile(t, key+".key")} {
		if err := os.WriteFile(name+".new", text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{p.Cert, p.Key} {
		if err := os.Rename(name+".new", name); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// Args returns the arguments of a certgate command that acts as the client.
func (p CredentialFiles) Args(command string, args ...string) []string {
	return append([]string{command, "--cert", p.Cert, "--key", p.Key}, args...)
}

// Agent is a running certgate agent.
type Agent struct {
	*Process
	Addr string
}

// StartAgent starts an agent that signs requests to the URL.
func (p CredentialFiles) StartAgent(t *testing.T, to string, args ...string) Agent {
	t.Helper()
	agent := Start(t, "certgate", nil, p.Args("agent", append([]string{"--to", to, "--listen", "127.0.0.1:0"}, args...)...)...)
	return Agent{agent, agent.WaitListening(t).Addr}
}
