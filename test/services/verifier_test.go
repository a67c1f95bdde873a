package services

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/certgate/certgate/cmd/certgate/service"
	"github.com/certgate/certgate/test/harness"
)

const (
	issuer   = "https://gateway.example"
	audience = "schedule"
)

// received is a request as a service receives it. The programs read it as JSON.
type received struct {
	Assertions []string `json:"assertions"` // the values of X-Client-Assertion
	Bound      bool     `json:"bound"`      // whether the service requires bound assertions
	Method     string   `json:"method"`
	Target     string   `json:"target"`
	Body       string   `json:"body"`
}

// verifyFunc returns the verdict about a request: "accepted" and the client, or "refused" and
// a reason.
type verifyFunc func(received) string

// verifier is one of the programs of this folder, which the README lists.
type verifier struct {
	file       string
	command    []string // runs the file that follows it
	probe      []string // succeeds where the language and its library are installed
	from       string   // where the library is from
	env        []string
	algorithms []jose.SignatureAlgorithm
}

// jar is where .ci/run installs the Java library.
func jar(t *testing.T) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(cache, "certgate-ci-jars", "nimbus-jose-jwt.jar")
}

func verifiers(t *testing.T) []verifier {
	t.Helper()
	const python, modules = "/usr/bin/python3", "NODE_PATH=/usr/share/nodejs"
	both, ecdsa, eddsa := []jose.SignatureAlgorithm{jose.EdDSA, jose.ES256}, []jose.SignatureAlgorithm{jose.ES256}, []jose.SignatureAlgorithm{jose.EdDSA}
	return []verifier{
		{"verify.py", []string{python}, []string{python, "-c", "import jwt, cryptography"}, "python3-jwt", nil, both},
		{"verify.rb", []string{"ruby"}, []string{"ruby", "-rjwt", "-e", "0"}, "ruby-jwt", nil, ecdsa},
		{"verify.cjs", []string{"node"}, []string{"node", "-e", `require("jose")`}, "node-jose", []string{modules}, both},
		{"Verify.java", []string{"java", "-XX:TieredStopAtLevel=1", "-cp", jar(t)}, []string{"jar", "--list", "--file", jar(t)}, "nimbus-jose-jwt", nil, ecdsa},
		{"verify.php", []string{"php"}, []string{"php", "-r", "sodium_bin2hex('');"}, "php-cli", nil, eddsa},
	}
}

// need skips the test if the language or its library is not installed. In CI that is a
// failure.
func (v verifier) need(t *testing.T) {
	t.Helper()
	harness.SkipIfShort(t)
	if v.run(t, v.probe...).Run() != nil {
		harness.SkipMissing(t, v.from)
	}
}

// run returns a command that ends when its input ends, and not with the context of the
// test.
func (v verifier) run(t *testing.T, command ...string) *exec.Cmd {
	t.Helper()
	c := exec.CommandContext(context.WithoutCancel(t.Context()), command[0], command[1:]...)
	c.Env = append(os.Environ(), v.env...)
	return c
}

// start starts the program with the address of the gateway's keys.
func (v verifier) start(t *testing.T, keysURL string) verifyFunc {
	t.Helper()
	path, err := filepath.Abs(v.file)
	if err != nil {
		t.Fatal(err)
	}
	c := v.run(t, slices.Concat(v.command, []string{path, keysURL, issuer, audience})...)
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr, verdicts strings.Builder
	c.Stderr = &stderr
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(2*harness.Timeout, func() { _ = c.Process.Kill() })
	t.Cleanup(func() {
		timer.Stop()
		_ = in.Close()
		_, _ = io.Copy(io.Discard, out)
		if err := c.Wait(); err != nil {
			t.Errorf("%s: want it to end after its input, found %v\n%s", v.file, err, &stderr)
		}
		harness.RecordOutput(v.file+" in "+t.Name(), verdicts.String()+stderr.String())
	})
	lines := bufio.NewScanner(out)
	return func(r received) string {
		if err := json.NewEncoder(in).Encode(r); err != nil || !lines.Scan() {
			t.Fatalf("%s: want a verdict, found %v and %v\n%s", v.file, err, lines.Err(), &stderr)
		}
		verdicts.WriteString(lines.Text() + "\n")
		return lines.Text()
	}
}

// goPackage returns the verdicts of package service.
func goPackage(t *testing.T, keysURL string) verifyFunc {
	t.Helper()
	verify := map[bool]*service.Verifier{}
	for _, bound := range []bool{false, true} {
		v, err := service.New(service.Options{KeySetURL: keysURL, Issuer: issuer, Audience: audience, RequireBound: bound})
		if err != nil {
			t.Fatal(err)
		}
		verify[bound] = v
	}
	return func(r received) string {
		request := httptest.NewRequest(r.Method, r.Target, strings.NewReader(r.Body))
		request.Header["X-Client-Assertion"] = r.Assertions
		verified, err := verify[r.Bound].Verify(request)
		if err != nil {
			return "refused " + err.Error()
		}
		client, _ := service.Client(verified.Context())
		return "accepted " + client.Name
	}
}

// TestDocumentedVerifiers checks that every file of this folder is a program that is run,
// and that the README links it.
func TestDocumentedVerifiers(t *testing.T) {
	text, programs := string(harness.ReadFile(t, "README.md")), verifiers(t)
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		name := f.Name()
		if name == "README.md" || strings.HasSuffix(name, "_test.go") {
			continue
		}
		if !slices.ContainsFunc(programs, func(v verifier) bool { return v.file == name }) {
			t.Errorf("want %s run, found no test", name)
		}
		if !strings.Contains(text, "("+name+")") {
			t.Errorf("want a link to %s in the README, found none", name)
		}
	}
}
