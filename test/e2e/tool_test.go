package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/certgate/certgate/test/harness"
)

// tool runs certgate and returns its output. The test fails if the exit code is not 0 or if
// there is output on stderr.
func tool(t *testing.T, env harness.Env, args ...string) string {
	t.Helper()
	result := harness.Run(t, "certgate", env, args...)
	if result.ExitCode != 0 || result.Stderr != "" {
		t.Fatalf("certgate %q: want exit code 0 and nothing on stderr, found %+v", args, result)
	}
	return result.Stdout
}

// TestToolFromKeyToRequest creates keys and certificates with certgate alone and sends a
// request.
func TestToolFromKeyToRequest(t *testing.T) {
	t.Parallel()
	for _, algorithm := range []string{"p256", "ed25519", "rsa2048"} {
		t.Run(algorithm, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "keys")
			tool(t, nil, "ca", "init", "--dir", dir, "--algorithm", algorithm)
			tool(t, nil, "issue", "--ca-dir", dir, "--client", "mail", "--days", "30", "--algorithm", algorithm)
			wantScriptFiles(t, dir, "ca.crt", "ca.key", "ca.pub", "mail.crt", "mail.key")
			for _, name := range []string{"ca.key", "mail.key", "mail.crt"} {
				harness.KeepPEM(harness.ReadFile(t, dir, name))
			}
			mail := harness.NewCertificate(t, harness.ReadFile(t, dir, "mail.crt"))

			schedule := harness.Start(t, "schedule", harness.Env{"LISTEN_ADDR": "127.0.0.1:0", "DATABASE": filepath.Join(t.TempDir(), "schedule.db")}).WaitListening(t)
			env := harness.Env{"LISTEN_ADDR": "127.0.0.1:0", "ADMIN_ADDR": "", "ACCESS_RULES": appsAddAndRead, "UPSTREAM_URL": "http://" + schedule.Addr}
			for _, anchor := range []string{"ca.pub", "ca.crt"} {
				env := env.With(harness.Env{"AUTH_PUBLIC_KEY_FILE": filepath.Join(dir, anchor)})
				if output := tool(t, env, "check"); !strings.HasPrefix(output, "ok: 1 key, 2 rules, 0 denied") {
					t.Errorf("want a description of the configuration, found %s", output)
				}
				addr := harness.Start(t, "certgate", env, "serve").WaitListening(t).Addr
				value := harness.RunProgramUnrecorded(t, harness.BinaryPath(t, "certgate"), nil, "header", filepath.Join(dir, "mail.crt")).Stdout
				r := harness.GetWithCredential(strings.TrimSuffix(value, "\n")).Post(harness.EventJSON("Meeting")).With("Content-Type: application/json")
				if e := oneEvent(t, harness.Send(t, addr, r)); e.Client != "mail" {
					t.Errorf("want the event of mail, found %+v", e)
				}
			}
			if output := tool(t, harness.Env{}, "inspect", filepath.Join(dir, "mail.crt")); !strings.Contains(output, mail.SPKI()) || !strings.Contains(output, mail.Serial()) {
				t.Errorf("want a description of the certificate, found %s", output)
			}
		})
	}
}

// TestToolOverwritesNoFile checks that no command overwrites a key or certificate.
func TestToolOverwritesNoFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	tool(t, nil, "ca", "init", "--dir", dir)
	tool(t, nil, "issue", "--ca-dir", dir, "--client", "mail")
	before := scriptTree(t, dir)
	for _, args := range [][]string{{"ca", "init", "--dir", dir}, {"issue", "--ca-dir", dir, "--client", "mail"}} {
		if result := harness.Run(t, "certgate", nil, args...); result.ExitCode != 1 || result.Stderr == "" {
			t.Errorf("%q: want exit code 1, found %+v", args, result)
		}
	}
	if scriptTree(t, dir) != before {
		t.Error("want every file as before")
	}
}

// TestCheckCommand checks the exit codes of certgate check.
func TestCheckCommand(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	good := minimal(t, m)
	for _, test := range []struct {
		name string
		env  harness.Env
		code int
		want string
	}{
		{"good", good, 0, "ok: 1 key"},
		{"warned", good.With(harness.Env{"AUTH_MIN_RSA_BITS": "1024"}), 0, "warning: AUTH_MIN_RSA_BITS"},
		{"nothing", harness.Env{}, 2, "UPSTREAM_URL: "},
		{"broken rules", good.With(harness.Env{"ACCESS_RULES": harness.AllowAllRules + "deny:\n  - clinet: mail\n"}), 2, "ACCESS_RULES:6: "},
		{"no such file", good.Without("ACCESS_RULES").With(harness.Env{"ACCESS_RULES_FILE": "/nowhere"}), 2, "ACCESS_RULES_FILE: "},
		{"private key", good.With(harness.Env{"AUTH_PUBLIC_KEY": string(m.ReadFile(t, m.KeyFile))}), 2, "AUTH_PUBLIC_KEY: "},
	} {
		t.Run(test.name, func(t *testing.T) {
			result := harness.Run(t, "certgate", test.env, "check")
			output := map[int]string{0: result.Stdout, 2: result.Stderr}[result.ExitCode]
			if result.ExitCode != test.code || !strings.Contains(output, test.want) {
				t.Errorf("want exit code %d and %q, found %+v", test.code, test.want, result)
			}
		})
	}
}

// readmeBlock is the README's shell block that begins with a line.
func readmeBlock(t *testing.T, first string) string {
	t.Helper()
	_, rest, found := strings.Cut(harness.Documents(t), "```sh\n"+first)
	block, _, closed := strings.Cut(rest, "\n```")
	if !found || !closed {
		t.Fatalf("want a block that begins with %q in the README, found none", first)
	}
	return first + block + "\n"
}

// TestReadmeQuickStart runs the commands of the README's quick start in a copy of the
// sources.
func TestReadmeQuickStart(t *testing.T) {
	t.Parallel()
	harness.SkipIfShort(t)
	needFreePorts(t, "127.0.0.1:8081", ":8080", "127.0.0.1:9090")
	serving, sending := readmeBlock(t, "go build"), readmeBlock(t, "certgate issue --client mail")
	dir := t.TempDir()
	for _, name := range []string{"cmd", "internal"} {
		if err := os.CopyFS(filepath.Join(dir, name), os.DirFS(filepath.Join(harness.Root, name))); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"go.mod", "go.sum"} {
		harness.WriteFile(t, string(harness.ReadFile(t, harness.Root, name)), dir, name)
	}
	// A user waits for the gateway between the blocks, and stops the programs afterwards.
	script := fmt.Sprintf(`set -eu
trap 'kill $(jobs -p); wait' EXIT
%s
curl --silent --show-error --fail --retry 60 --retry-delay 1 --retry-connrefused http://127.0.0.1:8080/healthz
%s`, serving, sending)
	harness.LookProgram(t, "curl")
	command := exec.CommandContext(t.Context(), harness.LookProgram(t, "bash"), "-c", script)
	command.Dir, command.Env = dir, append(os.Environ(), "GOFLAGS=-trimpath '-ldflags=-s -w'", "CGO_ENABLED=0") // of the shipped programs, which link faster
	output, err := command.CombinedOutput()
	for _, name := range []string{"certgate.log", "schedule.log"} {
		if text, err := os.ReadFile(filepath.Join(dir, name)); err == nil {
			harness.RecordOutput(name+" in "+t.Name(), string(text))
		}
	}
	created := regexp.MustCompile(`(?m)^HTTP/1\.1 201 Created\r?$`)
	if err != nil || !created.Match(output) || !strings.Contains(string(output), `"client":"mail"`) {
		t.Errorf("want 201 and an event of mail, found %v and\n%s", err, output)
	}
	for _, name := range []string{"ca.key", "mail.key", "mail.crt"} {
		harness.KeepPEM(harness.ReadFile(t, dir, "keys", name))
	}
}

// needFreePorts skips the test when a port of the README is in use, or when another run of
// the test has called it and not ended. With CI=true it fails the test.
func needFreePorts(t *testing.T, addrs ...string) {
	t.Helper()
	const guard = "127.0.0.1:18080" // in use until the end of the test, unlike the others
	for _, addr := range append([]string{guard}, addrs...) {
		l, err := net.Listen("tcp", addr)
		switch {
		case err == nil && addr == guard:
			t.Cleanup(func() { _ = l.Close() })
		case err == nil:
			_ = l.Close()
		case os.Getenv("CI") == "true":
			t.Fatalf("want the README's port free in CI, found %v", err)
		default:
			t.Skipf("a port of the README is in use, so its commands cannot be run: %v", err)
		}
	}
}
