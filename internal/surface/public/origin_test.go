package public

import (
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/core/gate"
)

// sources is an identifier that notes where a claim came from.
type sources struct {
	gate.Identifier

	last netip.Addr
}

func (s *sources) Identify(claim gate.Claim, now time.Time) gate.Identification {
	s.last = claim.Source
	return s.Identifier.Identify(claim, now)
}

func TestForwardedHeaders(t *testing.T) {
	w := newWorld(t)
	const nobody, loopback = "192.0.2.0/24", "127.0.0.0/8"
	type told struct{ forwardedFor, proto, host, source string }
	tests := []struct {
		name    string
		trusted string
		headers []string
		want    told
	}{
		{"nobody trusted, nothing said", nobody, nil, told{"127.0.0.1", "http", "gateway", "127.0.0.1"}},
		{"nobody trusted", nobody, []string{"X-Forwarded-For: 198.51.100.1", "X-Forwarded-Proto: https", "X-Forwarded-Host: evil"}, told{"127.0.0.1", "http", "gateway", "127.0.0.1"}},
		{"trusted, nothing said", loopback, nil, told{"127.0.0.1", "http", "gateway", "127.0.0.1"}},
		{"trusted", loopback, []string{"X-Forwarded-For: 198.51.100.1", "X-Forwarded-Proto: https", "X-Forwarded-Host: api.example"}, told{"198.51.100.1, 127.0.0.1", "https", "api.example", "198.51.100.1"}},
		{"a chain", loopback, []string{"X-Forwarded-For: 203.0.113.9, 198.51.100.1, 127.0.0.2"}, told{"203.0.113.9, 198.51.100.1, 127.0.0.2, 127.0.0.1", "http", "gateway", "198.51.100.1"}},
		{"a chain in two lines", loopback, []string{"X-Forwarded-For: 203.0.113.9", "x-forwarded-for: 198.51.100.1"}, told{"203.0.113.9, 198.51.100.1, 127.0.0.1", "http", "gateway", "198.51.100.1"}},
		{"only trusted ones", loopback, []string{"X-Forwarded-For: 127.0.0.3, 127.0.0.2"}, told{"127.0.0.3, 127.0.0.2, 127.0.0.1", "http", "gateway", "127.0.0.3"}},
		{"mapped IPv4", loopback, []string{"X-Forwarded-For: 198.51.100.1, ::ffff:127.0.0.2"}, told{"198.51.100.1, ::ffff:127.0.0.2, 127.0.0.1", "http", "gateway", "198.51.100.1"}},
		{"no address", loopback, []string{"X-Forwarded-For: 198.51.100.1, unknown"}, told{"198.51.100.1, unknown, 127.0.0.1", "http", "gateway", "127.0.0.1"}},
		{"an empty list", loopback, []string{"X-Forwarded-For:"}, told{"127.0.0.1", "http", "gateway", "127.0.0.1"}},
		{"two protocols", loopback, []string{"X-Forwarded-Proto: https", "X-Forwarded-Proto: http"}, told{"127.0.0.1", "http", "gateway", "127.0.0.1"}},
		{"another protocol", loopback, []string{"X-Forwarded-Proto: ftp"}, told{"127.0.0.1", "http", "gateway", "127.0.0.1"}},
		{"two hosts", loopback, []string{"X-Forwarded-Host: a", "X-Forwarded-Host: b"}, told{"127.0.0.1", "http", "gateway", "127.0.0.1"}},
		{"a list of hosts", loopback, []string{"X-Forwarded-Host: a, b"}, told{"127.0.0.1", "http", "gateway", "127.0.0.1"}},
		{"underscores", loopback, []string{"X_Forwarded_For: 198.51.100.1", "X_Forwarded_Proto: https"}, told{"127.0.0.1", "http", "gateway", "127.0.0.1"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var claimed sources
			b := newBench(t, func(b *bench) {
				trusting(tt.trusted)(b)
				g := b.options.Gate()
				claimed.Identifier, g.Identifier = g.Identifier, &claimed
			})
			b.ask(t, request("GET /events/ HTTP/1.1", append(tt.headers, "X-SSL-Auth: "+encode(w.mail))...))
			h := (<-b.requests).Header
			have := told{h.Get("X-Forwarded-For"), h.Get("X-Forwarded-Proto"), h.Get("X-Forwarded-Host"), b.record(t)["source"].(string)}
			if have != tt.want {
				t.Errorf("told %+v, want %+v", have, tt.want)
			}
			if text := claimed.last.String(); text != tt.want.source {
				t.Errorf("the identifier was told %s, want %s", text, tt.want.source)
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
	w := newWorld(t)
	const nobody, loopback = "192.0.2.0/24", "127.0.0.0/8"
	long := "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	tests := []struct {
		name, trusted string
		send          []string
		want          string // "" for one of our own
	}{
		{"none", loopback, nil, ""},
		{"from nobody trusted", nobody, []string{"X-Request-Id: abc"}, ""},
		{"trusted", loopback, []string{"X-Request-Id: a-b_c.d:e=f+g/H1"}, "a-b_c.d:e=f+g/H1"},
		{"as long as can be", loopback, []string{"X-Request-Id: " + long}, long},
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
			b := newBench(t, trusting(tt.trusted))
			res := b.ask(t, request("GET /events/ HTTP/1.1", append(tt.send, "X-SSL-Auth: "+encode(w.mail))...))
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
