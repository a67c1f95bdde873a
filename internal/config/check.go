package config

import (
	"fmt"

	"github.com/certgate/certgate/internal/core/headers"
)

// checkRelations checks conditions on two or more variables.
func (l *loader) checkRelations(v variables) {
	l.checkListeners(v)
	l.checkUpstreams(v)
	l.checkUpstreamSecurity(v)
	l.checkPeers(v)
	l.checkHeaders(v)
	l.checkAssertions(v)
	l.checkTraces(v)
}

// checkListeners adds a fault for the later of two listeners with one address.
func (l *loader) checkListeners(v variables) {
	all := listeners(v)
	for i, b := range all {
		for _, a := range all[:i] {
			if l.hasFault(a.variable) || l.hasFault(b.variable) || !a.addr.clashes(b.addr) {
				continue
			}
			l.addFault(b.variable, fmt.Sprintf("found %s, want another port than %s %s", quote(string(b.addr)), a.variable, quote(string(a.addr))))
		}
	}
}

// checkPeers adds a fault if a listener for other proxies has no list of peers. There
// is no default, because even a loopback address can be reached by every user of the
// machine.
func (l *loader) checkPeers(v variables) {
	if v.AuthzAddr+v.AuthzGRPCAddr != "" && len(v.AuthzPeers.list) == 0 && !l.hasFault("AUTHZ_PEERS") {
		l.addMissing(l.findSpec(func(spec variableSpec) bool { return spec.Name == "AUTHZ_PEERS" }))
	}
}

func (l *loader) checkHeaders(v variables) {
	if v.ProxyHeader == "" || l.hasFault("AUTH_PROXY_HEADER") {
		return
	}
	name := quote(string(v.ProxyHeader))
	if len(v.TrustedProxies.list) == 0 && !l.hasFault("TRUSTED_PROXIES") {
		l.addFault("AUTH_PROXY_HEADER", fmt.Sprintf("found %s without TRUSTED_PROXIES, want the proxies that attach it in TRUSTED_PROXIES", name))
	}
	if headers.Same(string(v.ProxyHeader), string(v.AuthHeader)) && !l.hasFault("AUTH_HEADER") {
		l.addFault("AUTH_PROXY_HEADER", fmt.Sprintf("found %s, want another header than AUTH_HEADER %s, because a client attaches that one", name, quote(string(v.AuthHeader))))
	}
}
