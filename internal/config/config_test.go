package config_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap/zapcore"

	"github.com/certgate/certgate/internal/config"
	"github.com/certgate/certgate/internal/core/access"
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
	if c.ListenAddr != "" || c.Keyring != nil || c.Upstreams != nil {
		tb.Errorf("want the zero Config with an error, found %+v", c)
	}
	return fault.Faults
}

// wantFaults loads an environment and expects its faults.
func wantFaults(t *testing.T, environ map[string]string, want ...config.Fault) {
	t.Helper()
	if have := faults(t, environ); !slices.Equal(have, want) {
		t.Errorf("faults %q, want %q", have, want)
	}
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
	if len(have) != len(want) {
		t.Fatalf("%d values, want %d", len(have), len(want))
	}
	for i, value := range have {
		if value != want[i] {
			t.Errorf("default %d: found %v, want %v", i, value, want[i])
		}
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
		{"UPSTREAM_URL", "unix:/run/a@1.sock, UNIX:///run/A@1.sock", func(c config.Config) any { return c.UpstreamURL() }, "unix:/run/a@1.sock,unix:/run/A@1.sock"},
		{"UPSTREAM_URL", "unix:/" + strings.Repeat("a", 106), func(c config.Config) any { return c.UpstreamURL() }, "unix:/" + strings.Repeat("a", 106)},
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
	for _, tt := range tests {
		t.Run(tt.variable+"="+tt.value, func(t *testing.T) {
			environ := required(t)
			environ[tt.variable] = tt.value
			if have := tt.have(load(t, environ)); !reflect.DeepEqual(have, tt.want) {
				t.Errorf("found %v, want %v", have, tt.want)
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
	if want := []string{"AUTH_PUBLIC_KEY", "ACCESS_RULES", "UPSTREAM_URL"}; !slices.Equal(names, want) {
		t.Errorf("faults of %q, want %q", names, want)
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
	want := []string{"listeners", "trust", "rules", "upstream", "signatures", "limits", "assertions", "logs", "old installations"}
	if !slices.Equal(groups, want) {
		t.Errorf("groups in their order %q, want %q", groups, want)
	}
	first := config.Variables()[0]
	if first.Name != "LISTEN_ADDR" || first.Default != ":8080" {
		t.Errorf("first %+v, want LISTEN_ADDR with its default", first)
	}
}
