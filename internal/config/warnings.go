package config

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// typoWarnings warns of unknown variables with names similar to known ones.
func (l *loader) typoWarnings() []string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(l.environ)) {
		if meant := closestName(name, l.specs); meant != "" {
			list = append(list, fmt.Sprintf("%s is not a variable of certgate and has no effect; did you mean %s?", quote(name), meant))
		}
	}
	return list
}

// warnings returns warnings about valid values that are probably unintended.
func warnings(v variables) []string {
	var list []string
	warn := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	if v.AdminAddr != "" && !v.AdminAddr.isLoopback() {
		warn("ADMIN_ADDR: %s can be reached from other machines, and the admin listener does not authenticate requests", v.AdminAddr)
	}
	if time.Duration(v.ClockSkew) > longSkew {
		warn("AUTH_CLOCK_SKEW: certificates are accepted until %s after they have expired", time.Duration(v.ClockSkew))
	}
	if v.MinRSABits < weakRSABits {
		warn("AUTH_MIN_RSA_BITS: RSA keys of %d bits can be broken; replace them and set %d", v.MinRSABits, weakRSABits)
	}
	for _, p := range v.AuthzPeers.list {
		if exceedsPrivateNetworks(p) {
			warn("AUTHZ_PEERS: %s is larger than any private network", p)
		}
	}
	for _, p := range v.TrustedProxies.list {
		if exceedsPrivateNetworks(p) {
			warn("TRUSTED_PROXIES: %s is larger than any private network", p)
		}
	}
	if len(v.AuthzPeers.list) > 0 && v.AuthzAddr+v.AuthzGRPCAddr == "" {
		warn("AUTHZ_PEERS: has no effect without AUTHZ_ADDR or AUTHZ_GRPC_ADDR")
	}
	if v.CRLStale.use && len(v.CRLFile.list) == 0 {
		warn("AUTH_CRL_STALE: has no effect without AUTH_CRL_FILE")
	}
	if v.RedisDown.remember && v.RedisURL.server.IsZero() {
		warn("REDIS_DOWN: has no effect without REDIS_URL")
	}
	for _, name := range v.assertionsWithoutKey() {
		warn("%s: has no effect without ASSERTION_KEY_FILE", name)
	}
	if v.EchoPath != "" {
		warn("ECHO_PATH: requests at and below %s are answered by the gateway for any verified client and not forwarded; remove the setting after running certgate doctor", v.EchoPath)
	}
	if v.LogLevel > 0 {
		warn("LOG_LEVEL: above info, the lines of allowed and refused requests are omitted")
	}
	return list
}
