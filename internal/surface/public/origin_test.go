package public

import (
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/core/gate"
)

// sources is an identifier that records the source of each claim.
type sources struct {
	gate.Identifier

	last netip.Addr
}

func (s *sources) Identify(claim gate.Claim, now time.Time) gate.Identification {
	s.last = claim.Source
	return s.Identifier.Identify(claim, now)
}

func TestForwardedHeaders(t *testing.T) {
	w := newCertificates(t)
	const otherNetwork, loopback = "192.0.2.0/24", "127.0.0.0/8"
	type forwardedFields struct{ forwardedFor, proto, host, source string }
	tests := []struct {
		name    string
		trusted string
		headers []string
		want    forwardedFields
	}{
		{"no trusted proxy, no fields", otherNetwork, nil, forwardedFields{"127.0.0.1", "http", "gateway", "127.0.0.1"}},
		{"no trusted proxy", otherNetwork, []string{"X-Forwarded-For: 198.51.100.1", "X-Forwarded-Proto: https", "X-Forwarded-Host: evil"}, forwardedFields{"127.0.0.1", "http", "gateway", "127.0.0.1"}},
		{"trusted, no fields", loopback, nil, forwardedFields{"127.0.0.1", "http", "gateway", "127.0.0.1"}},
		{"trusted", loopback, []string{"X-Forwarded-For: 198.51.100.1", "X-Forwarded-Proto: https", "X-Forwarded-Host: api.example"}, forwardedFields{"198.51.100.1, 127.0.0.1", "https", "api.example", "198.51.100.1"}},
		{"a chain", loopback, []string{"X-Forwarded-For: 203.0.113.9, 198.51.100.1, 127.0.0.2"}, forwardedFields{"203.0.113.9, 198.51.100.1, 127.0.0.2, 127.0.0.1", "http", "gateway", "198.51.100.1"}},
		{"a chain in two lines", loopback, []string{"X-Forwarded-For: 203.0.113.9", "x-forwarded-for: 198.51.100.1"}, forwardedFields{"203.0.113.9, 198.51.100.1, 127.0.0.1", "http", "gateway", "198.51.100.1"}},
		{"only trusted proxies", loopback, []string{"X-Forwarded-For: 127.0.0.3, 127.0.0.2"}, forwardedFields{"127.0.0.3, 127.0.0.2, 127.0.0.1", "http", "gateway", "127.0.0.3"}},
		{"mapped IPv4", loopback, []string{"X-Forwarded-For: 198.51.100.1, ::ffff:127.0.0.2"}, forwardedFields{"198.51.100.1, ::ffff:127.0.0.2, 127.0.0.1", "http", "gateway", "198.51.100.1"}},
		{"invalid address", loopback, []string{"X-Forwarded-For: 198.51.100.1, unknown"}, forwardedFields{"198.51.100.1, unknown, 127.0.0.1", "http", "gateway", "127.0.0.1"}},
		{"an empty list", loopback, []string{"X-Forwarded-For:"}, forwardedFields{"127.0.0.1", "http", "gateway", "127.0.0.1"}},
		{"two protocols", loopback, []string{"X-Forwarded-Proto: https", "X-Forwarded-Proto: http"}, forwardedFields{"127.0.0.1", "http", "gateway", "127.0.0.1"}},
		{"another protocol", loopback, []string{"X-Forwarded-Proto: ftp"}, forwardedFields{"127.0.0.1", "http", "gateway", "127.0.0.1"}},
		{"two hosts", loopback, []string{"X-Forwarded-Host: a", "X-Forwarded-Host: b"}, forwardedFields{"127.0.0.1", "http", "gateway", "127.0.0.1"}},
		{"a list of hosts", loopback, []string{"X-Forwarded-Host: a, b"}, forwardedFields{"127.0.0.1", "http", "gateway", "127.0.0.1"}},
		{"underscores", loopback, []string{"X_Forwarded_For: 198.51.100.1", "X_Forwarded_Proto: https"}, forwardedFields{"127.0.0.1", "http", "gateway", "127.0.0.1"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var claimed sources
			b := newFixture(t, func(b *fixture) {
				trusting(tt.trusted)(b)
				g := b.options.Gate()
				claimed.Identifier, g.Identifier = g.Identifier, &claimed
			})
			b.send(t, request("GET /events/ HTTP/1.1", append(tt.headers, "X-SSL-Auth: "+encode(w.mail))...))
			h := (<-b.requests).Header
			have := forwardedFields{h.Get("X-Forwarded-For"), h.Get("X-Forwarded-Proto"), h.Get("X-Forwarded-Host"), b.record(t)["source"].(string)}
			if have != tt.want {
				t.Errorf("fields %+v, want %+v", have, tt.want)
			}
			if text := claimed.last.String(); text != tt.want.source {
				t.Errorf("the identifier got %s, want %s", text, tt.want.source)
			}
			for _, name := range []string{"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host"} {
				if n := len(h[http.CanonicalHeaderKey(name)]); n != 1 {
					t.Errorf("%d lines %s, want one", n, name)
				}
			}
		})
	}
}

func TestRequestID(t *testing.T) {
	w := newCertificates(t)
	const otherNetwork, loopback = "192.0.2.0/24", "127.0.0.0/8"
	long := "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	tests := []struct {
		name, trusted string
		send          []string
		want          string // "" for a new ID
	}{
		{"none", loopback, nil, ""},
		{"no trusted proxy", otherNetwork, []string{"X-Request-Id: abc"}, ""},
		{"trusted", loopback, []string{"X-Request-Id: a-b_c.d:e=f+g/H1"}, "a-b_c.d:e=f+g/H1"},
		{"maximum length", loopback, []string{"X-Request-Id: " + long}, long},
		{"too long", loopback, []string{"X-Request-Id: " + long + "0"}, ""},
		{"two", loopback, []string{"X-Request-Id: a", "X-Request-Id: b"}, ""},
		{"empty", loopback, []string{"X-Request-Id:"}, ""},
		{"a blank", loopback, []string{"X-Request-Id: a b"}, ""},
		{"a quote", loopback, []string{`X-Request-Id: a"b`}, ""},
		{"not ASCII", loopback, []string{"X-Request-Id: a\u00e9"}, ""},
		{"underscores", loopback, []string{"X_Request_Id: abc"}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newFixture(t, trusting(tt.trusted))
			res := b.send(t, request("GET /events/ HTTP/1.1", append(tt.send, "X-SSL-Auth: "+encode(w.mail))...))
			id := (<-b.requests).Header["X-Request-Id"]
			if len(id) != 1 || tt.want != "" && id[0] != tt.want || tt.want == "" && len(id[0]) != 32 {
				t.Errorf("id %q at the upstream, want %q", id, tt.want)
			}
			if have := res.Header["X-Request-Id"]; len(have) != 1 || have[0] != id[0] {
				t.Errorf("id %q at the client, want %q", have, id)
			}
			if have := b.record(t)["request_id"]; have != id[0] {
				t.Errorf("id %q in the log, want %q", have, id)
			}
		})
	}
}
