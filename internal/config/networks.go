package config

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// networks is a list of networks without host bits, IPv4 always as IPv4.
type networks struct {
	list []netip.Prefix
}

func (p *networks) UnmarshalText(text []byte) error {
	list := []netip.Prefix{}
	for item := range strings.SplitSeq(string(text), ",") {
		prefix, err := parseNetwork(strings.TrimSpace(item))
		if err != nil {
			return err
		}
		list = append(list, prefix)
	}
	p.list = list
	return nil
}

func parseNetwork(s string) (netip.Prefix, error) {
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
	if coversAllAddresses(prefix) {
		return netip.Prefix{}, fmt.Errorf("%s, which contains every address", quote(s))
	}
	return unmap(prefix), nil
}

// coversAllAddresses reports whether a network is 0.0.0.0/0, ::/0 or contains
// ::ffff:0:0/96, the IPv4-mapped addresses (RFC 4291, section 2.5.5.2).
func coversAllAddresses(p netip.Prefix) bool {
	mapped := netip.AddrFrom16([16]byte{10: 0xff, 11: 0xff})
	return p.Bits() == 0 || p.Bits() <= 96 && p.Contains(mapped)
}

func unmap(p netip.Prefix) netip.Prefix {
	if !p.Addr().Is4In6() {
		return p
	}
	return netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
}

// exceedsPrivateNetworks reports whether a network is larger than the largest private
// networks, 10.0.0.0/8 and fc00::/7.
func exceedsPrivateNetworks(p netip.Prefix) bool {
	if p.Addr().Is4() {
		return p.Bits() < 8
	}
	return p.Bits() < 7
}
