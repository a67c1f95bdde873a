package config

import (
	"fmt"
	"reflect"

	"github.com/caarlos0/env/v11"
)

// variables holds the parsed environment. The tags of a field document the variable:
// help describes it, group is its heading in the reference, want completes the error
// message "found …, want …", and unset replaces the default of a variable without one.
//
// Each type validates its own value, because env includes the value in its errors, and
// the value may be a secret.
type variables struct {
	ListenAddr      address   `env:"LISTEN_ADDR" envDefault:":8080" want:"host:port, such as :8080" group:"listeners" help:"the public listener, plain HTTP, for the TLS-terminating load balancer; with port 0 the system chooses a port, which is logged"`
	AdminAddr       address   `env:"ADMIN_ADDR" envDefault:"127.0.0.1:9090" want:"host:port, such as 127.0.0.1:9090, or empty to turn it off" group:"listeners" help:"the admin listener (status page, health, metrics, log level); an empty value turns it off"`
	AdminHosts      hostNames `env:"ADMIN_HOSTS" unset:"none" want:"1 to 16 host names without port, such as certgate.internal, separated by commas, without repetition" group:"listeners" help:"host names that requests to the admin listener may use, separated by commas, in addition to localhost and IP addresses; other names are refused as a protection against DNS rebinding"`
	AuthzAddr       address   `env:"AUTHZ_ADDR" unset:"none" want:"host:port, such as 127.0.0.1:9191" group:"listeners" help:"the listener for external authorization over HTTP (/verify), such as nginx auth_request"`
	AuthzGRPCAddr   address   `env:"AUTHZ_GRPC_ADDR" unset:"none" want:"host:port, such as 127.0.0.1:9192" group:"listeners" help:"the listener for Envoy's external authorization over gRPC (ext_authz)"`
	AuthzPeers      networks  `env:"AUTHZ_PEERS" unset:"none" want:"CIDRs or addresses separated by commas, such as 10.0.0.0/8" group:"listeners" help:"CIDRs of the proxies that may connect to AUTHZ_ADDR and AUTHZ_GRPC_ADDR; required with either; 0.0.0.0/0 and ::/0 are configuration errors"`
	EchoPath        echoPath  `env:"ECHO_PATH" unset:"none" want:"a path of letters, digits and . _ - between single slashes, such as /certgate/echo" group:"listeners" help:"answers requests at this path and below it with digests of the received header fields, to any verified client, for certgate doctor; logs a warning at start"`
	ShutdownDelay   delay     `env:"SHUTDOWN_DELAY" envDefault:"0s" want:"a duration of at least 0s, such as 5s" group:"listeners" help:"how long requests are still accepted after SIGTERM while health checks return 503, so that load balancers stop sending requests; a second signal ends the delay"`
	ShutdownTimeout timeout   `env:"SHUTDOWN_TIMEOUT" envDefault:"30s" want:"a duration above 0, such as 30s" group:"listeners" help:"how long requests in flight may take after SIGTERM"`
	FastPath        boolean   `env:"HTTP_FAST_PATH" envDefault:"true" want:"true or false" group:"listeners" help:"false serves and forwards every request with Go's net/http only; FAST_LANE is the former name, accepted with a warning in this release"`

	PublicKey      string         `env:"AUTH_PUBLIC_KEY" unset:"required" want:"1 to 8 PEM public keys or CA certificates, here or in AUTH_PUBLIC_KEY_FILE" group:"trust" help:"the master public keys: 1–8 PEM blocks, public keys or CA certificates; line breaks may be literal \\n sequences or single spaces, and base64 of the whole PEM is accepted"`
	PublicKeyFile  fileName       `env:"AUTH_PUBLIC_KEY_FILE" unset:"none" want:"the name of a readable file" group:"trust" help:"a file with the content of AUTH_PUBLIC_KEY, instead of that variable; watched"`
	Identity       identitySource `env:"AUTH_IDENTITY" envDefault:"ou" want:"ou, cn, uri, dns or email" group:"trust" help:"the part of a certificate that holds the client's name: ou (organizational unit) or cn (common name) of the subject, or uri, dns or email among the subject alternative names; exactly one value of that kind is required, and the others are not used"`
	AuthHeader     headerName     `env:"AUTH_HEADER" envDefault:"X-SSL-Auth" want:"a header field name without another purpose, such as X-SSL-Auth" group:"trust" help:"the header field in which clients send their certificate"`
	ProxyHeader    proxyHeader    `env:"AUTH_PROXY_HEADER" unset:"none" want:"the name of the header field that trusted proxies attach, such as Client-Cert" group:"trust" help:"the header field in which trusted proxies send the client certificate of the TLS handshake, such as Client-Cert; requires TRUSTED_PROXIES"`
	TrustedProxies networks       `env:"TRUSTED_PROXIES" unset:"none" want:"CIDRs or addresses separated by commas, such as 10.0.0.0/8" group:"trust" help:"CIDRs of the proxies whose X-Forwarded-* and client certificate headers are trusted; 0.0.0.0/0 and ::/0 are configuration errors"`
	ClockSkew      clockSkew      `env:"AUTH_CLOCK_SKEW" envDefault:"60s" want:"a duration from 0s to 24h, such as 60s" group:"trust" help:"tolerance at both ends of a certificate's validity period, 0s to 24h, and of a signature's, at most 5m; above 10m a warning is logged at start"`
	MaxLifetime    lifetime       `env:"AUTH_MAX_LIFETIME" envDefault:"off" want:"off, or a duration above 0, such as 2160h for 90 days" group:"trust" help:"the longest validity period (NotAfter−NotBefore) of an accepted certificate"`
	CRLFile        fileNames      `env:"AUTH_CRL_FILE" unset:"none" want:"the names of readable files, separated by commas" group:"trust" help:"files with certificate revocation lists, PEM or DER, separated by commas; watched"`
	CRLStale       crlStalePolicy `env:"AUTH_CRL_STALE" envDefault:"refuse" want:"refuse or use" group:"trust" help:"what happens when a revocation list is past its nextUpdate: refuse refuses certificates signed by its key, use keeps using the list"`

	AccessRules     string   `env:"ACCESS_RULES" unset:"required" want:"YAML rules, here or in ACCESS_RULES_FILE" group:"rules" help:"the access rules and the deny list, YAML"`
	AccessRulesFile fileName `env:"ACCESS_RULES_FILE" unset:"none" want:"the name of a readable file" group:"rules" help:"a file with the content of ACCESS_RULES, instead of that variable; watched"`
	NextRules       string   `env:"ACCESS_RULES_NEXT" unset:"none" want:"YAML rules" group:"rules" help:"rules that each request is compared with, without an effect on it; the log and a metric show what would change"`
	NextRulesFile   fileName `env:"ACCESS_RULES_NEXT_FILE" unset:"none" want:"the name of a file in an existing folder" group:"rules" help:"a file with the content of ACCESS_RULES_NEXT, instead of that variable; watched; without the file there are no next rules, and an error in it is logged"`

	Upstreams          upstreams  `env:"UPSTREAM_URL,required" unset:"required" want:"http:// or https:// with a host and nothing after it, such as http://schedule:8081 (a request keeps its own path), or unix: with the absolute path of a socket, such as unix:/run/schedule.sock; or up to 64 separated by commas, without repetition, all http, all https or all unix" group:"upstream" help:"the addresses of the service, without a path, separated by commas; unix:/run/schedule.sock is a socket on the same machine; an address of the gateway itself is a configuration error"`
	UpstreamTimeout    timeout    `env:"UPSTREAM_TIMEOUT" envDefault:"30s" want:"a duration above 0, such as 30s" group:"upstream" help:"how long the upstream may take until its response header"`
	UpstreamCAFile     fileName   `env:"UPSTREAM_CA_FILE" unset:"none" want:"the name of a readable file" group:"upstream" help:"a file with the PEM certificates of the CAs that may issue the certificate of an https service, instead of the system's CAs; watched"`
	UpstreamCertFile   fileName   `env:"UPSTREAM_CERT_FILE" unset:"none" want:"the name of a readable file with the PEM certificate of UPSTREAM_KEY_FILE" group:"upstream" help:"a file with the PEM certificate, and its chain, with which the gateway authenticates itself to an https service; watched; requires UPSTREAM_KEY_FILE"`
	UpstreamKeyFile    fileName   `env:"UPSTREAM_KEY_FILE" unset:"none" want:"the name of a readable file with the PEM private key of UPSTREAM_CERT_FILE" group:"upstream" help:"a file with the PEM private key of UPSTREAM_CERT_FILE, not encrypted; watched"`
	UpstreamServerName serverName `env:"UPSTREAM_SERVER_NAME" unset:"none" want:"a host name or an IP address without port, such as schedule.internal" group:"upstream" help:"the name that the certificate of an https service must have, also sent as SNI; without it the host in UPSTREAM_URL"`
	UpstreamHealth     healthPath `env:"UPSTREAM_HEALTH_PATH" unset:"none" want:"a path, such as /healthz" group:"upstream" help:"the path requested from each upstream address every 5 seconds; 2xx and 3xx mean healthy"`
	MaxInFlight        countLimit `env:"MAX_IN_FLIGHT" envDefault:"1024" want:"a whole number from 1 to 1000000" group:"upstream" help:"the number of requests at the upstream at a time; further requests get 503"`

	Proof             proofMode   `env:"AUTH_PROOF" envDefault:"off" want:"off, observe or require" group:"signatures" help:"whether requests must be signed with the certificate's key, for rules without a proof field: require refuses unsigned requests, observe lets them pass and logs the reason for which they would be refused"`
	PublicAuthorities authorities `env:"PUBLIC_AUTHORITY" unset:"none" want:"1 to 16 hosts as clients address them, such as schedule.example.com or schedule.example.com:8443, separated by commas, without repetition" group:"signatures" help:"the hosts by which clients address the service and for which they sign, separated by commas; X-Forwarded-Host is one of them; without this setting the request's own Host is used, and a warning is logged at start if signatures are verified"`
	RedisURL          redisURL    `env:"REDIS_URL" unset:"none" want:"redis://HOST, or rediss://HOST for TLS; complete form: redis://USER:PASSWORD@HOST:6379/0" group:"signatures" help:"the Redis server in which replicas share the nonces of signed requests and the inventory of clients and keys in use; a secret if it contains a password; without it each replica stores its own"`
	RedisDown         redisDown   `env:"REDIS_DOWN" envDefault:"refuse" want:"refuse or remember" group:"signatures" help:"what happens while Redis does not respond: refuse refuses signed requests with 503, remember stores nonces in the process, so that a signature can pass once at each replica"`

	FailureRate       failureRate    `env:"AUTH_FAILURE_RATE" envDefault:"20" want:"a whole number from 0 to 1000000" group:"limits" help:"failures per second that one source may have before its refusals are delayed; 0 means no limit"`
	MaxBody           bodySize       `env:"MAX_BODY_BYTES" envDefault:"1MiB" want:"a size from 1 to 1TiB, such as 1MiB" group:"limits" help:"the largest request body; larger bodies get 413"`
	MaxCredential     credentialSize `env:"MAX_CREDENTIAL_BYTES" envDefault:"16KiB" want:"a size from 1KiB to 1MiB, such as 16KiB" group:"limits" help:"the largest certificate header, from 1KiB to 1MiB; larger ones get 431"`
	ReadHeaderTimeout timeout        `env:"READ_HEADER_TIMEOUT" envDefault:"10s" want:"a duration above 0, such as 10s" group:"limits" help:"how long a client may take to send the request header"`
	ReadTimeout       timeout        `env:"READ_TIMEOUT" envDefault:"60s" want:"a duration above 0, such as 60s" group:"limits" help:"how long a client may take to send the whole request"`
	WriteTimeout      timeout        `env:"WRITE_TIMEOUT" envDefault:"60s" want:"a duration above 0, such as 60s" group:"limits" help:"how long a client may take to read one part of the response"`
	IdleTimeout       timeout        `env:"IDLE_TIMEOUT" envDefault:"120s" want:"a duration above 0, such as 120s" group:"limits" help:"how long a connection may stay idle between requests"`
	MaxConnections    countLimit     `env:"MAX_CONNECTIONS" envDefault:"10000" want:"a whole number from 1 to 1000000" group:"limits" help:"open connections on the public listener; further connections get 503 and are closed"`

	AssertionKeyFile  fileName      `env:"ASSERTION_KEY_FILE" unset:"none" want:"the name of a readable file" group:"assertions" help:"a file with 1 or 2 private keys (Ed25519 or P-256, PEM) for the signed assertion that each request to the service carries; the first key signs, the public keys of both are at /.well-known/jwks.json; watched; without this setting there are no assertions"`
	AssertionIssuer   assertionName `env:"ASSERTION_ISSUER" unset:"none" want:"1 to 255 printable ASCII characters without spaces, such as https://gateway.example.com, with ASSERTION_KEY_FILE" group:"assertions" help:"the issuer (iss) of assertions; required with ASSERTION_KEY_FILE"`
	AssertionAudience assertionName `env:"ASSERTION_AUDIENCE" unset:"none" want:"1 to 255 printable ASCII characters without spaces, such as schedule, with ASSERTION_KEY_FILE" group:"assertions" help:"the audience (aud) of assertions, a name of the service that no other service has; required with ASSERTION_KEY_FILE"`
	AssertionBind     assertionBind `env:"ASSERTION_BIND" envDefault:"off" want:"off or request" group:"assertions" help:"request signs a new assertion for each request, with its method, path, query and the digest of its body; off sends an assertion up to 50 seconds with the requests of one certificate and rule"`

	LogLevel   logLevel   `env:"LOG_LEVEL" envDefault:"info" want:"debug, info, warn or error" group:"logs" help:"the lowest level that is logged; warn and error omit the lines of allowed and refused requests"`
	LogFormat  logFormat  `env:"LOG_FORMAT" envDefault:"json" want:"json or console" group:"logs" help:"json for machines, console for people"`
	LogFailure logFailure `env:"LOG_FAILURE" envDefault:"continue" want:"continue or refuse" group:"logs" help:"what happens while the log cannot be written: continue serves requests and counts the lost lines, refuse responds with 503"`

	TraceEndpoint traceEndpoint `env:"OTEL_EXPORTER_OTLP_ENDPOINT" unset:"none" want:"the URL of an OpenTelemetry collector without query and user information, such as http://collector:4318" group:"logs" help:"the base URL of the OpenTelemetry collector that gets spans over OTLP/HTTP, at v1/traces below it; without this setting there are no spans"`

	MinRSABits     rsaBits `env:"AUTH_MIN_RSA_BITS" envDefault:"2048" want:"a whole number from 1024 to 8192" group:"old installations" help:"the shortest accepted RSA key; 1024 accepts keys of old installations and logs a warning at start"`
	AllowSharedKey boolean `env:"AUTH_ALLOW_SHARED_KEY" envDefault:"true" want:"true or false" group:"old installations" help:"false refuses certificates that contain the master key instead of a key of the client (the 2012 recipe)"`
	LegacyRSAProof boolean `env:"AUTH_PROOF_LEGACY_RSA" envDefault:"false" want:"true or false" group:"old installations" help:"true also accepts RSA signatures with the older algorithm rsa-v1_5-sha256"`
}

// Variable documents one environment variable.
type Variable struct {
	Name    string
	Default string // the value when unset, or "required" or "none"
	Group   string // the heading in the reference, such as "listeners"
	Help    string // one line
}

// Variables lists every variable in the order of the documentation. Variables of one
// group are adjacent.
func Variables() []Variable {
	specs := variableSpecs()
	list := make([]Variable, len(specs))
	for i, spec := range specs {
		list[i] = spec.Variable
	}
	return list
}

// variableSpec is a variable with the parts of its error messages.
type variableSpec struct {
	Variable

	field string // the field of variables, which env names in its errors
	want  string
}

// variableSpecs reads the tags of variables. It panics if a tag is wrong, which every
// test of this package detects.
func variableSpecs() []variableSpec {
	params, err := env.GetFieldParamsWithOptions(&variables{}, env.Options{Environment: map[string]string{}})
	fields := reflect.TypeFor[variables]()
	if err != nil || len(params) != fields.NumField() {
		panic(fmt.Sprintf("config: want a variable for each field: %v", err))
	}
	list := make([]variableSpec, len(params))
	for i, p := range params {
		f := fields.Field(i)
		value := p.DefaultValue
		if !p.HasDefaultValue {
			value = f.Tag.Get("unset")
		}
		list[i] = variableSpec{
			Variable: Variable{Name: p.Key, Default: value, Group: f.Tag.Get("group"), Help: f.Tag.Get("help")},
			field:    f.Name,
			want:     f.Tag.Get("want"),
		}
	}
	return list
}
