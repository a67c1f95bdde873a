package config_test

import (
	"maps"
	"testing"

	"github.com/certgate/certgate/internal/config"
)

// TestProxyHeader checks the accepted names, which AUTH_HEADER refuses.
func TestProxyHeader(t *testing.T) {
	for _, name := range []string{
		"Client-Cert", "X-Forwarded-Client-Cert", "X-Forwarded-Tls-Client-Cert", "X-Amzn-Mtls-Clientcert",
		"X-Amzn-Mtls-Clientcert-Leaf", "X-SSL-Client-Cert", "X-ARR-ClientCert", "SSL-Client-Cert", "x_forwarded_client_cert", "X-My-Proxy",
		"CloudFront-Viewer-Cert-Pem", "Cf-Client-Cert-Der-Base64", "X-Tls-Client-Cert",
	} {
		t.Run(name, func(t *testing.T) {
			environ := required(t)
			environ["AUTH_PROXY_HEADER"], environ["TRUSTED_PROXIES"] = name, "10.0.0.0/8"
			if have := load(t, environ).ProxyHeader; have != name {
				t.Errorf("proxy header %q, want %q", have, name)
			}
		})
	}
}

func TestProxyHeaderFaults(t *testing.T) {
	const proxy = "AUTH_PROXY_HEADER"
	without := config.Fault{Variable: proxy, Problem: `found "X-Cert" without TRUSTED_PROXIES, want the proxies that attach it in TRUSTED_PROXIES`}
	same := func(name, other string) config.Fault {
		return config.Fault{Variable: proxy, Problem: `found "` + name + `", want another header than AUTH_HEADER "` + other + `", because a client attaches that one`}
	}
	tests := []struct {
		name string
		set  map[string]string
		want []config.Fault
	}{
		{"with proxies", map[string]string{proxy: "X-Cert", "TRUSTED_PROXIES": "10.0.0.0/8"}, nil},
		{"proxies without it", map[string]string{"TRUSTED_PROXIES": "10.0.0.0/8"}, nil},
		{"without proxies", map[string]string{proxy: "X-Cert"}, []config.Fault{without}},
		{"with faulty proxies", map[string]string{proxy: "X-Cert", "TRUSTED_PROXIES": "0.0.0.0/0"},
			[]config.Fault{{Variable: "TRUSTED_PROXIES", Problem: `found "0.0.0.0/0", which contains every address` + wantProxies}}},
		{"the clients' header", map[string]string{proxy: "X-SSL-Auth", "TRUSTED_PROXIES": "10.0.0.0/8"}, []config.Fault{same("X-SSL-Auth", "X-SSL-Auth")}},
		{"the clients' header, folded", map[string]string{proxy: "x_ssl-AUTH", "TRUSTED_PROXIES": "10.0.0.0/8"}, []config.Fault{same("x_ssl-AUTH", "X-SSL-Auth")}},
		{"the clients' header, with dots", map[string]string{proxy: "X.SSL.Auth", "TRUSTED_PROXIES": "10.0.0.0/8"}, []config.Fault{same("X.SSL.Auth", "X-SSL-Auth")}},
		{"the clients' header, named", map[string]string{proxy: "X-Cert", "AUTH_HEADER": "X_CERT", "TRUSTED_PROXIES": "10.0.0.0/8"}, []config.Fault{same("X-Cert", "X_CERT")}},
		{"both", map[string]string{proxy: "X-Cert", "AUTH_HEADER": "X-Cert"}, []config.Fault{without, same("X-Cert", "X-Cert")}},
		{"in the clients' place", map[string]string{proxy: "Client-Cert", "AUTH_HEADER": "Client-Cert", "TRUSTED_PROXIES": "10.0.0.0/8"},
			[]config.Fault{{Variable: "AUTH_HEADER", Problem: `found "Client-Cert", which is reserved for AUTH_PROXY_HEADER` + wantHeader}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			environ := required(t)
			maps.Copy(environ, tt.set)
			wantFaults(t, environ, tt.want...)
		})
	}
}
