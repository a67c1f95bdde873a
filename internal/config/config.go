// Package config parses and validates the environment variables of the gateway.
//
// [Load] reports every fault of an environment in one run, each with the name of
// its variable. Nothing that grants access has a default, an empty value is a fault
// and never selects the default, and errors never contain the values of
// AUTH_PUBLIC_KEY and REDIS_URL.
package config

import (
	"crypto/sha256"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap/zapcore"

	"github.com/certgate/certgate/internal/config/rules"
	"github.com/certgate/certgate/internal/core/access"
	"github.com/certgate/certgate/internal/core/identity"
	"github.com/certgate/certgate/internal/core/trust"
	"github.com/certgate/certgate/internal/filewatch/regularfile"
	"github.com/certgate/certgate/internal/guard/resp"
	"github.com/certgate/certgate/internal/proxy/assertion"
	"github.com/certgate/certgate/internal/proxy/dialer"
)

// Config is a configuration that [Load] has validated. The zero value trusts no
// certificate and grants no request.
type Config struct {
	ListenAddr string // host:port
	AdminAddr  string // host:port, or empty to disable the admin listener
	// AdminHosts lists host names that requests to the admin listener may use, in
	// lower case, in addition to the host of AdminAddr, localhost and IP addresses.
	AdminHosts []string
	AuthzAddr  string // host:port, or empty to disable decisions over HTTP
	// AuthzGRPCAddr is host:port, or empty to disable decisions over gRPC.
	AuthzGRPCAddr string
	// AuthzPeers lists the networks that may connect to AuthzAddr and AuthzGRPCAddr,
	// masked, IPv4 as IPv4. It is not empty if either address is set.
	AuthzPeers []netip.Prefix
	AuthHeader string // as written, not in canonical form
	// ProxyHeader is the header field in which TrustedProxies send the client
	// certificate of the TLS handshake, as written, or empty for none. It is never
	// AuthHeader.
	ProxyHeader string

	// Identity is the source of client names in certificates of anchors for which the
	// rules name no other source.
	Identity identity.Source

	Limits      trust.Limits
	Keyring     *trust.Keyring
	KeyringFile string // the file that contained the keyring, or empty
	Rules       rules.Document
	RulesFile   string // the file that contained the rules, or empty

	// Next has the rules that decisions are compared with, or nil.
	Next       *rules.Document
	NextFile   string           // the file of the next rules, which may be missing, or empty
	NextText   regularfile.File // the content of NextFile
	NextFaults []Fault          // in NextFile; there are no next rules then

	FailureRate int // failures per second and source; 0 means no limit

	Proof access.Proof // for rules without a proof field; never empty
	// PublicAuthorities lists the hosts for which clients sign, in lower case, without
	// the ports 80 and 443. If it is nil, the Host of each request is used.
	PublicAuthorities []string
	LegacyRSAProof    bool // whether rsa-v1_5-sha256 is accepted

	Redis resp.Server // stores nonces for all replicas; the zero Server means none
	// RedisRemember makes the process store nonces itself while Redis is unreachable.
	RedisRemember bool

	// FileSums has the SHA-256 of each file that contained the keyring, rules, a
	// revocation list or the assertion keys, by file name.
	FileSums map[string][sha256.Size]byte

	CRLs       []*trust.CRL       // signed by anchors of Keyring
	CRLFiles   []string           // the files that contained the lists; nil means none
	CRLTexts   []regularfile.File // the contents of CRLFiles
	CRLStaleOK bool               // whether a list is used past its nextUpdate

	Upstreams          []*url.URL // 1 to 64 different addresses with one scheme, as in package upstream
	UpstreamTimeout    time.Duration
	UpstreamHealthPath string // requested from each address, or empty for no health checks
	UpstreamSecurity   dialer.Security
	UpstreamFiles      UpstreamFiles // the files that contained UpstreamSecurity
	MaxInFlight        int

	ShutdownDelay     time.Duration // from SIGTERM until the drain
	ShutdownTimeout   time.Duration
	ReadHeaderTimeout time.Duration
	ReadTimeout       time.Duration
	WriteTimeout      time.Duration // for each part of a response
	IdleTimeout       time.Duration

	FastPath       bool // whether the fast path serves and forwards plain requests
	MaxConnections int  // open connections on the public listener

	MaxBodyBytes       int64
	MaxCredentialBytes int
	TrustedProxies     []netip.Prefix // masked, IPv4 as IPv4; nil means none

	EchoPath string // the path of the echo for certgate doctor, or empty for none

	AssertionKeys     []assertion.Key // the first one signs; nil means no assertions
	AssertionKeyFile  string          // the file that contained the keys, or empty
	AssertionIssuer   string
	AssertionAudience string
	AssertionBind     bool // whether each assertion is bound to its request

	LogLevel  zapcore.Level
	LogFormat string // "json" or "console"
	// LogFailure selects what happens to requests while the log cannot be written:
	// "continue" or "refuse".
	LogFailure string

	Settings []Setting // every variable without secrets, in the order of the documentation
	// TraceEndpoint is the base URL of the OpenTelemetry collector, or nil for no spans.
	TraceEndpoint *url.URL

	Warnings []string // valid settings that are probably unintended, logged at start
}

// Load parses and validates an environment, such as env.ToMap(os.Environ()). A nil
// map is an empty environment. Load reads the files that the _FILE variables name. The
// error is an [*Error] with every fault; the Config is the zero value then.
func Load(environ map[string]string) (Config, error) {
	l := newLoader(environ)
	v := l.parse()
	ring := l.keyring(v)
	security, securityFiles := l.upstreamSecurity(v)
	c := Config{
		ListenAddr:         string(v.ListenAddr),
		AdminAddr:          string(v.AdminAddr),
		AdminHosts:         v.AdminHosts.list,
		AuthzAddr:          string(v.AuthzAddr),
		AuthzGRPCAddr:      string(v.AuthzGRPCAddr),
		AuthzPeers:         v.AuthzPeers.list,
		AuthHeader:         string(v.AuthHeader),
		ProxyHeader:        string(v.ProxyHeader),
		Identity:           identity.Source(v.Identity),
		Limits:             v.limits(),
		FailureRate:        int(v.FailureRate),
		Proof:              access.Proof(v.Proof),
		PublicAuthorities:  v.PublicAuthorities.list,
		LegacyRSAProof:     bool(v.LegacyRSAProof),
		Redis:              v.RedisURL.server,
		RedisRemember:      v.RedisDown.remember,
		Keyring:            ring,
		KeyringFile:        string(v.PublicKeyFile),
		Rules:              l.rules(v, ring),
		RulesFile:          string(v.AccessRulesFile),
		CRLs:               l.crls(v, ring),
		CRLFiles:           v.CRLFile.list,
		CRLStaleOK:         v.CRLStale.use,
		Upstreams:          v.Upstreams.list,
		UpstreamTimeout:    time.Duration(v.UpstreamTimeout),
		UpstreamHealthPath: string(v.UpstreamHealth),
		UpstreamSecurity:   security,
		UpstreamFiles:      securityFiles,
		MaxInFlight:        int(v.MaxInFlight),
		ShutdownDelay:      time.Duration(v.ShutdownDelay),
		ShutdownTimeout:    time.Duration(v.ShutdownTimeout),
		ReadHeaderTimeout:  time.Duration(v.ReadHeaderTimeout),
		ReadTimeout:        time.Duration(v.ReadTimeout),
		WriteTimeout:       time.Duration(v.WriteTimeout),
		IdleTimeout:        time.Duration(v.IdleTimeout),
		FastPath:           bool(v.FastPath),
		MaxConnections:     int(v.MaxConnections),
		MaxBodyBytes:       int64(v.MaxBody),
		MaxCredentialBytes: int(v.MaxCredential),
		TrustedProxies:     v.TrustedProxies.list,
		EchoPath:           string(v.EchoPath),
		LogLevel:           zapcore.Level(v.LogLevel),
		LogFormat:          string(v.LogFormat),
		LogFailure:         string(v.LogFailure),
		TraceEndpoint:      v.TraceEndpoint.url,
	}
	l.loadNextRules(v, &c)
	l.loadAssertions(v, &c)
	c.FileSums, c.CRLTexts, c.Settings = l.sums, l.crlTexts, l.settings(v)
	l.checkRelations(v)
	if err := l.err(); err != nil {
		return Config{}, err
	}
	c.Warnings = slices.Concat(l.typoWarnings(), l.warnings, warnings(v), c.signatureWarnings())
	return c, nil
}

// signatureWarnings warns if signatures are verified for any host.
func (c Config) signatureWarnings() []string {
	if len(c.PublicAuthorities) == 0 && checksSignatures(c.Rules.Policy, c.Proof) {
		return []string{warnNoAuthority}
	}
	return nil
}

// limits returns the limits that every certificate must meet.
func (v *variables) limits() trust.Limits {
	return trust.Limits{
		ClockSkew:       time.Duration(v.ClockSkew),
		MinRSABits:      int(v.MinRSABits),
		MaxLifetime:     time.Duration(v.MaxLifetime),
		RefuseSharedKey: !bool(v.AllowSharedKey),
	}
}

// UpstreamURL returns the upstream addresses in the syntax of UPSTREAM_URL.
func (c Config) UpstreamURL() string {
	var list []string
	for _, u := range c.Upstreams {
		list = append(list, u.String())
	}
	return strings.Join(list, ",")
}

// Verifier returns a verifier with the keyring, deny list, limits and revocation lists
// of the configuration. It does not change with the configuration: after a reload the
// caller requests another one. The verifier of the zero Config trusts no certificate.
func (c Config) Verifier() *trust.Verifier { return c.verifierWith(c.Rules.Revocations) }

func (c Config) verifierWith(denied *trust.Revocations) *trust.Verifier {
	return trust.NewVerifier(c.Keyring, denied, c.Limits).WithCRLs(c.CRLs, c.CRLStaleOK)
}
