package config_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap/zapcore"

	"github.com/certgate/certgate/internal/config"
	"github.com/certgate/certgate/internal/core/access"
	"github.com/certgate/certgate/internal/filewatch/regularfile"
)

const goodRules = `rules:
  - name: apps-add-events
    clients: [mail, social]
    allow: ["POST /events"]
`

// publicPEM returns a public key in PEM.
func publicPEM(tb testing.TB, key any) string {
	tb.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		tb.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

func newKey(tb testing.TB) *ecdsa.PrivateKey {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

// required returns the smallest valid environment.
func required(tb testing.TB) map[string]string {
	tb.Helper()
	return map[string]string{
		"AUTH_PUBLIC_KEY": publicPEM(tb, newKey(tb).Public()),
		"ACCESS_RULES":    goodRules,
		"UPSTREAM_URL":    "http://schedule:8081",
	}
}

func load(tb testing.TB, environ map[string]string) config.Config {
	tb.Helper()
	c, err := config.Load(environ)
	if err != nil {
		tb.Fatalf("want no fault, found:\n%v", err)
	}
	return c
}

// faults returns the faults of an environment, or nil.
func faults(tb testing.TB, environ map[string]string) []config.Fault {
	tb.Helper()
	c, err := config.Load(environ)
	if err == nil {
		return nil
	}
	fault, ok := errors.AsType[*config.Error](err)
	if !ok {
		tb.Fatalf("want a *config.Error, found %T", err)
	}
	if !cmp.Equal(c.ListenAddr, "") || c.Keyring != nil || c.Upstreams != nil {
		tb.Errorf("want the zero Config with an error, found %+v", c)
	}
	return fault.Faults
}

func TestDefaults(t *testing.T) {
	c := load(t, required(t))
	have := []any{
		c.ListenAddr, c.AdminAddr, c.AuthHeader, c.Limits.ClockSkew, c.Limits.MinRSABits, c.Limits.MaxLifetime,
		len(c.Keyring.Anchors()), c.KeyringFile, c.Rules.RuleCount, c.RulesFile,
		c.UpstreamURL(), c.UpstreamTimeout, c.UpstreamHealthPath, c.MaxInFlight, c.MaxBodyBytes, c.MaxCredentialBytes, len(c.TrustedProxies),
		c.ShutdownDelay, c.ShutdownTimeout, c.ReadHeaderTimeout, c.ReadTimeout, c.IdleTimeout, c.LogLevel, c.LogFormat, c.LogFailure, len(c.Warnings),
		c.AuthzAddr, c.AuthzGRPCAddr, len(c.AuthzPeers), c.ProxyHeader, len(c.CRLFiles), len(c.CRLs), c.CRLStaleOK, c.Limits.RefuseSharedKey, c.FailureRate, c.EchoPath,
		c.Redis.IsZero(), c.RedisRemember,
		c.Proof, len(c.PublicAuthorities), c.LegacyRSAProof,
	}
	want := []any{
		":8080", "127.0.0.1:9090", "X-SSL-Auth", time.Minute, 2048, time.Duration(0),
		1, "", 1, "",
		"http://schedule:8081", 30 * time.Second, "", 1024, int64(1 << 20), 16 << 10, 0,
		time.Duration(0), 30 * time.Second, 10 * time.Second, time.Minute, 2 * time.Minute, zapcore.InfoLevel, "json", "continue", 0,
		"", "", 0, "", 0, 0, false, false, 20, "",
		true, false,
		access.ProofOff, 0, false,
	}
	if diff := cmp.Diff(want, have); diff != "" {
		t.Errorf("defaults (-want +got):\n%s", diff)
	}
}

// TestValidValues loads an environment with one valid value and compares the field.
func TestValidValues(t *testing.T) {
	prefixes := func(list ...string) (p []netip.Prefix) {
		for _, s := range list {
			p = append(p, netip.MustParsePrefix(s))
		}
		return p
	}
	proxies := func(c config.Config) any { return c.TrustedProxies }
	redis := func(c config.Config) any { return c.Redis.String() }
	authorities := func(c config.Config) any { return c.PublicAuthorities }
	tests := []struct {
		variable, value string
		have            func(config.Config) any
		want            any
	}{
		{"LISTEN_ADDR", "[::1]:0", func(c config.Config) any { return c.ListenAddr }, "[::1]:0"},
		{"LISTEN_ADDR", "localhost:80", func(c config.Config) any { return c.ListenAddr }, "localhost:80"},
		{"ADMIN_ADDR", "", func(c config.Config) any { return c.AdminAddr }, ""},
		{"ADMIN_HOSTS", "Certgate.internal, ops,192.0.2.7", func(c config.Config) any { return c.AdminHosts }, []string{"certgate.internal", "ops", "192.0.2.7"}},
		{"ADMIN_ADDR", "localhost:0", func(c config.Config) any { return c.AdminAddr }, "localhost:0"},
		{"AUTHZ_PEERS", "10.0.0.0/8,::1", func(c config.Config) any { return c.AuthzPeers }, prefixes("10.0.0.0/8", "::1/128")},
		{"AUTH_HEADER", "X-App-Cert", func(c config.Config) any { return c.AuthHeader }, "X-App-Cert"},
		{"AUTH_HEADER", "X-SSL-Client", func(c config.Config) any { return c.AuthHeader }, "X-SSL-Client"},
		{"AUTH_ALLOW_SHARED_KEY", "true", func(c config.Config) any { return c.Limits.RefuseSharedKey }, false},
		{"AUTH_ALLOW_SHARED_KEY", "false", func(c config.Config) any { return c.Limits.RefuseSharedKey }, true},
		{"AUTH_CRL_STALE", "refuse", func(c config.Config) any { return c.CRLStaleOK }, false},
		{"AUTH_CRL_STALE", "use", func(c config.Config) any { return c.CRLStaleOK }, true},
		{"AUTH_CLOCK_SKEW", "0s", func(c config.Config) any { return c.Limits.ClockSkew }, time.Duration(0)},
		{"AUTH_CLOCK_SKEW", "24h", func(c config.Config) any { return c.Limits.ClockSkew }, 24 * time.Hour},
		{"AUTH_MIN_RSA_BITS", "8192", func(c config.Config) any { return c.Limits.MinRSABits }, 8192},
		{"AUTH_FAILURE_RATE", "0", func(c config.Config) any { return c.FailureRate }, 0},
		{"AUTH_FAILURE_RATE", "1000000", func(c config.Config) any { return c.FailureRate }, 1_000_000},
		{"AUTH_PROOF", "off", func(c config.Config) any { return c.Proof }, access.ProofOff},
		{"AUTH_PROOF", "observe", func(c config.Config) any { return c.Proof }, access.ProofObserve},
		{"AUTH_PROOF", "require", func(c config.Config) any { return c.Proof }, access.ProofRequire},
		{"AUTH_PROOF_LEGACY_RSA", "true", func(c config.Config) any { return c.LegacyRSAProof }, true},
		{"REDIS_URL", "rediss://redis.internal", redis, "rediss://redis.internal:6379/0"},
		{"REDIS_URL", "redis://certgate:s3cret@127.0.0.1:6380/2", redis, "redis://127.0.0.1:6380/2"},
		{"REDIS_DOWN", "refuse", func(c config.Config) any { return c.RedisRemember }, false},
		{"REDIS_DOWN", "remember", func(c config.Config) any { return c.RedisRemember }, true},
		{"PUBLIC_AUTHORITY", "Schedule.Example.COM", authorities, []string{"schedule.example.com"}},
		{"PUBLIC_AUTHORITY", "schedule:80,schedule:8443, schedule.internal:443", authorities, []string{"schedule", "schedule:8443", "schedule.internal"}},
		{"PUBLIC_AUTHORITY", "a_b.c-d:65535,192.0.2.7,[2001:DB8::1]:443,[::1]:8080", authorities, []string{"a_b.c-d:65535", "192.0.2.7", "[2001:db8::1]", "[::1]:8080"}},
		{"PUBLIC_AUTHORITY", hosts(16), authorities, strings.Split(hosts(16), ",")},
		{"AUTH_MAX_LIFETIME", "off", func(c config.Config) any { return c.Limits.MaxLifetime }, time.Duration(0)},
		{"AUTH_MAX_LIFETIME", "2160h", func(c config.Config) any { return c.Limits.MaxLifetime }, 90 * 24 * time.Hour},
		{"UPSTREAM_URL", "https://[2001:db8::1]:443/", func(c config.Config) any { return c.UpstreamURL() }, "https://[2001:db8::1]:443"},
		{"UPSTREAM_URL", "HTTP://schedule", func(c config.Config) any { return c.UpstreamURL() }, "http://schedule"},
		{"UPSTREAM_URL", "http://a:1, http://a:2,http://b", func(c config.Config) any { return c.UpstreamURL() }, "http://a:1,http://a:2,http://b"},
		{"UPSTREAM_HEALTH_PATH", "/healthz?deep=1", func(c config.Config) any { return c.UpstreamHealthPath }, "/healthz?deep=1"},
		{"MAX_IN_FLIGHT", "1", func(c config.Config) any { return c.MaxInFlight }, 1},
		{"MAX_IN_FLIGHT", "1000000", func(c config.Config) any { return c.MaxInFlight }, 1_000_000},
		{"UPSTREAM_TIMEOUT", "1500ms", func(c config.Config) any { return c.UpstreamTimeout }, 1500 * time.Millisecond},
		{"SHUTDOWN_DELAY", "0s", func(c config.Config) any { return c.ShutdownDelay }, time.Duration(0)},
		{"SHUTDOWN_DELAY", "5s", func(c config.Config) any { return c.ShutdownDelay }, 5 * time.Second},
		{"SHUTDOWN_TIMEOUT", "1s", func(c config.Config) any { return c.ShutdownTimeout }, time.Second},
		{"READ_HEADER_TIMEOUT", "1s", func(c config.Config) any { return c.ReadHeaderTimeout }, time.Second},
		{"READ_TIMEOUT", "1s", func(c config.Config) any { return c.ReadTimeout }, time.Second},
		{"WRITE_TIMEOUT", "1s", func(c config.Config) any { return c.WriteTimeout }, time.Second},
		{"MAX_CONNECTIONS", "1", func(c config.Config) any { return c.MaxConnections }, 1},
		{"ECHO_PATH", "/certgate/echo", func(c config.Config) any { return c.EchoPath }, "/certgate/echo"},
		{"HTTP_FAST_PATH", "false", func(c config.Config) any { return c.FastPath }, false},
		{"FAST_LANE", "false", func(c config.Config) any { return c.FastPath }, false},
		{"IDLE_TIMEOUT", "1s", func(c config.Config) any { return c.IdleTimeout }, time.Second},
		{"MAX_BODY_BYTES", "1", func(c config.Config) any { return c.MaxBodyBytes }, int64(1)},
		{"MAX_BODY_BYTES", "1048576", func(c config.Config) any { return c.MaxBodyBytes }, int64(1 << 20)},
		{"MAX_BODY_BYTES", "1MB", func(c config.Config) any { return c.MaxBodyBytes }, int64(1_000_000)},
		{"MAX_BODY_BYTES", "1TiB", func(c config.Config) any { return c.MaxBodyBytes }, int64(1 << 40)},
		{"MAX_CREDENTIAL_BYTES", "1KiB", func(c config.Config) any { return c.MaxCredentialBytes }, 1024},
		{"MAX_CREDENTIAL_BYTES", "32kb", func(c config.Config) any { return c.MaxCredentialBytes }, 32000},
		{"TRUSTED_PROXIES", "10.0.0.0/8, 192.0.2.7,fc00::/7", proxies, prefixes("10.0.0.0/8", "192.0.2.7/32", "fc00::/7")},
		{"TRUSTED_PROXIES", "::ffff:10.0.0.0/104,::ffff:192.0.2.7", proxies, prefixes("10.0.0.0/8", "192.0.2.7/32")},
		{"LOG_LEVEL", "debug", func(c config.Config) any { return c.LogLevel }, zapcore.DebugLevel},
		{"LOG_LEVEL", "warn", func(c config.Config) any { return c.LogLevel }, zapcore.WarnLevel},
		{"LOG_LEVEL", "error", func(c config.Config) any { return c.LogLevel }, zapcore.ErrorLevel},
		{"LOG_FORMAT", "console", func(c config.Config) any { return c.LogFormat }, "console"},
		{"LOG_FAILURE", "refuse", func(c config.Config) any { return c.LogFailure }, "refuse"},
	}
	samePrefix := cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })
	for _, tt := range tests {
		t.Run(tt.variable+"="+tt.value, func(t *testing.T) {
			environ := required(t)
			environ[tt.variable] = tt.value
			if diff := cmp.Diff(tt.want, tt.have(load(t, environ)), samePrefix); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestKeyForms loads the key in the forms that .env files and web dashboards produce.
func TestKeyForms(t *testing.T) {
	key := publicPEM(t, newKey(t).Public())
	for name, value := range map[string]string{
		"PEM":                 key,
		"newlines as \\n":     strings.ReplaceAll(key, "\n", `\n`),
		"two keys":            key + publicPEM(t, newKey(t).Public()),
		"without the newline": strings.TrimSpace(key),
	} {
		t.Run(name, func(t *testing.T) {
			environ := required(t)
			environ["AUTH_PUBLIC_KEY"] = value
			c := load(t, environ)
			if want := strings.Count(value, "BEGIN"); len(c.Keyring.Anchors()) != want {
				t.Errorf("%d anchors, want %d", len(c.Keyring.Anchors()), want)
			}
		})
	}
}

func TestFiles(t *testing.T) {
	environ := required(t)
	dir := t.TempDir()
	for _, name := range []string{"AUTH_PUBLIC_KEY", "ACCESS_RULES"} {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(environ[name]), 0o600); err != nil {
			t.Fatal(err)
		}
		delete(environ, name)
		environ[name+"_FILE"] = file
	}
	c := load(t, environ)
	if len(c.Keyring.Anchors()) != 1 || c.Rules.RuleCount != 1 {
		t.Errorf("%d anchors and %d rules, want one of each", len(c.Keyring.Anchors()), c.Rules.RuleCount)
	}
	if c.KeyringFile != environ["AUTH_PUBLIC_KEY_FILE"] || c.RulesFile != environ["ACCESS_RULES_FILE"] {
		t.Errorf("files %q and %q, want those that were read", c.KeyringFile, c.RulesFile)
	}
}

// content reads a file as package filewatch does.
func content(name string) regularfile.File {
	read, err := regularfile.Read(name, regularfile.MaxBytes)
	return regularfile.File{Name: name, Text: read.Text, Err: err}
}

func contents(names ...string) (files []regularfile.File) {
	for _, name := range names {
		files = append(files, content(name))
	}
	return files
}

// TestParseChangedFiles parses files as the gateway does after a change.
func TestParseChangedFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	key := required(t)["AUTH_PUBLIC_KEY"]
	keys, list := write("keys", key), write("rules", goodRules)
	if ring, err := config.ParseKeyring(content(keys), 2048); err != nil || len(ring.Anchors()) != 1 {
		t.Errorf("keyring: %v, want one anchor", err)
	}
	if document, err := config.ParseRules(content(list)); err != nil || document.RuleCount != 1 {
		t.Errorf("rules: %v, want one", err)
	}
	missing := filepath.Join(dir, "missing")
	_, bigErr := config.ParseKeyring(content(write("big", strings.Repeat("x", 1<<20+1))), 2048)
	_, keyErr := config.ParseKeyring(content(list), 2048)
	_, noKeyErr := config.ParseKeyring(content(missing), 2048)
	_, rulesErr := config.ParseRules(content(keys))
	_, noRulesErr := config.ParseRules(content(missing))
	for _, tt := range []struct {
		err  error
		want string
	}{
		{keyErr, "want PEM"},
		{bigErr, "more than 1048576 bytes"},
		{noKeyErr, "no such file or directory"},
		{rulesErr, "found PEM, want YAML rules"},
		{noRulesErr, "no such file or directory"},
	} {
		if tt.err == nil || !strings.Contains(tt.err.Error(), tt.want) {
			t.Errorf("error %v, want %q", tt.err, tt.want)
		}
	}
}

// TestLoadKeepsArgument checks that Load does not modify its argument.
func TestLoadKeepsArgument(t *testing.T) {
	environ := required(t)
	environ["ADMIN_ADDR"] = ""
	before := maps.Clone(environ)
	load(t, environ)
	if !maps.Equal(before, environ) {
		t.Errorf("environment %v, want %v", environ, before)
	}
}

// TestNilEnvironmentIsEmpty checks that a nil map does not select the environment of the
// process.
func TestNilEnvironmentIsEmpty(t *testing.T) {
	for name, value := range required(t) {
		t.Setenv(name, value)
	}
	var names []string
	for _, f := range faults(t, nil) {
		names = append(names, f.Variable)
	}
	if diff := cmp.Diff([]string{"AUTH_PUBLIC_KEY", "ACCESS_RULES", "UPSTREAM_URL"}, names); diff != "" {
		t.Errorf("faults (-want +got):\n%s", diff)
	}
}

func TestWarnings(t *testing.T) {
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	twice, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	const noAuthority = "PUBLIC_AUTHORITY: without it, signatures are verified"
	tests := []struct {
		name string
		set  map[string]string
		want []string // one substring for each warning
	}{
		{"none", nil, nil},
		{"admin port on all addresses", map[string]string{"ADMIN_ADDR": ":9090"}, []string{"ADMIN_ADDR: :9090 can be reached"}},
		{"admin port on a network address", map[string]string{"ADMIN_ADDR": "192.0.2.7:9090"}, []string{"ADMIN_ADDR: 192.0.2.7:9090 can be"}},
		{"admin port on loopback", map[string]string{"ADMIN_ADDR": "[::1]:9090"}, nil},
		{"admin port off", map[string]string{"ADMIN_ADDR": ""}, nil},
		{"longest clock skew without warning", map[string]string{"AUTH_CLOCK_SKEW": "10m"}, nil},
		{"long clock skew", map[string]string{"AUTH_CLOCK_SKEW": "10m1s"},
			[]string{"AUTH_CLOCK_SKEW: certificates are accepted until 10m1s after they have expired"}},
		{"weak keys", map[string]string{"AUTH_MIN_RSA_BITS": "1024", "AUTH_PUBLIC_KEY": publicPEM(t, small.Public())},
			[]string{"AUTH_MIN_RSA_BITS: RSA keys of 1024 bits"}},
		{"a key twice", map[string]string{"AUTH_PUBLIC_KEY": publicPEM(t, twice.Public()) + publicPEM(t, twice.Public())},
			[]string{"AUTH_PUBLIC_KEY: block 2 (line 5): found the key of block 1 again"}},
		{"almost 2048 bits", map[string]string{"AUTH_MIN_RSA_BITS": "2047"}, []string{"AUTH_MIN_RSA_BITS: RSA keys of 2047 bits"}},
		{"half of all addresses", map[string]string{"TRUSTED_PROXIES": "0.0.0.0/1,8000::/1"},
			[]string{"TRUSTED_PROXIES: 0.0.0.0/1 is", "TRUSTED_PROXIES: 8000::/1 is"}},
		{"peers without listener", map[string]string{"AUTHZ_PEERS": "127.0.0.1"}, []string{"AUTHZ_PEERS: has no effect without AUTHZ_ADDR or AUTHZ_GRPC_ADDR"}},
		{"peers", map[string]string{"AUTHZ_PEERS": "127.0.0.1", "AUTHZ_ADDR": ":9191"}, nil},
		{"peers of Envoy only", map[string]string{"AUTHZ_PEERS": "127.0.0.1", "AUTHZ_GRPC_ADDR": ":9192"}, nil},
		{"many peers", map[string]string{"AUTHZ_PEERS": "0.0.0.0/1", "AUTHZ_ADDR": ":9191"}, []string{"AUTHZ_PEERS: 0.0.0.0/1 is"}},
		{"stale policy without lists", map[string]string{"AUTH_CRL_STALE": "use"}, []string{"AUTH_CRL_STALE: has no effect without AUTH_CRL_FILE"}},
		{"redis policy without redis", map[string]string{"REDIS_DOWN": "remember"}, []string{"REDIS_DOWN: has no effect without REDIS_URL"}},
		{"redis policy with redis", map[string]string{"REDIS_DOWN": "remember", "REDIS_URL": "redis://redis"}, nil},
		{"echo", map[string]string{"ECHO_PATH": "/certgate/echo"}, []string{"ECHO_PATH: requests at and below /certgate/echo are answered by the gateway"}},
		{"signatures without authority", map[string]string{"AUTH_PROOF": "observe"}, []string{noAuthority}},
		{"signatures of one rule without authority", map[string]string{"ACCESS_RULES": goodRules + "    proof: require\n"}, []string{noAuthority}},
		{"signatures for a host", map[string]string{"AUTH_PROOF": "require", "PUBLIC_AUTHORITY": "schedule"}, nil},
		{"a host without signatures", map[string]string{"PUBLIC_AUTHORITY": "schedule"}, nil},
		{"no rule verifies signatures", map[string]string{"AUTH_PROOF": "require", "ACCESS_RULES": goodRules + "    proof: off\n"}, nil},
		{"one of two rules verifies signatures", map[string]string{"AUTH_PROOF": "require", "ACCESS_RULES": goodRules + "    proof: off\n  - {name: b, clients: [mail], allow: [GET /b]}\n"}, []string{noAuthority}},
		{"former name", map[string]string{"FAST_LANE": "false"}, []string{"FAST_LANE: the variable is called HTTP_FAST_PATH now"}},
		{"former and present name", map[string]string{"FAST_LANE": "false", "HTTP_FAST_PATH": "false"}, []string{"FAST_LANE: the variable is called HTTP_FAST_PATH now"}},
		{"log level above info", map[string]string{"LOG_LEVEL": "warn"}, []string{"LOG_LEVEL: above info"}},
		{"one letter missing", map[string]string{"AUTH_PUBLICKEY": "x"}, []string{`"AUTH_PUBLICKEY" is not a variable of certgate and has no effect; did you mean AUTH_PUBLIC_KEY?`}},
		{"two letters wrong", map[string]string{"MAX_BUDY_BYTE": "1"}, []string{"did you mean MAX_BODY_BYTES?"}},
		{"lower case", map[string]string{"auth_max_lifetime": "24h"}, []string{"did you mean AUTH_MAX_LIFETIME?"}},
		{"variables of other programs", map[string]string{"UPSTREAM_PORT": "1", "HOME": "/", "AUTH_PUBLIC": "x", "MAX": "1"}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			environ := required(t)
			maps.Copy(environ, tt.set)
			have := load(t, environ).Warnings
			if len(have) != len(tt.want) {
				t.Fatalf("warnings %q, want %q", have, tt.want)
			}
			for i := range have {
				if !strings.Contains(have[i], tt.want[i]) {
					t.Errorf("warning %q, want %q", have[i], tt.want[i])
				}
			}
		})
	}
}

// TestVariables checks that the documentation of every variable is complete and that
// variables of one group are adjacent.
func TestVariables(t *testing.T) {
	names := map[string]bool{}
	var groups []string
	for _, v := range config.Variables() {
		if v.Name == "" || v.Default == "" || v.Help == "" || strings.Contains(v.Help, "\n") || names[v.Name] {
			t.Errorf("%+v: want a unique name, a default and one line of help", v)
		}
		names[v.Name] = true
		if len(groups) == 0 || groups[len(groups)-1] != v.Group {
			groups = append(groups, v.Group)
		}
	}
	want := []string{"listeners", "trust", "rules", "upstream", "signatures", "limits", "logs", "old installations"}
	if diff := cmp.Diff(want, groups); diff != "" {
		t.Errorf("groups in their order (-want +got):\n%s", diff)
	}
	first := config.Variables()[0]
	if first.Name != "LISTEN_ADDR" || first.Default != ":8080" {
		t.Errorf("first %+v, want LISTEN_ADDR with its default", first)
	}
}
