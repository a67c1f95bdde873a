package config

import (
	"net"
	"net/url"
)

// Reaches is machine.reaches on a machine with these addresses and name.
func Reaches(u *url.URL, listen, hostname string, addresses ...net.Addr) bool {
	m := machine{
		addresses: func() ([]net.Addr, error) { return addresses, nil },
		hostname:  func() (string, error) { return hostname, nil },
	}
	return m.reaches(u, address(listen))
}
