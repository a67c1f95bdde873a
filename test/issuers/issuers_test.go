package issuers

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/certgate/certgate/internal/core/identity"
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/test/harness"
)

// names has the client's name of each source, as in the table of keys/README.md.
var names = map[identity.Source]string{
	identity.OU: "mail", identity.CN: "mail", identity.URI: "spiffe://example.org/mail",
	identity.DNS: "mail.example.org", identity.Email: "mail@example.org",
}

// workshop is a folder in which a tool makes its files.
type workshop struct{ dir string }

// run runs a program in the folder. It skips the test without the program.
func (w workshop) run(t *testing.T, program string, args ...string) string {
	t.Helper()
	cmd := exec.Command(harness.LookProgram(t, program), args...)
	cmd.Dir = w.dir
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s%s", program, args, err, out, stderr.String())
	}
	return string(out)
}

func (w workshop) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(w.dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (w workshop) read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(w.dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// issuer makes a CA, and a certificate whose only client name is of one source. Both are
// PEM.
type issuer struct {
	name  string
	setUp func(t *testing.T, w workshop) (ca string)
	issue func(t *testing.T, w workshop, s identity.Source) (certificate string)
}

func issuers() []issuer {
	return []issuer{
		{name: "certgate", setUp: certgateCA, issue: certgateIssue},
		{name: "openssl", setUp: opensslCA, issue: opensslIssue},
		{name: "certtool", setUp: certtoolCA, issue: certtoolIssue},
		{name: "keytool", setUp: keytoolCA, issue: keytoolIssue},
		{name: "cfssl", setUp: cfsslCA, issue: cfsslIssue},
		{name: "step", setUp: stepCA, issue: stepIssue},
	}
}

func certgateCA(t *testing.T, w workshop) string {
	t.Helper()
	w.certgate(t, "ca", "init", "--dir", w.dir)
	return w.read(t, "ca.crt")
}

func certgateIssue(t *testing.T, w workshop, s identity.Source) string {
	t.Helper()
	w.certgate(t, "issue", "--dir", w.dir, "--identity", string(s), "--client", names[s], "--name", string(s))
	return w.read(t, string(s)+".crt")
}

func (w workshop) certgate(t *testing.T, args ...string) {
	t.Helper()
	if r := harness.Run(t, "certgate", nil, args...); r.ExitCode != 0 {
		t.Fatalf("certgate %q: exit code %d\n%s", args, r.ExitCode, r.Stderr)
	}
}

// subjectOf returns the subject of the source in openssl's notation.
func subjectOf(s identity.Source) string {
	switch s {
	case identity.OU:
		return "/O=Example/OU=mail"
	case identity.CN:
		return "/O=Example/CN=mail"
	default:
		return "/O=Example"
	}
}

// alternativeOf returns the subject alternative name of the source with the given words
// for its kinds, or "".
func alternativeOf(s identity.Source, uri, dns, email string) string {
	kind := map[identity.Source]string{identity.URI: uri, identity.DNS: dns, identity.Email: email}[s]
	if kind == "" {
		return ""
	}
	return kind + names[s]
}

func opensslCA(t *testing.T, w workshop) string {
	t.Helper()
	w.run(t, "openssl", "req", "-new", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
		"-keyout", "ca.key", "-subj", "/CN=openssl CA", "-days", "30", "-out", "ca.crt")
	return w.read(t, "ca.crt")
}

func opensslIssue(t *testing.T, w workshop, s identity.Source) string {
	t.Helper()
	extensions := "extendedKeyUsage = clientAuth\n"
	if name := alternativeOf(s, "URI:", "DNS:", "email:"); name != "" {
		extensions += "subjectAltName = " + name + "\n"
	}
	w.write(t, "client.cnf", extensions)
	w.run(t, "openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
		"-keyout", "client.key", "-subj", subjectOf(s), "-out", "client.csr")
	w.run(t, "openssl", "x509", "-req", "-in", "client.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial",
		"-days", "10", "-extfile", "client.cnf", "-out", "client.crt")
	return w.read(t, "client.crt")
}

func certtoolCA(t *testing.T, w workshop) string {
	t.Helper()
	w.run(t, "certtool", "--generate-privkey", "--key-type", "ecdsa", "--outfile", "ca.key")
	w.write(t, "ca.cfg", "cn = \"certtool CA\"\nca\ncert_signing_key\nexpiration_days = 30\n")
	w.run(t, "certtool", "--generate-self-signed", "--load-privkey", "ca.key", "--template", "ca.cfg", "--outfile", "ca.crt")
	return w.read(t, "ca.crt")
}

func certtoolIssue(t *testing.T, w workshop, s identity.Source) string {
	t.Helper()
	line := map[identity.Source]string{
		identity.OU: "unit", identity.CN: "cn", identity.URI: "uri", identity.DNS: "dns_name", identity.Email: "email",
	}[s] + " = \"" + names[s] + "\"\n"
	w.write(t, "client.cfg", "organization = \"Example\"\n"+line+"tls_www_client\nsigning_key\nexpiration_days = 10\n")
	w.run(t, "certtool", "--generate-privkey", "--key-type", "ecdsa", "--outfile", "client.key")
	w.run(t, "certtool", "--generate-certificate", "--load-privkey", "client.key", "--load-ca-certificate", "ca.crt",
		"--load-ca-privkey", "ca.key", "--template", "client.cfg", "--outfile", "client.crt")
	return w.read(t, "client.crt")
}

// keytool runs keytool with a key store of its own. The first two flags shorten the start of
// Java.
func (w workshop) keytool(t *testing.T, args ...string) string {
	t.Helper()
	return w.run(t, "keytool", append([]string{"-J-XX:TieredStopAtLevel=1", "-J-XX:+UseSerialGC"},
		append(args, "-keystore", "store.p12", "-storepass", "changeit")...)...)
}

// keytoolCA also makes the request of the client. The issuer sets the subject of each
// certificate.
func keytoolCA(t *testing.T, w workshop) string {
	t.Helper()
	w.keytool(t, "-genkeypair", "-alias", "ca", "-keyalg", "EC", "-groupname", "secp256r1", "-dname", "CN=keytool CA",
		"-ext", "bc:c=ca:true", "-ext", "ku:c=keyCertSign", "-validity", "30")
	w.keytool(t, "-genkeypair", "-alias", "client", "-keyalg", "EC", "-groupname", "secp256r1", "-dname", "O=Example")
	w.keytool(t, "-certreq", "-alias", "client", "-file", "client.csr")
	return w.keytool(t, "-exportcert", "-rfc", "-alias", "ca")
}

func keytoolIssue(t *testing.T, w workshop, s identity.Source) string {
	t.Helper()
	subject := strings.Join(strings.Split(strings.TrimPrefix(subjectOf(s), "/"), "/"), ",")
	extensions := []string{"-ext", "eku=clientAuth"}
	if name := alternativeOf(s, "uri:", "dns:", "email:"); name != "" {
		extensions = append(extensions, "-ext", "san="+name)
	}
	return w.keytool(t, append([]string{"-gencert", "-rfc", "-alias", "ca", "-infile", "client.csr", "-dname", subject, "-validity", "10"}, extensions...)...)
}

func cfsslCA(t *testing.T, w workshop) string {
	t.Helper()
	if strings.Contains(w.run(t, "cfssl", "version"), "Version: 1.2.") {
		harness.SkipMissing(t, "cfssl 1.4 or later (1.2, which Debian has, writes a URI as a DNS name)")
	}
	w.write(t, "ca.json", `{"CN": "cfssl CA", "key": {"algo": "ecdsa", "size": 256}}`)
	return w.cfssl(t, "ca", "gencert", "-initca", "ca.json")
}

func cfsslIssue(t *testing.T, w workshop, s identity.Source) string {
	t.Helper()
	request := map[string]any{"key": map[string]any{"algo": "ecdsa", "size": 256}, "names": []map[string]string{{"O": "Example"}}}
	switch s {
	case identity.OU:
		request["names"] = []map[string]string{{"O": "Example", "OU": "mail"}}
	case identity.CN:
		request["CN"] = "mail"
	default:
		request["hosts"] = []string{names[s]}
	}
	text, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	w.write(t, "client.json", string(text))
	w.write(t, "config.json", `{"signing": {"default": {"expiry": "240h", "usages": ["digital signature", "client auth"]}}}`)
	return w.cfssl(t, "client", "gencert", "-ca", "ca.crt", "-ca-key", "ca.key", "-config", "config.json", "client.json")
}

// cfssl runs cfssl, which prints JSON, and writes the key and the certificate to files.
func (w workshop) cfssl(t *testing.T, name string, args ...string) string {
	t.Helper()
	var made struct{ Cert, Key string }
	if err := json.Unmarshal([]byte(w.run(t, "cfssl", args...)), &made); err != nil {
		t.Fatal(err)
	}
	w.write(t, name+".crt", made.Cert)
	w.write(t, name+".key", made.Key)
	return made.Cert
}

func stepCA(t *testing.T, w workshop) string {
	t.Helper()
	w.run(t, "step", "certificate", "create", "step CA", "ca.crt", "ca.key", "--profile", "root-ca",
		"--no-password", "--insecure")
	return w.read(t, "ca.crt")
}

// stepIssue uses the templates that provisioners of step-ca have too.
func stepIssue(t *testing.T, w workshop, s identity.Source) string {
	t.Helper()
	subject := map[identity.Source]string{
		identity.OU: `{"organization": "Example", "organizationalUnit": {{ toJson .Subject.CommonName }}}`,
		identity.CN: `{{ toJson .Subject }}`,
	}[s]
	alternatives := "[]"
	args := []string{"certificate", "create", names[s], "client.crt", "client.key", "--template", "client.tpl",
		"--ca", "ca.crt", "--ca-key", "ca.key", "--no-password", "--insecure", "--not-after", "240h", "--force"}
	if subject == "" {
		subject, alternatives = `{"organization": "Example"}`, `{{ toJson .SANs }}`
		args = append(args, "--san", names[s])
	}
	w.write(t, "client.tpl", `{"subject": `+subject+`, "sans": `+alternatives+`,
		"keyUsage": ["digitalSignature"], "extKeyUsage": ["clientAuth"]}`)
	w.run(t, "step", args...)
	return w.read(t, "client.crt")
}

// issued are the certificates of one issuer.
type issued struct {
	name, authority string
	certificates    map[identity.Source]harness.Certificate
}

func (i issuer) run(t *testing.T) issued {
	t.Helper()
	w := workshop{t.TempDir()}
	made := issued{i.name, i.setUp(t, w), map[identity.Source]harness.Certificate{}}
	for _, s := range identity.Sources() {
		made.certificates[s] = harness.NewCertificate(t, []byte(i.issue(t, w, s)))
	}
	return made
}

// TestIssuers sends a certificate of each issuer with a name of each source to a gateway
// for each source. Only the gateway for the source of the name accepts it. Certificates
// of certgate issue for the OU have the name as CN too. An issuer that is not installed is
// left out.
func TestIssuers(t *testing.T) {
	var mu sync.Mutex
	var all []issued
	t.Run("issue", func(t *testing.T) {
		for _, i := range issuers() {
			t.Run(i.name, func(t *testing.T) {
				t.Parallel()
				made := i.run(t)
				mu.Lock()
				defer mu.Unlock()
				all = append(all, made)
			})
		}
	})
	var authorities strings.Builder
	for _, i := range all {
		authorities.WriteString(i.authority)
	}
	for _, gate := range identity.Sources() {
		t.Run(string(gate), func(t *testing.T) {
			t.Parallel()
			g := harness.NewGateway(t, &harness.MasterKey{PublicKey: authorities.String()}, harness.Env{"AUTH_IDENTITY": string(gate)})
			g.CheckLogAtEnd(t)
			for _, i := range all {
				i.wantAt(t, g, gate)
			}
		})
	}
}

// wantAt expects that the gateway accepts the certificate with a name of its source, and no
// other one.
func (i issued) wantAt(t *testing.T, g *harness.Gateway, gate identity.Source) {
	t.Helper()
	for s, certificate := range i.certificates {
		request := harness.Get("/events", certificate)
		bothNames := i.name == "certgate" && s == identity.OU && gate == identity.CN
		if s != gate && !bothNames {
			g.WantRefused(t, request, refusal.IdentityMissing)
			continue
		}
		if head := g.WantAllowed(t, request); !slices.Equal(harness.HeaderValues(head, "X-Client-Id"), []string{names[s]}) {
			t.Errorf("%s: %s: want the client %s, found %q", i.name, s, names[s], head)
		}
	}
}
