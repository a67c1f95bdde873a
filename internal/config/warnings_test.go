package config_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"maps"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/testkit/ca"
)

func TestWarnings(t *testing.T) {
	small := ca.RSAKey(t, 1024, 0)
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
		{"assertion settings without key", map[string]string{"ASSERTION_ISSUER": "a", "ASSERTION_AUDIENCE": "b", "ASSERTION_BIND": "request"}, []string{
			"ASSERTION_ISSUER: has no effect without ASSERTION_KEY_FILE", "ASSERTION_AUDIENCE: has no effect", "ASSERTION_BIND: has no effect",
		}},
		{"assertions are not bound, without key", map[string]string{"ASSERTION_BIND": "off"}, nil},
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
