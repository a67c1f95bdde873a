package config_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/config"
)

const (
	wantListen     = ", want host:port, such as :8080"
	wantAuthz      = ", want host:port, such as 127.0.0.1:9191"
	wantHeader     = ", want a header field name without another purpose, such as X-SSL-Auth"
	wantAdminHosts = ", want 1 to 16 host names without port, such as certgate.internal, separated by commas, without repetition"
	wantProxy      = ", want the name of the header field that trusted proxies attach, such as Client-Cert"
	wantLists      = ", want the names of readable files, separated by commas"
	wantSkew       = ", want a duration from 0s to 24h, such as 60s"
	wantBits       = ", want a whole number from 1024 to 8192"
	wantRate       = ", want a whole number from 0 to 1000000"
	wantLifetime   = ", want off, or a duration above 0, such as 2160h for 90 days"
	wantServerName = ", want a host name or an IP address without port, such as schedule.internal"
	wantUpstream   = ", want http:// or https:// with a host and nothing after it, such as http://schedule:8081 (a request keeps its own path), or unix: with the absolute path of a socket, such as unix:/run/schedule.sock; or up to 64 separated by commas, without repetition, all http, all https or all unix"
	wantHealth     = ", want a path, such as /healthz"
	wantInFlight   = ", want a whole number from 1 to 1000000"
	wantBody       = ", want a size from 1 to 1TiB, such as 1MiB"
	wantCredential = ", want a size from 1KiB to 1MiB, such as 16KiB"
	wantProxies    = ", want CIDRs or addresses separated by commas, such as 10.0.0.0/8"
	wantKey        = ", want 1 to 8 PEM public keys or CA certificates, here or in AUTH_PUBLIC_KEY_FILE"
	wantRedis      = ", want redis://HOST, or rediss://HOST for TLS; complete form: redis://USER:PASSWORD@HOST:6379/0"
	wantRules      = ", want YAML rules, here or in ACCESS_RULES_FILE"
	wantEcho       = ", want a path of letters, digits and . _ - between single slashes, such as /certgate/echo"
	wantHosts      = ", want 1 to 16 hosts as clients address them, such as schedule.example.com or schedule.example.com:8443, separated by commas, without repetition"
	wantFile       = ", want the name of a readable file"
)

// addresses returns a value of UPSTREAM_URL with n addresses.
func addresses(n int) string {
	list := make([]string, n)
	for i := range list {
		list[i] = "http://schedule-" + strconv.Itoa(i)
	}
	return strings.Join(list, ",")
}

// hosts returns a value of PUBLIC_AUTHORITY with n hosts.
func hosts(n int) string { return strings.ReplaceAll(addresses(n), "http://", "") }

// TestMaximumUpstreams loads the largest number of upstream addresses.
func TestMaximumUpstreams(t *testing.T) {
	environ := required(t)
	environ["UPSTREAM_URL"] = addresses(64)
	if c := load(t, environ); len(c.Upstreams) != 64 {
		t.Errorf("want 64 upstreams, found %d", len(c.Upstreams))
	}
}

// TestInvalidValues loads an environment with one invalid value and compares the fault.
func TestInvalidValues(t *testing.T) {
	tests := []struct{ variable, value, want string }{
		{"LISTEN_ADDR", "", "found an empty value" + wantListen},
		{"LISTEN_ADDR", "8080", `found "8080"` + wantListen},
		{"LISTEN_ADDR", " :8080", `found " :8080"` + wantListen},
		{"LISTEN_ADDR", ":http", `found port "http" in ":http"` + wantListen},
		{"LISTEN_ADDR", ":65536", `found port "65536" in ":65536"` + wantListen},
		{"LISTEN_ADDR", ":", `found no port in ":"` + wantListen},
		{"LISTEN_ADDR", "http://a:80", `found "http://a:80"` + wantListen},
		{"ADMIN_HOSTS", "", "found an empty value" + wantAdminHosts},
		{"ADMIN_HOSTS", "certgate.internal:9090", `found "certgate.internal:9090"` + wantAdminHosts},
		{"ADMIN_HOSTS", "http://certgate.internal", `found "http://certgate.internal"` + wantAdminHosts},
		{"ADMIN_HOSTS", "*", `found "*"` + wantAdminHosts},
		{"ADMIN_HOSTS", "a,,b", "found an empty value" + wantAdminHosts},
		{"ADMIN_HOSTS", "ops,OPS", `found "ops" twice` + wantAdminHosts},
		{"ADMIN_HOSTS", strings.Repeat("a,", 16) + "b", `found "a" twice` + wantAdminHosts},
		{"ADMIN_ADDR", "9090", `found "9090", want host:port, such as 127.0.0.1:9090, or empty to turn it off`},
		{"ADMIN_ADDR", "127.0.0.1:8080", `found "127.0.0.1:8080", want another port than LISTEN_ADDR ":8080"`},
		{"ADMIN_ADDR", "[::]:8080", `found "[::]:8080", want another port than LISTEN_ADDR ":8080"`},
		{"AUTHZ_ADDR", "", "found an empty value" + wantAuthz},
		{"AUTHZ_ADDR", "9191", `found "9191"` + wantAuthz},
		{"AUTHZ_GRPC_ADDR", "9192", `found "9192", want host:port, such as 127.0.0.1:9192`},
		{"AUTHZ_PEERS", "", "found an empty value" + wantProxies},
		{"AUTHZ_PEERS", "localhost", `found "localhost"` + wantProxies},
		{"AUTHZ_PEERS", "0.0.0.0/0", `found "0.0.0.0/0", which contains every address` + wantProxies},
		{"AUTHZ_PEERS", "::/0", `found "::/0", which contains every address` + wantProxies},
		{"AUTHZ_PEERS", "::ffff:0:0/96", `found "::ffff:0:0/96", which contains every address` + wantProxies},
		{"AUTH_HEADER", "X_Original_URI", `found "X_Original_URI", which has another purpose` + wantHeader},
		{"AUTH_HEADER", "X-Certgate-Reason", `found "X-Certgate-Reason", which has another purpose` + wantHeader},
		{"AUTH_HEADER", "", "found an empty value" + wantHeader},
		{"AUTH_HEADER", "X SSL", `found "X SSL"` + wantHeader},
		{"AUTH_HEADER", "X-SSL-Auth:", `found "X-SSL-Auth:"` + wantHeader},
		{"AUTH_HEADER", "host", `found "host", which has another purpose` + wantHeader},
		{"AUTH_HEADER", "Authorization", `found "Authorization", which has another purpose` + wantHeader},
		{"AUTH_HEADER", "Content-Length", `found "Content-Length", which has another purpose` + wantHeader},
		{"AUTH_HEADER", "Connection", `found "Connection", which has another purpose` + wantHeader},
		{"AUTH_HEADER", "Transfer-Encoding", `found "Transfer-Encoding", which has another purpose` + wantHeader},
		{"AUTH_HEADER", "X-Client-Id", `found "X-Client-Id", which has another purpose` + wantHeader},
		{"AUTH_HEADER", "x_client_cert", `found "x_client_cert", which has another purpose` + wantHeader},
		{"AUTH_HEADER", "X-Forwarded-For", `found "X-Forwarded-For", which has another purpose` + wantHeader},
		{"AUTH_HEADER", "X-Request-ID", `found "X-Request-ID", which has another purpose` + wantHeader},
		{"AUTH_HEADER", "X.Client.Id", `found "X.Client.Id", which has another purpose` + wantHeader},
		{"AUTH_HEADER", "Remote~User", `found "Remote~User", which has another purpose` + wantHeader},
		{"AUTH_HEADER", "X_Accel_Redirect", `found "X_Accel_Redirect", which has another purpose` + wantHeader},
		{"AUTH_HEADER", "X.SSL.Client.Cert", `found "X.SSL.Client.Cert", which is reserved for AUTH_PROXY_HEADER` + wantHeader},
		{"AUTH_HEADER", "cf_client_cert_der_base64", `found "cf_client_cert_der_base64", which is reserved for AUTH_PROXY_HEADER` + wantHeader},
		{"AUTH_PROXY_HEADER", "X.Request.Id", `found "X.Request.Id", which has another purpose, want the name of the header field that trusted proxies attach, such as Client-Cert`},
		{"AUTH_PROXY_HEADER", "client.cert.chain", `found "client.cert.chain", which contains every certificate except the client's, want the name of the header field that trusted proxies attach, such as Client-Cert`},
		{"AUTH_HEADER", "Client-Cert", `found "Client-Cert", which is reserved for AUTH_PROXY_HEADER` + wantHeader},
		{"AUTH_HEADER", "client_cert", `found "client_cert", which is reserved for AUTH_PROXY_HEADER` + wantHeader},
		{"AUTH_HEADER", "Client-Cert-Chain", `found "Client-Cert-Chain", which is reserved for AUTH_PROXY_HEADER` + wantHeader},
		{"AUTH_HEADER", "X-Forwarded-Client-Cert", `found "X-Forwarded-Client-Cert", which is reserved for AUTH_PROXY_HEADER` + wantHeader},
		{"AUTH_HEADER", "X-Forwarded-Tls-Client-Cert", `found "X-Forwarded-Tls-Client-Cert", which is reserved for AUTH_PROXY_HEADER` + wantHeader},
		{"AUTH_HEADER", "X-Amzn-Mtls-Clientcert", `found "X-Amzn-Mtls-Clientcert", which is reserved for AUTH_PROXY_HEADER` + wantHeader},
		{"AUTH_HEADER", "X-Amzn-Mtls-Clientcert-Leaf", `found "X-Amzn-Mtls-Clientcert-Leaf", which is reserved for AUTH_PROXY_HEADER` + wantHeader},
		{"AUTH_HEADER", "X-SSL-Client-Cert", `found "X-SSL-Client-Cert", which is reserved for AUTH_PROXY_HEADER` + wantHeader},
		{"AUTH_HEADER", "X-ARR-ClientCert", `found "X-ARR-ClientCert", which is reserved for AUTH_PROXY_HEADER` + wantHeader},
		{"AUTH_HEADER", "SSL_CLIENT_CERT", `found "SSL_CLIENT_CERT", which is reserved for AUTH_PROXY_HEADER` + wantHeader},
		{"AUTH_HEADER", "signature-input", `found "signature-input", which has another purpose` + wantHeader},
		{"AUTH_HEADER", "Signature", `found "Signature", which has another purpose` + wantHeader},
		{"AUTH_HEADER", "Content_Digest", `found "Content_Digest", which has another purpose` + wantHeader},
		{"AUTH_PROXY_HEADER", "", "found an empty value" + wantProxy},
		{"AUTH_PROXY_HEADER", "Client Cert", `found "Client Cert"` + wantProxy},
		{"AUTH_PROXY_HEADER", "Client-Cert,X-ARR-ClientCert", `found "Client-Cert,X-ARR-ClientCert"` + wantProxy},
		{"AUTH_PROXY_HEADER", "Cookie", `found "Cookie", which has another purpose` + wantProxy},
		{"AUTH_PROXY_HEADER", "Forwarded", `found "Forwarded", which has another purpose` + wantProxy},
		{"AUTH_PROXY_HEADER", "x_forwarded_for", `found "x_forwarded_for", which has another purpose` + wantProxy},
		{"AUTH_PROXY_HEADER", "X-Forwarded-Tls-Client-Cert-Info", `found "X-Forwarded-Tls-Client-Cert-Info", which has another purpose` + wantProxy},
		{"AUTH_PROXY_HEADER", "X-Client-Id", `found "X-Client-Id", which has another purpose` + wantProxy},
		{"AUTH_PROXY_HEADER", "Client_Cert_Chain", `found "Client_Cert_Chain", which contains every certificate except the client's` + wantProxy},
		{"AUTH_PROXY_HEADER", "Client-Cert", `found "Client-Cert" without TRUSTED_PROXIES, want the proxies that attach it in TRUSTED_PROXIES`},
		{"AUTH_ALLOW_SHARED_KEY", "", "found an empty value, want true or false"},
		{"AUTH_ALLOW_SHARED_KEY", "1", `found "1", want true or false`},
		{"AUTH_ALLOW_SHARED_KEY", "False", `found "False", want true or false`},
		{"AUTH_CRL_FILE", "", "found an empty value" + wantLists},
		{"AUTH_CRL_FILE", "/nowhere/crl,", "found an empty value" + wantLists},
		{"AUTH_CRL_FILE", "/nowhere/crl", `found "/nowhere/crl": no such file or directory` + wantLists},
		{"AUTH_CRL_FILE", "/", `found "/": is a directory` + wantLists},
		{"AUTH_CRL_FILE", "/dev/zero", `found "/dev/zero": device, not a regular file` + wantLists},
		{"AUTH_CRL_FILE", "-----BEGIN X509 CRL-----", "found a text of 24 bytes" + wantLists},
		{"AUTH_CRL_FILE", "MIIB\nMIIB", "found a text of 9 bytes" + wantLists},
		{"AUTH_CRL_STALE", "", "found an empty value, want refuse or use"},
		{"AUTH_CRL_STALE", "Use", `found "Use", want refuse or use`},
		{"AUTH_CRL_STALE", "ignore", `found "ignore", want refuse or use`},
		{"AUTH_CLOCK_SKEW", "", "found an empty value" + wantSkew},
		{"AUTH_CLOCK_SKEW", "60", `found "60"` + wantSkew},
		{"AUTH_CLOCK_SKEW", "-1s", `found "-1s"` + wantSkew},
		{"AUTH_CLOCK_SKEW", "24h1s", `found "24h1s"` + wantSkew},
		{"AUTH_MIN_RSA_BITS", "", "found an empty value" + wantBits},
		{"AUTH_MIN_RSA_BITS", "1023", `found "1023"` + wantBits},
		{"AUTH_MIN_RSA_BITS", "8193", `found "8193"` + wantBits},
		{"AUTH_MIN_RSA_BITS", "2048 bits", `found "2048 bits"` + wantBits},
		{"AUTH_MAX_LIFETIME", "", "found an empty value" + wantLifetime},
		{"AUTH_MAX_LIFETIME", "90d", `found "90d"` + wantLifetime},
		{"AUTH_MAX_LIFETIME", "0s", `found "0s"` + wantLifetime},
		{"AUTH_MAX_LIFETIME", "OFF", `found "OFF"` + wantLifetime},
		{"AUTH_FAILURE_RATE", "", "found an empty value" + wantRate},
		{"AUTH_FAILURE_RATE", "-1", `found "-1"` + wantRate},
		{"AUTH_FAILURE_RATE", "1000001", `found "1000001"` + wantRate},
		{"AUTH_FAILURE_RATE", "20/s", `found "20/s"` + wantRate},
		{"AUTH_FAILURE_RATE", "off", `found "off"` + wantRate},
		{"AUTH_PROOF", "", "found an empty value, want off, observe or require"},
		{"AUTH_PROOF", "Require", `found "Require", want off, observe or require`},
		{"AUTH_PROOF", "true", `found "true", want off, observe or require`},
		{"AUTH_PROOF_LEGACY_RSA", "yes", `found "yes", want true or false`},
		{"REDIS_URL", "", "found an empty value" + wantRedis},
		{"REDIS_URL", "redis:6379", "found no host" + wantRedis},
		{"REDIS_URL", "http://redis", "found another scheme" + wantRedis},
		{"REDIS_URL", "redis://:s3cret@redis?db=1", "found a query or a fragment (in a password, ? # / @ and % have to be percent-encoded)" + wantRedis},
		{"REDIS_URL", "redis://s3cret@redis", "found a user without a password" + wantRedis},
		{"REDIS_URL", "redis://:s3cret@redis/s3cret", "found a path that is not the number of a database" + wantRedis},
		{"REDIS_URL", "redis://:s3/cret@redis", "found no URL (in a password, ? # / @ and % have to be percent-encoded)" + wantRedis},
		{"REDIS_DOWN", "", "found an empty value, want refuse or remember"},
		{"REDIS_DOWN", "allow", `found "allow", want refuse or remember`},
		{"PUBLIC_AUTHORITY", "", "found an empty value" + wantHosts},
		{"PUBLIC_AUTHORITY", "schedule,", "found an empty value" + wantHosts},
		{"PUBLIC_AUTHORITY", "https://schedule", `found "https://schedule"` + wantHosts},
		{"PUBLIC_AUTHORITY", "schedule/", `found "schedule/"` + wantHosts},
		{"PUBLIC_AUTHORITY", "schedule?a", `found "schedule?a"` + wantHosts},
		{"PUBLIC_AUTHORITY", "u:secret@schedule", "found a host with user information" + wantHosts},
		{"PUBLIC_AUTHORITY", "sche dule", `found "sche dule"` + wantHosts},
		{"PUBLIC_AUTHORITY", "a b", `found "a b"` + wantHosts},
		{"PUBLIC_AUTHORITY", "*.example.com", `found "*.example.com"` + wantHosts},
		{"PUBLIC_AUTHORITY", "schedule.", `found "schedule."` + wantHosts},
		{"PUBLIC_AUTHORITY", "-schedule", `found "-schedule"` + wantHosts},
		{"PUBLIC_AUTHORITY", "bücher.example", `found "bücher.example"` + wantHosts},
		{"PUBLIC_AUTHORITY", ":8443", `found ":8443"` + wantHosts},
		{"PUBLIC_AUTHORITY", "schedule:", `found "schedule:"` + wantHosts},
		{"PUBLIC_AUTHORITY", "schedule:0", `found port "0" in "schedule:0"` + wantHosts},
		{"PUBLIC_AUTHORITY", "schedule:0443", `found port "0443" in "schedule:0443"` + wantHosts},
		{"PUBLIC_AUTHORITY", "schedule:65536", `found port "65536" in "schedule:65536"` + wantHosts},
		{"PUBLIC_AUTHORITY", "2001:db8::1", `found "2001:db8::1"` + wantHosts},
		{"PUBLIC_AUTHORITY", "[2001:db8::1", `found "[2001:db8::1"` + wantHosts},
		{"PUBLIC_AUTHORITY", "[1:2]", `found "[1:2]"` + wantHosts},
		{"PUBLIC_AUTHORITY", "schedule,Schedule:443", `found "schedule" twice` + wantHosts},
		{"PUBLIC_AUTHORITY", hosts(17), "found more than 16 hosts" + wantHosts},
		{"UPSTREAM_URL", "", "found an empty value" + wantUpstream},
		{"UPSTREAM_URL", "schedule:8081", `found scheme "schedule" in "schedule:8081"` + wantUpstream},
		{"UPSTREAM_URL", "schedule", `found no scheme in "schedule"` + wantUpstream},
		{"UPSTREAM_URL", "ftp://schedule", `found scheme "ftp" in "ftp://schedule"` + wantUpstream},
		{"UPSTREAM_URL", "http://", `found no host in "http://"` + wantUpstream},
		{"UPSTREAM_URL", "http://:8081", `found no host in "http://:8081"` + wantUpstream},
		{"UPSTREAM_URL", "http://u:secret@schedule", "found a URL with user information" + wantUpstream},
		{"UPSTREAM_URL", "http://schedule/api", `found a path in "http://schedule/api"` + wantUpstream},
		{"UPSTREAM_URL", "http://schedule//", `found a path in "http://schedule//"` + wantUpstream},
		{"UPSTREAM_URL", "http://schedule?a=1", `found a query or a fragment in "http://schedule?a=1"` + wantUpstream},
		{"UPSTREAM_URL", "http://schedule/#", `found a query or a fragment in "http://schedule/#"` + wantUpstream},
		{"UPSTREAM_URL", "http://schedule:0", `found port "0" in "http://schedule:0"` + wantUpstream},
		{"UPSTREAM_URL", "http://schedule:", `found no port after the colon in "http://schedule:"` + wantUpstream},
		{"UPSTREAM_URL", "http://a,", "found an empty value" + wantUpstream},
		{"UPSTREAM_URL", "http://a,b", `found no scheme in "b"` + wantUpstream},
		{"UPSTREAM_URL", "http://a,http://u:secret@b", "found a URL with user information" + wantUpstream},
		{"UPSTREAM_URL", "http://a,http://A:80/", `found "a:80" twice` + wantUpstream},
		{"UPSTREAM_URL", "http://a:1,https://a:1", `found "a:1" twice` + wantUpstream},
		{"UPSTREAM_URL", "http://a,https://b", "found both http:// and https://" + wantUpstream},
		{"UPSTREAM_URL", "unix:", `found no absolute path in "unix:"` + wantUpstream},
		{"UPSTREAM_URL", "unix:run/a.sock", `found no absolute path in "unix:run/a.sock"` + wantUpstream},
		{"UPSTREAM_URL", "unix://run/a.sock", `found no absolute path in "unix://run/a.sock"` + wantUpstream},
		{"UPSTREAM_URL", "unix:@abstract", `found no absolute path in "unix:@abstract"` + wantUpstream},
		{"UPSTREAM_URL", "unix:/" + strings.Repeat("a", 107), "found a path of 108 bytes, more than the 107 that the system allows" + wantUpstream},
		{"UPSTREAM_URL", "unix:/a\x01", `found a path with control characters in "unix:/a\x01"` + wantUpstream},
		{"UPSTREAM_URL", "unix:/a,unix:///a", `found "unix:/a" twice` + wantUpstream},
		{"UPSTREAM_URL", "unix:/a,http://b", "found both unix: and http://" + wantUpstream},
		{"UPSTREAM_URL", "http://b,unix:/a", "found both http:// and unix:" + wantUpstream},
		{"UPSTREAM_SERVER_NAME", "", "found an empty value" + wantServerName},
		{"UPSTREAM_SERVER_NAME", "a:443", `found "a:443"` + wantServerName},
		{"UPSTREAM_SERVER_NAME", "*.example", `found "*.example"` + wantServerName},
		{"UPSTREAM_SERVER_NAME", "[::1]", `found "[::1]"` + wantServerName},
		{"UPSTREAM_SERVER_NAME", "https://a", `found "https://a"` + wantServerName},
		{"UPSTREAM_CA_FILE", "", "found an empty value, want the name of a readable file"},
		{"UPSTREAM_URL", addresses(65), "found more than 64 addresses" + wantUpstream},
		{"UPSTREAM_HEALTH_PATH", "", "found an empty value" + wantHealth},
		{"UPSTREAM_HEALTH_PATH", "healthz", `found "healthz"` + wantHealth},
		{"UPSTREAM_HEALTH_PATH", "http://a/healthz", `found "http://a/healthz"` + wantHealth},
		{"UPSTREAM_HEALTH_PATH", "//healthz", `found "//healthz"` + wantHealth},
		{"UPSTREAM_HEALTH_PATH", "/a b", `found "/a b"` + wantHealth},
		{"UPSTREAM_HEALTH_PATH", "/a#b", `found "/a#b"` + wantHealth},
		{"MAX_IN_FLIGHT", "", "found an empty value" + wantInFlight},
		{"MAX_IN_FLIGHT", "0", `found "0"` + wantInFlight},
		{"MAX_IN_FLIGHT", "1000001", `found "1000001"` + wantInFlight},
		{"MAX_IN_FLIGHT", "many", `found "many"` + wantInFlight},
		{"UPSTREAM_URL", "http://schedule:65536", `found port "65536" in "http://schedule:65536"` + wantUpstream},
		{"UPSTREAM_URL", "http://sche dule", `found "http://sche dule", which is not a URL` + wantUpstream},
		{"UPSTREAM_TIMEOUT", "", "found an empty value, want a duration above 0, such as 30s"},
		{"UPSTREAM_TIMEOUT", "0s", `found "0s", want a duration above 0, such as 30s`},
		{"SHUTDOWN_DELAY", "", "found an empty value, want a duration of at least 0s, such as 5s"},
		{"SHUTDOWN_DELAY", "5", `found "5", want a duration of at least 0s, such as 5s`},
		{"SHUTDOWN_DELAY", "-1s", `found "-1s", want a duration of at least 0s, such as 5s`},
		{"SHUTDOWN_TIMEOUT", "", "found an empty value, want a duration above 0, such as 30s"},
		{"SHUTDOWN_TIMEOUT", "soon", `found "soon", want a duration above 0, such as 30s`},
		{"READ_HEADER_TIMEOUT", "", "found an empty value, want a duration above 0, such as 10s"},
		{"READ_HEADER_TIMEOUT", "-1s", `found "-1s", want a duration above 0, such as 10s`},
		{"READ_TIMEOUT", "", "found an empty value, want a duration above 0, such as 60s"},
		{"READ_TIMEOUT", "60", `found "60", want a duration above 0, such as 60s`},
		{"WRITE_TIMEOUT", "", "found an empty value, want a duration above 0, such as 60s"},
		{"WRITE_TIMEOUT", "0s", `found "0s", want a duration above 0, such as 60s`},
		{"MAX_CONNECTIONS", "0", `found "0", want a whole number from 1 to 1000000`},
		{"MAX_CONNECTIONS", "1000001", `found "1000001", want a whole number from 1 to 1000000`},
		{"MAX_CONNECTIONS", "many", `found "many", want a whole number from 1 to 1000000`},
		{"ECHO_PATH", "", "found an empty value" + wantEcho},
		{"ECHO_PATH", "/", `found "/"` + wantEcho},
		{"ECHO_PATH", "certgate/echo", `found "certgate/echo"` + wantEcho},
		{"ECHO_PATH", "/certgate/echo/", `found "/certgate/echo/"` + wantEcho},
		{"ECHO_PATH", "//certgate", `found "//certgate"` + wantEcho},
		{"ECHO_PATH", "/certgate/../echo", `found "/certgate/../echo"` + wantEcho},
		{"ECHO_PATH", "/certgate%2Fecho", `found "/certgate%2Fecho"` + wantEcho},
		{"ECHO_PATH", "/certgate?echo", `found "/certgate?echo"` + wantEcho},
		{"ECHO_PATH", "/" + strings.Repeat("a", 200), "found " + quoted("/"+strings.Repeat("a", 200)) + wantEcho},
		{"ECHO_PATH", "/healthz", `found "/healthz", which has another purpose` + wantEcho},
		{"HTTP_FAST_PATH", "", "found an empty value, want true or false"},
		{"HTTP_FAST_PATH", "perhaps", `found "perhaps", want true or false`},
		{"IDLE_TIMEOUT", "", "found an empty value, want a duration above 0, such as 120s"},
		{"IDLE_TIMEOUT", "0", `found "0", want a duration above 0, such as 120s`},
		{"MAX_BODY_BYTES", "", "found an empty value" + wantBody},
		{"MAX_BODY_BYTES", "0", `found "0"` + wantBody},
		{"MAX_BODY_BYTES", "-1", `found "-1"` + wantBody},
		{"MAX_BODY_BYTES", "1,5MiB", `found "1,5MiB"` + wantBody},
		{"MAX_BODY_BYTES", "1.5MiB", `found "1.5MiB"` + wantBody},
		{"MAX_BODY_BYTES", "1m", `found "1m"` + wantBody},
		{"MAX_BODY_BYTES", "1 MiB", `found "1 MiB"` + wantBody},
		{"MAX_BODY_BYTES", "1025GiB", `found "1025GiB"` + wantBody},
		{"MAX_BODY_BYTES", "99999999999999999999", `found "99999999999999999999"` + wantBody},
		{"MAX_CREDENTIAL_BYTES", "", "found an empty value" + wantCredential},
		{"MAX_CREDENTIAL_BYTES", "1023", `found "1023"` + wantCredential},
		{"MAX_CREDENTIAL_BYTES", "1025KiB", `found "1025KiB"` + wantCredential},
		{"TRUSTED_PROXIES", "", "found an empty value" + wantProxies},
		{"TRUSTED_PROXIES", "10.0.0.0/8,", "found an empty value" + wantProxies},
		{"TRUSTED_PROXIES", "10.0.0.0/33", `found "10.0.0.0/33"` + wantProxies},
		{"TRUSTED_PROXIES", "10.0.0.1/8", `found "10.0.0.1/8", whose network is 10.0.0.0/8` + wantProxies},
		{"TRUSTED_PROXIES", "proxy.internal", `found "proxy.internal"` + wantProxies},
		{"TRUSTED_PROXIES", "fe80::1%eth0", `found "fe80::1%eth0"` + wantProxies},
		{"TRUSTED_PROXIES", "10.0.0.0/8,0.0.0.0/0", `found "0.0.0.0/0", which contains every address` + wantProxies},
		{"TRUSTED_PROXIES", "::/0", `found "::/0", which contains every address` + wantProxies},
		{"TRUSTED_PROXIES", "::ffff:0.0.0.0/96", `found "::ffff:0.0.0.0/96", which contains every address` + wantProxies},
		{"TRUSTED_PROXIES", "::ffff:0:0/96", `found "::ffff:0:0/96", which contains every address` + wantProxies},
		{"TRUSTED_PROXIES", "::/64", `found "::/64", which contains every address` + wantProxies},
		{"LOG_LEVEL", "", "found an empty value, want debug, info, warn or error"},
		{"LOG_LEVEL", "fatal", `found "fatal", want debug, info, warn or error`},
		{"LOG_LEVEL", "INFO", `found "INFO", want debug, info, warn or error`},
		{"LOG_FORMAT", "", "found an empty value, want json or console"},
		{"LOG_FORMAT", "text", `found "text", want json or console`},
		{"LOG_FAILURE", "", "found an empty value, want continue or refuse"},
		{"LOG_FAILURE", "ignore", `found "ignore", want continue or refuse`},
		{"AUTH_PUBLIC_KEY", "", "found an empty value" + wantKey},
		{"ACCESS_RULES", "", "found an empty value" + wantRules},
		{"ACCESS_RULES", "-----BEGIN PUBLIC KEY-----", "found PEM, want YAML rules"},
		{"ACCESS_RULES", "rules", "found no YAML field, want YAML rules"},
	}
	for _, tt := range tests {
		t.Run(tt.variable+"="+tt.value, func(t *testing.T) {
			environ := required(t)
			environ[tt.variable] = tt.value
			wantFaults(t, environ, config.Fault{Variable: tt.variable, Problem: tt.want})
		})
	}
}

// quoted returns the form in which an error contains a text.
func quoted(s string) string {
	if len(s) <= 64 && !strings.Contains(s, "\n") {
		return strconv.Quote(s)
	}
	return fmt.Sprintf("a text of %d bytes", len(s))
}
