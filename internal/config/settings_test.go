package config_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/config"
	"github.com/certgate/certgate/internal/testkit/ca"
)

// secret is a text that no displayed setting may contain.
const secret = "s3cret-marker"

// markedEnvironment returns an environment with a value for every variable that can be set
// together with the others. The secret is in every text that may contain one.
func markedEnvironment(t *testing.T) map[string]string {
	t.Helper()
	file := func(name, text string) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	root := ca.New(t, ca.Current)
	key := newKey(t)
	cert := root.Client(t, key.Public(), ca.Current)
	return map[string]string{
		"AUTH_PUBLIC_KEY":      "# " + secret + "\n" + string(root.PublicKeyPEM()),
		"ACCESS_RULES":         "# " + secret + "\n" + goodRules,
		"ACCESS_RULES_NEXT":    "# " + secret + "\n" + goodRules,
		"REDIS_URL":            "rediss://user:" + secret + "@redis.internal/1",
		"UPSTREAM_HEALTH_PATH": "/healthz?token=" + secret,
		"UPSTREAM_URL":         "https://schedule.internal:8443",
		"UPSTREAM_CA_FILE":     file("ca.pem", secret+"\n"+string(root.CertificatePEM())),
		"UPSTREAM_CERT_FILE":   file("gateway.pem", secret+"\n"+string(ca.PEM(cert))),
		"UPSTREAM_KEY_FILE":    file("gateway.key", secret+"\n"+string(ca.KeyPEM(t, key))),
		"ASSERTION_KEY_FILE":   file("assertion.key", string(ca.KeyPEM(t, newKey(t)))),
		"ASSERTION_ISSUER":     "https://gateway.example.com", "ASSERTION_AUDIENCE": "schedule", "ASSERTION_BIND": "request",
		"LISTEN_ADDR": "127.0.0.1:8443", "ADMIN_ADDR": "127.0.0.1:9191", "ADMIN_HOSTS": "certgate.internal",
		"AUTHZ_ADDR": "127.0.0.1:9192", "AUTHZ_GRPC_ADDR": "127.0.0.1:9193", "AUTHZ_PEERS": "10.0.0.0/8", "ECHO_PATH": "/echo",
		"SHUTDOWN_DELAY": "5s", "SHUTDOWN_TIMEOUT": "20s", "HTTP_FAST_PATH": "false",
		"AUTH_IDENTITY": "cn", "AUTH_HEADER": "X-App-Cert", "AUTH_PROXY_HEADER": "Client-Cert", "TRUSTED_PROXIES": "10.1.0.0/16",
		"AUTH_CLOCK_SKEW": "30s", "AUTH_MAX_LIFETIME": "2160h", "AUTH_CRL_STALE": "use",
		"UPSTREAM_TIMEOUT": "10s", "UPSTREAM_SERVER_NAME": "schedule.internal", "MAX_IN_FLIGHT": "512",
		"AUTH_PROOF": "observe", "PUBLIC_AUTHORITY": "schedule.example.com", "REDIS_DOWN": "remember",
		"AUTH_FAILURE_RATE": "10", "MAX_BODY_BYTES": "2MiB", "MAX_CREDENTIAL_BYTES": "32KiB",
		"READ_HEADER_TIMEOUT": "5s", "READ_TIMEOUT": "30s", "WRITE_TIMEOUT": "31s", "IDLE_TIMEOUT": "32s", "MAX_CONNECTIONS": "5000",
		"LOG_LEVEL": "warn", "LOG_FORMAT": "console", "LOG_FAILURE": "refuse", "OTEL_EXPORTER_OTLP_ENDPOINT": "https://collector.internal:4318",
		"AUTH_MIN_RSA_BITS": "3072", "AUTH_ALLOW_SHARED_KEY": "false", "AUTH_PROOF_LEGACY_RSA": "true",
		"OTHER_PROGRAM_TOKEN": secret,
	}
}

// TestSettingsHideSecrets sets every variable and checks what an operator sees of it. A new
// variable fails the test until its displayed value is decided.
func TestSettingsHideSecrets(t *testing.T) {
	environ := markedEnvironment(t)
	special := map[string]string{
		"AUTH_PUBLIC_KEY": config.Hidden, "ACCESS_RULES": config.Hidden, "ACCESS_RULES_NEXT": config.Hidden,
		"REDIS_URL": "rediss://redis.internal:6379/1", "UPSTREAM_HEALTH_PATH": "/healthz",
	}
	// The _FILE variants of variables above, and lists that need a CA certificate as anchor.
	unset := map[string]string{"AUTH_PUBLIC_KEY_FILE": "none", "ACCESS_RULES_FILE": "none", "ACCESS_RULES_NEXT_FILE": "none", "AUTH_CRL_FILE": "none"}
	shown := load(t, environ).Settings
	var want []config.Setting
	for _, v := range config.Variables() {
		value, known := environ[v.Name]
		if replaced, ok := special[v.Name]; ok {
			value = replaced
		}
		if none, ok := unset[v.Name]; ok {
			value, known = none, true
		}
		if !known {
			t.Errorf("%s: want a value in this test", v.Name)
		}
		want = append(want, config.Setting{Name: v.Name, Group: v.Group, Value: value, Default: unset[v.Name] != ""})
	}
	if len(shown) != len(want) {
		t.Fatalf("%d settings, want %d", len(shown), len(want))
	}
	for i, s := range shown {
		if s != want[i] {
			t.Errorf("setting %+v, want %+v", s, want[i])
		}
	}
	if text := fmt.Sprintf("%+v", shown); strings.Contains(text, secret) {
		t.Errorf("settings contain the secret: %s", text)
	}
}

// TestSettingsOfFiles checks the settings of variables whose content is in a file.
func TestSettingsOfFiles(t *testing.T) {
	environ := required(t)
	file := filepath.Join(t.TempDir(), "rules.yaml")
	if err := os.WriteFile(file, []byte(goodRules), 0o600); err != nil {
		t.Fatal(err)
	}
	delete(environ, "ACCESS_RULES")
	environ["ACCESS_RULES_FILE"], environ["ADMIN_ADDR"] = file, ""
	want := map[string]config.Setting{
		"ACCESS_RULES":      {Group: "rules", Value: "none", Default: true},
		"ACCESS_RULES_FILE": {Group: "rules", Value: file},
		"ADMIN_ADDR":        {Group: "listeners", Value: ""},
		"LISTEN_ADDR":       {Group: "listeners", Value: ":8080", Default: true},
		"AUTH_PUBLIC_KEY":   {Group: "trust", Value: config.Hidden},
	}
	for _, have := range load(t, environ).Settings {
		if expected, ok := want[have.Name]; ok {
			expected.Name = have.Name
			if have != expected {
				t.Errorf("setting %+v, want %+v", have, expected)
			}
		}
	}
}
