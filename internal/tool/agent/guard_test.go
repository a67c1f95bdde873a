package agent_test

import (
	"net/http"
	"testing"
)

// TestGuard checks which requests are refused because a browser may have sent them for a
// page of another origin, with several methods and paths.
func TestGuard(t *testing.T) {
	t.Parallel()
	f := newFiles(t)
	g := newTarget(t, f, nil)
	o := options(f, g.url)
	o.Names = []string{"certgate-agent", "0x7f.1", "0.0.0.0"}
	s := start(t, o)
	own := s.Addr().String()
	for _, test := range []struct {
		name   string
		lines  []string
		status int
		reason string // "" for an accepted request
	}{
		{"address", []string{"Host: " + own}, 200, ""},
		{"another address", []string{"Host: 10.0.0.7"}, 200, ""},
		{"IPv6", []string{"Host: [::1]:7000"}, 200, ""},
		{"localhost", []string{"Host: localhost:7000"}, 200, ""},
		{"localhost in capitals, with dot", []string{"Host: LOCALHOST.:7000"}, 200, ""},
		{"below localhost", []string{"Host: agent.localhost"}, 200, ""},
		{"own name", []string{"Host: certgate-agent:7000"}, 200, ""},
		{"loopback", []string{"Host: 127.8.9.1:7000"}, 200, ""},
		{"unspecified", []string{"Host: 0.0.0.0"}, 421, "agent_host_unknown"},
		{"unspecified, with port", []string{"Host: 0.0.0.0:7000"}, 421, "agent_host_unknown"},
		{"unspecified, with dot", []string{"Host: 0.0.0.0."}, 421, "agent_host_unknown"},
		{"unspecified, short", []string{"Host: 0"}, 421, "agent_host_unknown"},
		{"unspecified, in hexadecimal", []string{"Host: 0x0:7000"}, 421, "agent_host_unknown"},
		{"unspecified, in two parts", []string{"Host: 0.0"}, 421, "agent_host_unknown"},
		{"this network", []string{"Host: 0.1.2.3"}, 421, "agent_host_unknown"},
		{"unspecified IPv6", []string{"Host: [::]:7000"}, 421, "agent_host_unknown"},
		{"unspecified IPv6, long", []string{"Host: [0:0:0:0:0:0:0:0]"}, 421, "agent_host_unknown"},
		{"unspecified IPv6, as IPv4", []string{"Host: [::0.0.0.0]"}, 421, "agent_host_unknown"},
		{"unspecified, mapped", []string{"Host: [::ffff:0.0.0.0]"}, 421, "agent_host_unknown"},
		{"unspecified, mapped, in hexadecimal", []string{"Host: [::ffff:0:0]:7000"}, 421, "agent_host_unknown"},
		{"unspecified without brackets", []string{"Host: ::"}, 421, "agent_host_unknown"},
		{"loopback, mapped", []string{"Host: [::ffff:127.0.0.1]:7000"}, 421, "agent_host_unknown"},
		{"loopback, short", []string{"Host: 127.1"}, 421, "agent_host_unknown"},
		{"loopback as a number", []string{"Host: 2130706433"}, 421, "agent_host_unknown"},
		{"a zone", []string{"Host: [fe80::1%25lo]"}, 421, "agent_host_unknown"},
		{"a number as own name", []string{"Host: 0x7f.1"}, 421, "agent_host_unknown"},
		{"an unspecified address as own name", []string{"Host: 0.0.0.0:7001"}, 421, "agent_host_unknown"},
		{"a browser at own name", []string{"Host: certgate-agent:7000", "User-Agent: Mozilla/5.0 (X11; Linux x86_64)"}, 403, "agent_cross_origin"},
		{"a browser at another address", []string{"Host: 10.0.0.7:7000", "User-Agent: Mozilla/5.0 (X11; Linux x86_64)"}, 403, "agent_cross_origin"},
		{"a browser at localhost", []string{"Host: localhost:7000", "User-Agent: Mozilla/5.0 (X11; Linux x86_64)"}, 200, ""},
		{"a browser at loopback", []string{"Host: [::1]:7000", "User-Agent: Mozilla/5.0 (X11; Linux x86_64)"}, 200, ""},
		{"a program at own name", []string{"Host: certgate-agent:7000", "User-Agent: curl/7.88.1"}, 200, ""},
		{"rebound", []string{"Host: evil.example"}, 421, "agent_host_unknown"},
		{"rebound, with port", []string{"Host: evil.example:7000"}, 421, "agent_host_unknown"},
		{"begins with an address", []string{"Host: 127.0.0.1.evil.example"}, 421, "agent_host_unknown"},
		{"begins with localhost", []string{"Host: localhost.evil.example"}, 421, "agent_host_unknown"},
		{"ends in localhost", []string{"Host: evillocalhost"}, 421, "agent_host_unknown"},
		{"the target's name", []string{"Host: schedule.example.com"}, 421, "agent_host_unknown"},
		{"cross-site", []string{"Sec-Fetch-Site: cross-site"}, 403, "agent_cross_origin"},
		{"same-site", []string{"Sec-Fetch-Site: same-site"}, 403, "agent_cross_origin"},
		{"unknown site", []string{"Sec-Fetch-Site: moon"}, 403, "agent_cross_origin"},
		{"two sites", []string{"Sec-Fetch-Site: none", "Sec-Fetch-Site: cross-site"}, 403, "agent_cross_origin"},
		{"address bar", []string{"Sec-Fetch-Site: none"}, 200, ""},
		{"own page", []string{"Sec-Fetch-Site: same-origin", "Host: " + own, "Origin: http://" + own}, 200, ""},
		{"foreign origin", []string{"Origin: https://evil.example"}, 403, "agent_cross_origin"},
		{"foreign port", []string{"Host: localhost:7000", "Origin: http://localhost:8000"}, 403, "agent_cross_origin"},
		{"opaque origin", []string{"Origin: null"}, 403, "agent_cross_origin"},
		{"empty origin", []string{"Origin: "}, 403, "agent_cross_origin"},
		{"own Referer", []string{"Host: " + own, "Referer: http://" + own + "/events?day=1"}, 200, ""},
		{"own Referer in capitals", []string{"Host: localhost:7000", "Referer: http://LOCALHOST:7000/"}, 200, ""},
		{"foreign Referer", []string{"Host: " + own, "Referer: https://evil.example/"}, 403, "agent_cross_origin"},
		{"Referer of another port", []string{"Host: localhost:7000", "Referer: http://localhost:8000/"}, 403, "agent_cross_origin"},
		{"own address in a foreign Referer", []string{"Host: " + own, "Referer: http://evil.example/" + own}, 403, "agent_cross_origin"},
		{"user in a foreign Referer", []string{"Host: " + own, "Referer: http://" + own + "@evil.example/"}, 403, "agent_cross_origin"},
		{"two Referers", []string{"Host: " + own, "Referer: http://" + own + "/", "Referer: http://evil.example/"}, 403, "agent_cross_origin"},
		{"no URL as Referer", []string{"Host: " + own, "Referer: /events"}, 403, "agent_cross_origin"},
		{"broken Referer", []string{"Host: " + own, "Referer: http://%zz/"}, 403, "agent_cross_origin"},
		{"empty Referer", []string{"Host: " + own, "Referer: "}, 403, "agent_cross_origin"},
		{"two origins", []string{"Host: " + own, "Origin: http://" + own, "Origin: http://evil.example"}, 403, "agent_cross_origin"},
	} {
		for _, method := range []string{"GET", "POST", "OPTIONS"} {
			t.Run(test.name+" "+method, func(t *testing.T) {
				a := s.request(t, method, "/events", "", test.lines...)
				if test.reason == "" {
					if a.StatusCode != test.status || g.wantOne(t).method != method {
						t.Errorf("want %d, found %d and %s", test.status, a.StatusCode, a.Text)
					}
					return
				}
				a.wantRefusal(t, test.status, test.reason)
				g.wantNone(t)
			})
		}
		if test.reason != "" {
			s.request(t, "GET", "/healthz", "", test.lines...).wantRefusal(t, test.status, test.reason)
		}
	}
	if a := s.sendRaw(t, "GET", "GET / HTTP/1.0\r\n\r\n"); a.StatusCode != http.StatusOK || g.wantOne(t).target != "/" {
		t.Errorf("HTTP/1.0 without a host: want 200, found %d", a.StatusCode)
	}
	s.sendRaw(t, "GET", "GET / HTTP/1.0\r\nOrigin: null\r\n\r\n").wantRefusal(t, 403, "agent_cross_origin")
	g.wantNone(t)
}
