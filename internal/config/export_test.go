package config

import (
	"net"
	"net/url"
)

// Reaches calls machine.reaches for a machine with the addresses and the host name.
func Reaches(u *url.URL, listen, hostname string, addresses ...net.Addr) bool {
	m := machine{
		addresses: func() ([]net.Addr, error) { return addresses, nil },
		hostname:  func() (string, error) { return hostname, nil },
	}
	return m.reaches(u, address(listen))
}
