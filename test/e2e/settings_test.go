package e2e

import (
	"encoding/json"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/config"
	"github.com/certgate/certgate/test/harness"
)

// minimal is the least that certgate serve starts with.
func minimal(t *testing.T, m *harness.MasterKey) harness.Env {
	t.Helper()
	return harness.GatewayEnv(m.PublicKey, harness.NewUpstream(t, nil))
}

// faultyVariables returns the variables that the lines of a failed start name.
func faultyVariables(stderr string) []string {
	var names []string
	for line := range strings.Lines(stderr) {
		var fault struct{ Msg, Variable string }
		if err := json.Unmarshal([]byte(line), &fault); err != nil || fault.Msg != "gateway failed" {
			return []string{"not a line of the log: " + line}
		}
		names = append(names, fault.Variable)
	}
	return names
}

// TestAllConfigurationErrorsAreReported checks that one start reports every configuration
// error.
func TestAllConfigurationErrorsAreReported(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	env := minimal(t, m)
	harness.StartGateway(t, &harness.Upstream{}, env) // the same with good values starts

	wrong := harness.Env{
		"LISTEN_ADDR": "8080", "ADMIN_ADDR": "here", "AUTH_PUBLIC_KEY": string(m.ReadFile(t, m.KeyFile)), "AUTH_HEADER": "X SSL",
		"AUTH_CLOCK_SKEW": "1 minute", "AUTH_MIN_RSA_BITS": "512", "AUTH_MAX_LIFETIME": "-1h", "AUTH_FAILURE_RATE": "off",
		"ACCESS_RULES": "rules:\n  - name: a\n    clients: [mail]\n    allow: [\"events\"]\n", "UPSTREAM_URL": "schedule:8081",
		"UPSTREAM_TIMEOUT": "0", "MAX_BODY_BYTES": "much", "MAX_CREDENTIAL_BYTES": "1", "TRUSTED_PROXIES": "0.0.0.0/0",
		"SHUTDOWN_DELAY": "-1s", "SHUTDOWN_TIMEOUT": "-1s", "READ_HEADER_TIMEOUT": "x", "READ_TIMEOUT": "x", "IDLE_TIMEOUT": "x",
		"LOG_LEVEL": "loud", "LOG_FORMAT": "xml", "LOG_FAILURE": "ignore",
	}
	result := harness.Run(t, "certgate", wrong, "serve")
	if result.ExitCode != 2 || result.Stdout != "" {
		t.Errorf("want exit code 2 and nothing on stdout, found %d and %q", result.ExitCode, result.Stdout)
	}
	found := faultyVariables(result.Stderr)
	for _, v := range config.Variables() {
		_, given := wrong[v.Name]
		if n := count(found, v.Name); given && n != 1 || !given && n != 0 {
			t.Errorf("%s: given %t, found in %d lines of\n%s", v.Name, given, n, result.Stderr)
		}
	}
}

func count(list []string, item string) int {
	n := 0
	for _, s := range list {
		if s == item {
			n++
		}
	}
	return n
}

// TestStartRefusesConfiguration checks each configuration error alone.
func TestStartRefusesConfiguration(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	env := minimal(t, m)
	leaf := m.Issue(t, harness.OU("mail"))
	harness.KeepPEM(m.ReadFile(t, m.KeyFile))
	damaged := strings.Replace(m.PublicKey, "\n", "\n*", 1)
	tests := []struct {
		name, variable string
		env            harness.Env
	}{
		{"no key", "AUTH_PUBLIC_KEY", env.Without("AUTH_PUBLIC_KEY")},
		{"empty key", "AUTH_PUBLIC_KEY", env.With(harness.Env{"AUTH_PUBLIC_KEY": ""})},
		{"private key", "AUTH_PUBLIC_KEY", env.With(harness.Env{"AUTH_PUBLIC_KEY": string(m.ReadFile(t, m.KeyFile))})},
		{"damaged key", "AUTH_PUBLIC_KEY", env.With(harness.Env{"AUTH_PUBLIC_KEY": damaged})},
		{"second key damaged", "AUTH_PUBLIC_KEY", env.With(harness.Env{"AUTH_PUBLIC_KEY": m.PublicKey + damaged})},
		{"client certificate for a key", "AUTH_PUBLIC_KEY", env.With(harness.Env{"AUTH_PUBLIC_KEY": string(leaf.PEM)})},
		{"key and file", "AUTH_PUBLIC_KEY", env.With(harness.Env{"AUTH_PUBLIC_KEY_FILE": "/dev/null"})},
		{"no such file", "AUTH_PUBLIC_KEY_FILE", env.Without("AUTH_PUBLIC_KEY").With(harness.Env{"AUTH_PUBLIC_KEY_FILE": "/none"})},
		{"key for a file", "AUTH_PUBLIC_KEY_FILE", env.Without("AUTH_PUBLIC_KEY").With(harness.Env{"AUTH_PUBLIC_KEY_FILE": m.PublicKey})},
		{"no rules", "ACCESS_RULES", env.Without("ACCESS_RULES")},
		{"empty rules", "ACCESS_RULES", env.With(harness.Env{"ACCESS_RULES": ""})},
		{"blank rules", "ACCESS_RULES", env.With(harness.Env{"ACCESS_RULES": " \n"})},
		{"an empty list", "ACCESS_RULES", env.With(harness.Env{"ACCESS_RULES": "rules: []\n"})},
		{"unknown field", "ACCESS_RULES", env.With(harness.Env{"ACCESS_RULES": harness.AllowAllRules + "allow: all\n"})},
		{"key for rules", "ACCESS_RULES", env.With(harness.Env{"ACCESS_RULES": m.PublicKey})},
		{"an invalid deny list", "ACCESS_RULES", env.With(harness.Env{"ACCESS_RULES": harness.AllowAllRules + "deny:\n  - spki: sha256/x\n"})},
		{"no upstream", "UPSTREAM_URL", env.Without("UPSTREAM_URL")},
		{"empty upstream", "UPSTREAM_URL", env.With(harness.Env{"UPSTREAM_URL": ""})},
		{"empty with a default", "AUTH_HEADER", env.With(harness.Env{"AUTH_HEADER": ""})},
		{"every address a proxy", "TRUSTED_PROXIES", env.With(harness.Env{"TRUSTED_PROXIES": "10.0.0.0/8,::/0"})},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			result := harness.Run(t, "certgate", test.env, "serve")
			if result.ExitCode != 2 || !slices.Equal(faultyVariables(result.Stderr), []string{test.variable}) {
				t.Errorf("want exit code 2 for %s alone, found %d and %q", test.variable, result.ExitCode, result.Stderr)
			}
		})
	}
}

// TestPortInUse checks that a port that is in use gives exit code 1.
func TestPortInUse(t *testing.T) {
	t.Parallel()
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	env := minimal(t, harness.NewMasterKey(t, "p256"))
	for _, variable := range []string{"LISTEN_ADDR", "ADMIN_ADDR"} {
		result := harness.Run(t, "certgate", env.With(harness.Env{variable: busy.Addr().String()}), "serve")
		if result.ExitCode != 1 || !strings.Contains(result.Stderr, variable+": ") {
			t.Errorf("want exit code 1 for %s, found %+v", variable, result)
		}
	}
}

// TestCommandLine checks output and exit codes of commands that run no gateway.
func TestCommandLine(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		args []string
		env  harness.Env
		code int
		want []string // on stdout when the code is 0, else on stderr
	}{
		{"help", []string{"--help"}, nil, 0, []string{"serve", "health", "version", "Exit codes: 0 success, 1 failure or refusal, 2"}},
		{"help of serve", []string{"serve", "--help"}, nil, 0, []string{"Example:", "AUTH_PUBLIC_KEY", "ACCESS_RULES_FILE", "SIGTERM"}},
		{"help of health", []string{"health", "--help"}, nil, 0, []string{"Example:", "--url"}},
		{"version", []string{"version"}, nil, 0, []string{"certgate ", "\ncommit ", "\ngo1."}},
		{"no command", nil, nil, 2, []string{"certgate --help"}},
		{"unknown command", []string{"server"}, nil, 2, []string{"server", "certgate --help"}},
		{"unknown flag", []string{"serve", "--port=8080"}, nil, 2, []string{"--port", "certgate --help"}},
		{"surplus argument", []string{"serve", "now"}, nil, 2, []string{"now", "certgate --help"}},
		{"health without a listener", []string{"health", "--url", "http://127.0.0.1:1/healthz"}, nil, 1, []string{"refused"}},
		{"health of no address", []string{"health"}, harness.Env{"LISTEN_ADDR": "8080"}, 2, []string{"LISTEN_ADDR", `"8080"`}},
		{"health of port 0", []string{"health"}, harness.Env{"LISTEN_ADDR": ":0"}, 2, []string{"LISTEN_ADDR", "--url"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			result := harness.Run(t, "certgate", test.env, test.args...)
			output, other := result.Stdout, result.Stderr
			if test.code != 0 {
				output, other = result.Stderr, result.Stdout
			}
			if result.ExitCode != test.code || other != "" {
				t.Errorf("want exit code %d and one stream, found %+v", test.code, result)
			}
			for _, want := range test.want {
				if !strings.Contains(output, want) {
					t.Errorf("want %q, found %q", want, output)
				}
			}
		})
	}
}

// TestHelpListsEveryVariable checks that serve --help lists every variable.
func TestHelpListsEveryVariable(t *testing.T) {
	t.Parallel()
	listed := map[string]string{}
	for line := range strings.Lines(harness.Run(t, "certgate", nil, "serve", "--help").Stdout) {
		if words := strings.Fields(line); len(words) > 2 {
			listed[words[0]] = words[1]
		}
	}
	for _, v := range config.Variables() {
		if listed[v.Name] != v.Default {
			t.Errorf("%s: want the default %s in the help, found %q", v.Name, v.Default, listed[v.Name])
		}
	}
}
