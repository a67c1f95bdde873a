// Package config turns the environment into a checked configuration.
//
// [Load] reports every fault of an environment in one run, each by the name of
// its variable. Nothing that grants access has a default, an empty value is a
// fault and never the default, and the contents of AUTH_PUBLIC_KEY and REDIS_URL
// are in no error.
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
	"github.com/certgate/certgate/internal/core/trust"
	"github.com/certgate/certgate/internal/filewatch/regularfile"
	"github.com/certgate/certgate/internal/guard/replay"
)

// Config is a configuration that [Load] has checked. The zero value trusts
// nobody and allows nothing.
type Config struct {
	ListenAddr string // host:port
	AdminAddr  string // host:port, or empty: no operator's listener
	// AdminHosts are the names by which the operator's listener may be asked, lower
	// case, beside the one in AdminAddr, localhost and IP addresses.
	AdminHosts []string
	AuthzAddr  string // host:port, or empty: no listener for other proxies
	// AuthzGRPCAddr is host:port, or empty: no listener for Envoy.
	AuthzGRPCAddr string
	// AuthzPeers are the proxies that may ask at the two, masked, IPv4 as IPv4; not
	// empty when one of these is not.
	AuthzPeers []netip.Prefix
	AuthHeader string // as written, not in canonical form
	// ProxyHeader is in what TrustedProxies attach the certificate of the TLS
	// handshake, as written; or empty: there is none. It is never AuthHeader.
	ProxyHeader string

	Limits      trust.Limits
	Keyring     *trust.Keyring
	KeyringFile string // the file the keyring was read from, or empty
	Rules       rules.Document
	RulesFile   string // the file the rules were read from, or empty

	FailureRate int // failures of one source, a second; 0: any number

	Proof access.Proof // for the rules that say nothing of it; never unsaid
	// PublicAuthorities are the hosts that clients sign for, lower case, without
	// port 80 and 443; nil: whatever a request asks for.
	PublicAuthorities []string
	LegacyRSAProof    bool // whether rsa-v1_5-sha256 is taken

	Redis replay.Server // where replicas remember nonces together, or the zero Server
	// RedisRemember is whether the process remembers for itself while Redis is gone.
	RedisRemember bool

	// FileSums are the SHA-256 of the files that Keyring, Rules and CRLs were read
	// from, by name.
	FileSums map[string][sha256.Size]byte

	CRLs       []*trust.CRL       // signed by anchors of Keyring
	CRLFiles   []string           // the files the lists were read from; nil: none
	CRLTexts   []regularfile.File // the contents of CRLFiles
	CRLStaleOK bool               // whether a list is used past its nextUpdate

	Upstreams          []*url.URL // 1 to 64 different ones, scheme and host only
	UpstreamTimeout    time.Duration
	UpstreamHealthPath string // what each address is asked, or empty: nothing
	MaxInFlight        int

	ShutdownDelay     time.Duration // from SIGTERM until the drain; 0: none
	ShutdownTimeout   time.Duration
	ReadHeaderTimeout time.Duration
	ReadTimeout       time.Duration
	WriteTimeout      time.Duration // of each part of an answer
	IdleTimeout       time.Duration

	FastPath       bool // whether the fast path serves and forwards plain requests instead of net/http
	MaxConnections int  // open at a time on the public listener

	MaxBodyBytes       int64
	MaxCredentialBytes int
	TrustedProxies     []netip.Prefix // masked, IPv4 as IPv4; nil: none

	EchoPath string // the path of the echo for certgate doctor, or empty: there is none

	LogLevel  zapcore.Level
	LogFormat string // "json" or "console"
	// LogFailure is "continue" or "refuse": what happens to requests while the log
	// cannot be written.
	LogFailure string

	Warnings []string // what works and is probably not meant, for the log at start
}

// Load checks an environment, such as env.ToMap(os.Environ()); nil is an empty
// one. It reads the files that the _FILE variables name. The error is an
// [*Error] with every fault, and then the Config is the zero value.
func Load(environ map[string]string) (Config, error) {
	l := newLoader(environ)
	v := l.parse()
	ring := l.keyring(v)
	c := Config{
		ListenAddr:         string(v.ListenAddr),
		AdminAddr:          string(v.AdminAddr),
		AdminHosts:         v.AdminHosts.list,
		AuthzAddr:          string(v.AuthzAddr),
		AuthzGRPCAddr:      string(v.AuthzGRPCAddr),
		AuthzPeers:         v.AuthzPeers.list,
		AuthHeader:         string(v.AuthHeader),
		ProxyHeader:        string(v.ProxyHeader),
		Limits:             v.limits(),
		FailureRate:        int(v.FailureRate),
		Proof:              access.Proof(v.Proof),
		PublicAuthorities:  v.PublicAuthorities.list,
		LegacyRSAProof:     bool(v.LegacyRSAProof),
		Redis:              v.RedisURL.server,
		RedisRemember:      v.RedisDown.remember,
		Keyring:            ring,
		KeyringFile:        string(v.PublicKeyFile),
		Rules:              l.rules(v),
		RulesFile:          string(v.AccessRulesFile),
		CRLs:               l.crls(v, ring),
		CRLFiles:           v.CRLFile.list,
		CRLStaleOK:         v.CRLStale.ok,
		Upstreams:          v.Upstreams.list,
		UpstreamTimeout:    time.Duration(v.UpstreamTimeout),
		UpstreamHealthPath: string(v.UpstreamHealth),
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
	}
	c.FileSums, c.CRLTexts = l.sums, l.crlTexts
	l.compare(v)
	if err := l.err(); err != nil {
		return Config{}, err
	}
	c.Warnings = slices.Concat(l.typos(), l.warnings, warnings(v))
	if len(c.PublicAuthorities) == 0 && looksAtSignatures(c.Rules.Policy, c.Proof) {
		c.Warnings = append(c.Warnings, warnNoAuthority)
	}
	return c, nil
}

// limits returns what a certificate has to keep to.
func (v *variables) limits() trust.Limits {
	return trust.Limits{
		ClockSkew:       time.Duration(v.ClockSkew),
		MinRSABits:      int(v.MinRSABits),
		MaxLifetime:     time.Duration(v.MaxLifetime),
		RefuseSharedKey: !bool(v.AllowSharedKey),
	}
}

// UpstreamURL is the addresses as UPSTREAM_URL may have them.
func (c Config) UpstreamURL() string {
	var list []string
	for _, u := range c.Upstreams {
		list = append(list, u.String())
	}
	return strings.Join(list, ",")
}

// Verifier joins keyring, deny list, limits and revocation lists. To have a new
// content of a file in force, change the field and ask for another Verifier. The
// zero Config's trusts nobody.
func (c Config) Verifier() *trust.Verifier {
	return trust.NewVerifier(c.Keyring, c.Rules.Revocations, c.Limits).WithCRLs(c.CRLs, c.CRLStaleOK)
}
