package config

import (
	"fmt"
	"reflect"

	"github.com/caarlos0/env/v11"
)

// variables is the environment as it is read. Each field's tags are its
// documentation: desc is the meaning, want completes the sentence of a fault,
// none is what stands for the default where there is no value.
//
// The types check their own values, so that a fault never comes from the
// library, which would quote the value.
type variables struct {
	ListenAddr        address        `env:"LISTEN_ADDR" envDefault:":8080" want:"host:port, such as :8080" desc:"the public listener (plain HTTP behind the TLS load balancer); port 0 works and the bound address is logged"`
	AdminAddr         address        `env:"ADMIN_ADDR" envDefault:"127.0.0.1:9090" want:"host:port, such as 127.0.0.1:9090, or empty for none" desc:"the operator's listener; empty turns it off"`
	AdminHosts        hostNames      `env:"ADMIN_HOSTS" none:"none" want:"1 to 16 host names without port, such as certgate.internal, with commas between and each once" desc:"the names by which the operator's listener may be asked, with commas between, beside localhost and IP addresses; a web page whose name resolves there asks by another"`
	AuthzAddr         address        `env:"AUTHZ_ADDR" none:"none" want:"host:port, such as 127.0.0.1:9191" desc:"the listener that answers other proxies: may this request pass? (/verify)"`
	AuthzGRPCAddr     address        `env:"AUTHZ_GRPC_ADDR" none:"none" want:"host:port, such as 127.0.0.1:9192" desc:"the same for Envoy, over gRPC (ext_authz)"`
	AuthzPeers        proxies        `env:"AUTHZ_PEERS" none:"none" want:"CIDRs or addresses with commas between, such as 10.0.0.0/8" desc:"CIDRs of the proxies that may ask there; required with AUTHZ_ADDR and AUTHZ_GRPC_ADDR; 0.0.0.0/0 and ::/0 refuse to start"`
	PublicKey         string         `env:"AUTH_PUBLIC_KEY" none:"required" want:"1 to 8 PEM public keys or CA certificates, here or in AUTH_PUBLIC_KEY_FILE" desc:"1–8 PEM blocks: public keys or CA certificates; newlines may be the two characters \\n or single spaces, or the whole base64"`
	PublicKeyFile     path           `env:"AUTH_PUBLIC_KEY_FILE" none:"none" want:"the name of a readable file" desc:"the file with the same, instead of AUTH_PUBLIC_KEY; watched"`
	AuthHeader        headerName     `env:"AUTH_HEADER" envDefault:"X-SSL-Auth" want:"a header field name that is no other's, such as X-SSL-Auth" desc:"where clients attach the certificate"`
	ProxyHeader       proxyHeader    `env:"AUTH_PROXY_HEADER" none:"none" want:"the name of the header field that trusted proxies attach, such as Client-Cert" desc:"the one header in which a trusted proxy attaches the certificate of the TLS handshake, such as Client-Cert; only with TRUSTED_PROXIES"`
	ClockSkew         skew           `env:"AUTH_CLOCK_SKEW" envDefault:"60s" want:"a duration from 0s to 24h, such as 60s" desc:"leeway on both ends of a certificate's validity and, up to 5m, of a signature's, 0s to 24h; above 10m with a warning at start: expired certificates are taken that long"`
	MinRSABits        rsaBits        `env:"AUTH_MIN_RSA_BITS" envDefault:"2048" want:"a whole number from 1024 to 8192" desc:"the shortest RSA key that is taken; 1024 lets old keys in, with a warning at start"`
	MaxLifetime       lifetime       `env:"AUTH_MAX_LIFETIME" envDefault:"off" want:"off, or a duration above 0, such as 2160h for 90 days" desc:"refuse certificates whose NotAfter−NotBefore is longer"`
	AllowSharedKey    decision       `env:"AUTH_ALLOW_SHARED_KEY" envDefault:"true" want:"true or false" desc:"false refuses certificates over the master key itself, whose clients own no key (the 2012 recipe)"`
	CRLFile           paths          `env:"AUTH_CRL_FILE" none:"none" want:"the names of readable files with commas between" desc:"files with certificate revocation lists, PEM or DER, with commas between; watched"`
	CRLStale          stale          `env:"AUTH_CRL_STALE" envDefault:"refuse" want:"refuse or use" desc:"when a revocation list is past its nextUpdate: refuse the certificates of its key, or use the list as it is"`
	FailureRate       failureRate    `env:"AUTH_FAILURE_RATE" envDefault:"20" want:"a whole number from 0 to 1000000" desc:"how many failures a second one source may have before its refusals are held back; 0: any number"`
	Proof             proof          `env:"AUTH_PROOF" envDefault:"off" want:"off, observe or require" desc:"whether requests have to be signed with the certificate's key, for the rules that do not say it: require refuses what is not, observe lets it pass and logs why it would be refused"`
	PublicAuthorities authorities    `env:"PUBLIC_AUTHORITY" none:"none" want:"1 to 16 hosts as clients see them, such as schedule.example.com or schedule.example.com:8443, with commas between and each once" desc:"the hosts by which clients know the service, and for which they sign; X-Forwarded-Host is one of them; several with commas between; without it the request's own Host counts, with a warning at start where signatures do"`
	LegacyRSAProof    decision       `env:"AUTH_PROOF_LEGACY_RSA" envDefault:"false" want:"true or false" desc:"true takes signatures of RSA keys by the older rsa-v1_5-sha256, too"`
	RedisURL          redisURL       `env:"REDIS_URL" none:"none" want:"redis://HOST, or rediss://HOST for TLS; whole: redis://USER:PASSWORD@HOST:6379/0" desc:"the Redis server in which replicas remember together which signatures were used; a secret when it has a password; without it each replica remembers its own"`
	RedisDown         redisDown      `env:"REDIS_DOWN" envDefault:"refuse" want:"refuse or remember" desc:"while Redis gives no answers: refuse signed requests with 503, or remember in the process, where a signature can pass once at each replica"`
	AccessRules       string         `env:"ACCESS_RULES" none:"required" want:"YAML rules, here or in ACCESS_RULES_FILE" desc:"the access rules, YAML"`
	AccessRulesFile   path           `env:"ACCESS_RULES_FILE" none:"none" want:"the name of a readable file" desc:"the file with the same, instead of ACCESS_RULES; watched"`
	Upstreams         upstreams      `env:"UPSTREAM_URL,required" none:"required" want:"http:// or https:// with a host and nothing after it, such as http://schedule:8081 (a request keeps its own path); or up to 64 with commas between, each once and all http or all https" desc:"the service behind, not one of the gateway's own addresses; without a path; several addresses with commas between"`
	UpstreamTimeout   timeout        `env:"UPSTREAM_TIMEOUT" envDefault:"30s" want:"a duration above 0, such as 30s" desc:"until the upstream's response header"`
	UpstreamHealth    healthPath     `env:"UPSTREAM_HEALTH_PATH" none:"none" want:"a path, such as /healthz" desc:"asked of each address every 5 seconds; 2xx and 3xx are good"`
	MaxInFlight       most           `env:"MAX_IN_FLIGHT" envDefault:"1024" want:"a whole number from 1 to 1000000" desc:"requests that may be at the upstream at once; more get 503"`
	MaxBody           bodySize       `env:"MAX_BODY_BYTES" envDefault:"1MiB" want:"a size from 1 to 1TiB, such as 1MiB" desc:"larger bodies get 413"`
	MaxCredential     credentialSize `env:"MAX_CREDENTIAL_BYTES" envDefault:"16KiB" want:"a size from 1KiB to 1MiB, such as 16KiB" desc:"larger certificate headers get 431; from 1KiB to 1MiB"`
	TrustedProxies    proxies        `env:"TRUSTED_PROXIES" none:"none" want:"CIDRs or addresses with commas between, such as 10.0.0.0/8" desc:"CIDRs whose X-Forwarded-* and proxy-attached certificate headers are believed; 0.0.0.0/0 and ::/0 refuse to start"`
	EchoPath          echoPath       `env:"ECHO_PATH" none:"none" want:"a path of letters, digits and . _ - between single slashes, such as /certgate/echo" desc:"answers what is asked at this path and below it itself, for certgate doctor: what arrived, in digests, to any verified client; with a warning at start"`
	ShutdownDelay     delay          `env:"SHUTDOWN_DELAY" envDefault:"0s" want:"a duration from 0s on, such as 5s" desc:"how long after SIGTERM requests are still accepted while health checks get 503, so that load balancers learn of it first; a second signal ends it"`
	ShutdownTimeout   timeout        `env:"SHUTDOWN_TIMEOUT" envDefault:"30s" want:"a duration above 0, such as 30s" desc:"how long open requests may take after SIGTERM"`
	ReadHeaderTimeout timeout        `env:"READ_HEADER_TIMEOUT" envDefault:"10s" want:"a duration above 0, such as 10s" desc:"how long a client may take to send the header"`
	ReadTimeout       timeout        `env:"READ_TIMEOUT" envDefault:"60s" want:"a duration above 0, such as 60s" desc:"how long a client may take to send the whole request"`
	WriteTimeout      timeout        `env:"WRITE_TIMEOUT" envDefault:"60s" want:"a duration above 0, such as 60s" desc:"how long a client may take to read a part of the answer"`
	IdleTimeout       timeout        `env:"IDLE_TIMEOUT" envDefault:"120s" want:"a duration above 0, such as 120s" desc:"how long a connection may wait for its next request"`
	MaxConnections    most           `env:"MAX_CONNECTIONS" envDefault:"10000" want:"a whole number from 1 to 1000000" desc:"connections that are open at a time on the public listener; one more gets 503 and is closed"`
	FastPath          decision       `env:"HTTP_FAST_PATH" envDefault:"true" want:"true or false" desc:"false serves and forwards every request with Go's net/http only; FAST_LANE is the former name, accepted with a warning in this release"`
	LogLevel          level          `env:"LOG_LEVEL" envDefault:"info" want:"debug, info, warn or error" desc:"warn and error hide the lines of allowed and refused requests"`
	LogFormat         logFormat      `env:"LOG_FORMAT" envDefault:"json" want:"json or console" desc:"json for machines, console for people"`
	LogFailure        logFailure     `env:"LOG_FAILURE" envDefault:"continue" want:"continue or refuse" desc:"while the log is stuck, full or gone: continue lets requests pass and counts the lines that are lost, refuse answers 503 while no line can be written"`
}

// Variable documents one environment variable.
type Variable struct {
	Name    string
	Default string // the value when unset; or "required", "none"
	Meaning string // one line
}

// Variables lists every variable in the order of the documentation.
func Variables() []Variable {
	described := describe()
	list := make([]Variable, len(described))
	for i, d := range described {
		list[i] = d.Variable
	}
	return list
}

// described is a variable with what its faults need.
type described struct {
	Variable
	field string // of variables; the library names faults by it
	want  string
}

// describe reads the tags. It panics when they are wrong, which every test of
// this package would show.
func describe() []described {
	params, err := env.GetFieldParamsWithOptions(&variables{}, env.Options{Environment: map[string]string{}})
	fields := reflect.TypeFor[variables]()
	if err != nil || len(params) != fields.NumField() {
		panic(fmt.Sprintf("config: want a variable for each field: %v", err))
	}
	list := make([]described, len(params))
	for i, p := range params {
		f := fields.Field(i)
		value := p.DefaultValue
		if !p.HasDefaultValue {
			value = f.Tag.Get("none")
		}
		list[i] = described{
			Variable: Variable{Name: p.Key, Default: value, Meaning: f.Tag.Get("desc")},
			field:    f.Name,
			want:     f.Tag.Get("want"),
		}
	}
	return list
}
