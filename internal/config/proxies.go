package config

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// proxies are networks without host bits, IPv4 always as IPv4.
type proxies struct {
	list []netip.Prefix
}

func (p *proxies) UnmarshalText(text []byte) error {
	list := []netip.Prefix{}
	for item := range strings.SplitSeq(string(text), ",") {
		prefix, err := parseProxy(strings.TrimSpace(item))
		if err != nil {
			return err
		}
		list = append(list, prefix)
	}
	p.list = list
	return nil
}

func parseProxy(s string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(s); err == nil && addr.Zone() == "" {
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	prefix, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, errors.New(quote(s))
	}
	if prefix != prefix.Masked() {
		return netip.Prefix{}, fmt.Errorf("%s, whose network is %s", quote(s), prefix.Masked())
	}
	if isEverybody(prefix) {
		return netip.Prefix{}, fmt.Errorf("%s, which is everybody", quote(s))
	}
	return unmap(prefix), nil
}

// isEverybody is true for 0.0.0.0/0, ::/0 and every network around
// ::ffff:0:0/96, which is all of IPv4 once more (RFC 4291, section 2.5.5.2).
func isEverybody(p netip.Prefix) bool {
	mapped := netip.AddrFrom16([16]byte{10: 0xff, 11: 0xff})
	return p.Bits() == 0 || p.Bits() <= 96 && p.Contains(mapped)
}

func unmap(p netip.Prefix) netip.Prefix {
	if !p.Addr().Is4In6() {
		return p
	}
	return netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
}

// isVast is a network larger than the largest that is private: 10.0.0.0/8 and
// fc00::/7.
func isVast(p netip.Prefix) bool {
	if p.Addr().Is4() {
		return p.Bits() < 8
	}
	return p.Bits() < 7
}
