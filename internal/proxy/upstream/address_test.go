package upstream_test

import (
	"net/url"
	"testing"

	"github.com/certgate/certgate/internal/proxy/upstream"
)

// TestAddress checks where a request to each kind of address is sent, and its Host.
func TestAddress(t *testing.T) {
	tests := []struct {
		url                            *url.URL
		network, address, scheme, host string
	}{
		{&url.URL{Scheme: "http", Host: "a"}, "tcp", "a:80", "http", "a"},
		{&url.URL{Scheme: "https", Host: "a:8443"}, "tcp", "a:8443", "https", "a:8443"},
		{upstream.UnixURL("/run/a?b%20.sock"), "unix", "/run/a?b%20.sock", "http", "localhost"},
	}
	for _, tt := range tests {
		network, address := upstream.Endpoint(tt.url)
		scheme, host := upstream.Origin(tt.url)
		if network != tt.network || address != tt.address || scheme != tt.scheme || host != tt.host {
			t.Errorf("%s: want %s %s, %s %s; found %s %s, %s %s", tt.url, tt.network, tt.address, tt.scheme, tt.host, network, address, scheme, host)
		}
	}
}
