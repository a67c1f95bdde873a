package sameorigin_test

import (
	"net/http"
	"testing"

	"github.com/certgate/certgate/internal/core/sameorigin"
)

func TestContains(t *testing.T) {
	hosts := sameorigin.NewHosts("ops.internal:9090", "", "Gateway", "::1")
	for host, want := range map[string]bool{
		"": true, "127.0.0.1": true, "127.0.0.1:9090": true, "10.1.2.3:9090": true, "[::1]": true, "[::1]:9090": true,
		"localhost": true, "LOCALHOST:9090": true, "localhost.": true, "app.localhost:1": true,
		"ops.internal": true, "Ops.Internal:80": true, "ops.internal.": true, "gateway:9090": true,
		"0.0.0.0": false, "0.0.0.0:9090": false, "[::]:9090": false, "[::ffff:0.0.0.0]:9090": false, "[::%25lo]:1": false, "[fe80::1%25eth0]:9090": false,
		"0.1.2.3": false, "[::ffff:127.0.0.1]:9090": false, "0": false, "127.1": false, "0x0": false, "gateway.1": false,
		"evil.example": false, "evil.example:9090": false, "localhost.evil.example": false, "notlocalhost": false, "ops.internal.evil.example": false,
		"internal": false, ".": false, ":9090": false, "127.0.0.1.evil.example": false, "127.0.0.1@evil.example": false, "0x7f.1": false, "2130706433": false,
	} {
		if have := hosts.Contains(host); have != want {
			t.Errorf("%q contained: %t, want %t", host, have, want)
		}
	}
	if (sameorigin.Hosts{}).Contains("ops.internal") || !(sameorigin.Hosts{}).Contains("localhost") {
		t.Error("want the zero value to contain localhost and no other name")
	}
}

func TestIsForeign(t *testing.T) {
	tests := []struct {
		name   string
		header http.Header
		want   bool
	}{
		{"not a browser", http.Header{}, false},
		{"address bar", http.Header{"Sec-Fetch-Site": {"none"}}, false},
		{"same origin", http.Header{"Sec-Fetch-Site": {"same-origin"}, "Origin": {"http://127.0.0.1:9090"}, "Referer": {"http://127.0.0.1:9090/status"}}, false},
		{"another site", http.Header{"Sec-Fetch-Site": {"cross-site"}}, true},
		{"another port", http.Header{"Sec-Fetch-Site": {"same-site"}}, true},
		{"two values", http.Header{"Sec-Fetch-Site": {"none", "cross-site"}}, true},
		{"unknown value", http.Header{"Sec-Fetch-Site": {""}}, true},
		{"Origin of another site", http.Header{"Origin": {"https://evil.example"}}, true},
		{"an opaque origin", http.Header{"Origin": {"null"}}, true},
		{"the origin of another port", http.Header{"Origin": {"http://127.0.0.1:3000"}}, true},
		{"two origins", http.Header{"Origin": {"http://127.0.0.1:9090", "https://evil.example"}}, true},
		{"Referer of another site", http.Header{"Referer": {"https://evil.example/page"}}, true},
		{"invalid Referer", http.Header{"Referer": {"http://[::1"}}, true},
		{"empty Referer", http.Header{"Referer": {""}}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := &http.Request{Host: "127.0.0.1:9090", Header: tt.header}
			if have := sameorigin.IsForeign(r); have != tt.want {
				t.Errorf("foreign: %t, want %t", have, tt.want)
			}
		})
	}
}

// TestLacksFetchMetadata checks browsers and other programs at hosts with and without
// Sec-Fetch-Site.
func TestLacksFetchMetadata(t *testing.T) {
	const browser = "Mozilla/5.0 (X11; Linux x86_64)"
	for host, want := range map[string]bool{
		"127.0.0.1:9090": false, "[::1]:9090": false, "localhost": false, "app.localhost:1": false, "127.0.0.2": false,
		"10.0.0.1": true, "gateway": true, "[::ffff:127.0.0.1]": true, "0.0.0.0": true, "": true,
	} {
		for agent, isBrowser := range map[string]bool{browser: true, "curl/8.5.0": false, "": false} {
			r := &http.Request{Host: host, Header: http.Header{"User-Agent": {agent}}}
			if have := sameorigin.LacksFetchMetadata(r); have != (want && isBrowser) {
				t.Errorf("%q at %q: %t, want %t", agent, host, have, want && isBrowser)
			}
		}
	}
}
