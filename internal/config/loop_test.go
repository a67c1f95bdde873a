package config_test

import (
	"maps"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/config"
)

// TestUpstreamIsOwnAddress checks which upstream addresses reach which listener on a
// machine with the addresses 10.1.2.3, fd00::7 and fe80::1.
func TestUpstreamIsOwnAddress(t *testing.T) {
	t.Parallel()
	var interfaces []net.Addr
	for _, text := range []string{"127.0.0.1/8", "::1/128", "10.1.2.3/24", "fd00::7/64", "fe80::1/64"} {
		ip, network, err := net.ParseCIDR(text)
		if err != nil {
			t.Fatal(err)
		}
		interfaces = append(interfaces, &net.IPNet{IP: ip, Mask: network.Mask})
	}
	tests := []struct {
		listen    string
		own       string // hosts with ports that reach the listener
		elsewhere string // hosts with ports that do not
	}{
		{
			":8080",
			"127.0.0.1:8080 127.0.0.2:8080 localhost:8080 LOCALHOST:8080 localhost.:8080 app.localhost:8080 [::1]:8080 0.0.0.0:8080 [::]:8080 " +
				"10.1.2.3:8080 [fd00::7]:8080 [::ffff:127.0.0.1]:8080 [::ffff:10.1.2.3]:8080 [fe80::1%25eth0]:8080 node7:8080 NODE7:8080 127.0.0.1:08080",
			"127.0.0.1:8081 127.0.0.1 localhost schedule:8080 10.1.2.4:8080 10.1.2.3:80 [fd00::8]:8080 node8:8080 localhost.example.com:8080",
		},
		{"0.0.0.0:8080", "127.0.0.1:8080 [::1]:8080 10.1.2.3:8080", "schedule:8080 127.0.0.1:80"},
		{"[::]:8080", "127.0.0.1:8080 [::1]:8080 10.1.2.3:8080", "schedule:8080"},
		{":80", "127.0.0.1 localhost 127.0.0.1:80 localhost:80", "127.0.0.1:8080 schedule"},
		{
			"127.0.0.1:8080", "127.0.0.1:8080 localhost:8080 0.0.0.0:8080 [::]:8080 [::ffff:127.0.0.1]:8080",
			"127.0.0.2:8080 10.1.2.3:8080 node7:8080 127.0.0.1:80 [fd00::7]:8080",
		},
		{"[::1]:8080", "[::1]:8080 localhost:8080 [::]:8080", "127.0.0.1:8080 10.1.2.3:8080"},
		{"10.1.2.3:8080", "10.1.2.3:8080 [::ffff:10.1.2.3]:8080", "127.0.0.1:8080 localhost:8080 0.0.0.0:8080 node7:8080"},
		{"localhost:8080", "localhost:8080 127.0.0.1:8080 [::1]:8080 0.0.0.0:8080", "127.0.0.2:8080 10.1.2.3:8080"},
		{"gateway:8080", "gateway:8080 GATEWAY:8080", "schedule:8080 127.0.0.1:8080"},
		{":0", "", "127.0.0.1:8080 127.0.0.1 localhost:1"},
	}
	for _, test := range tests {
		for _, scheme := range []string{"http", "https"} {
			for want, hosts := range map[bool]string{true: test.own, false: test.elsewhere} {
				for host := range strings.FieldsSeq(hosts) {
					u, err := url.Parse(scheme + "://" + host)
					if err != nil {
						t.Fatal(err)
					}
					want := want && (u.Port() != "" || scheme == "http")
					if found := config.Reaches(u, test.listen, "node7", interfaces...); found != want {
						t.Errorf("%s listening at %s: want %v, found %v", u, test.listen, want, found)
					}
				}
			}
		}
	}
}

// TestUpstreamIsOwnListener checks every kind of listener and upstream, with the real
// addresses of the machine.
func TestUpstreamIsOwnListener(t *testing.T) {
	t.Parallel()
	const want = ", want the address of the service"
	tests := []struct {
		name string
		set  map[string]string
		want string // of all faults
	}{
		{"the default", map[string]string{"UPSTREAM_URL": "http://127.0.0.1:8080"}, `UPSTREAM_URL: found "http://127.0.0.1:8080", which is the gateway's own LISTEN_ADDR ":8080"` + want},
		{"another port", map[string]string{"UPSTREAM_URL": "http://127.0.0.1:8080", "LISTEN_ADDR": ":8000"}, ""},
		{"admin", map[string]string{"UPSTREAM_URL": "http://localhost:9090"}, `UPSTREAM_URL: found "http://localhost:9090", which is the gateway's own ADMIN_ADDR "127.0.0.1:9090"` + want},
		{"no admin", map[string]string{"UPSTREAM_URL": "http://localhost:9090", "ADMIN_ADDR": ""}, ""},
		{"authz", map[string]string{"UPSTREAM_URL": "http://[::1]:9191", "AUTHZ_ADDR": ":9191", "AUTHZ_PEERS": "127.0.0.1"}, `UPSTREAM_URL: found "http://[::1]:9191", which is the gateway's own AUTHZ_ADDR ":9191"` + want},
		{"Envoy", map[string]string{"UPSTREAM_URL": "http://[::1]:9192", "AUTHZ_GRPC_ADDR": ":9192", "AUTHZ_PEERS": "127.0.0.1"}, `UPSTREAM_URL: found "http://[::1]:9192", which is the gateway's own AUTHZ_GRPC_ADDR ":9192"` + want},
		{"one of several", map[string]string{"UPSTREAM_URL": "http://schedule:8080, http://127.0.0.1:8080"}, `UPSTREAM_URL: found "http://127.0.0.1:8080", which is the gateway's own LISTEN_ADDR ":8080"` + want},
		{"a faulty listener", map[string]string{"UPSTREAM_URL": "http://127.0.0.1:8080", "LISTEN_ADDR": "8080"}, `LISTEN_ADDR: found "8080", want host:port, such as :8080`},
		{"an inherited socket", map[string]string{"UPSTREAM_URL": "http://127.0.0.1:8080", "LISTEN_FDS": "1", "LISTEN_PID": strconv.Itoa(os.Getpid())}, ""},
		{"another process's socket", map[string]string{"UPSTREAM_URL": "http://127.0.0.1:8080", "LISTEN_FDS": "1", "LISTEN_PID": "1"}, `UPSTREAM_URL: found "http://127.0.0.1:8080", which is the gateway's own LISTEN_ADDR ":8080"` + want},
	}
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addresses {
		ip := netip.MustParsePrefix(a.String()).Addr()
		u := "http://" + net.JoinHostPort(ip.String(), "8080")
		tests = append(tests, struct {
			name string
			set  map[string]string
			want string
		}{a.String(), map[string]string{"UPSTREAM_URL": u}, "UPSTREAM_URL: found " + strconv.Quote(u) + `, which is the gateway's own LISTEN_ADDR ":8080"` + want})
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			environ := required(t)
			maps.Copy(environ, test.set)
			found := ""
			if _, err := config.Load(environ); err != nil {
				found = err.Error()
			}
			if found != test.want {
				t.Errorf("want %q, found %q", test.want, found)
			}
		})
	}
}

// TestInheritedSocket checks that the address of an inherited socket is used.
func TestInheritedSocket(t *testing.T) {
	t.Parallel()
	environ := required(t)
	environ["UPSTREAM_URL"] = "http://127.0.0.1:8081"
	c := load(t, environ)
	for text, want := range map[string]bool{"[::]:8081": true, "127.0.0.1:8081": true, "[::]:8080": false, "10.1.2.3:8081": false} {
		at := net.TCPAddrFromAddrPort(netip.MustParseAddrPort(text))
		if err := c.CheckInherited(at); (err != nil) != want {
			t.Errorf("%s: want a fault %v, found %v", text, want, err)
		}
	}
	if err := c.CheckInherited(&net.UnixAddr{Name: "/run/certgate.sock", Net: "unix"}); err != nil {
		t.Errorf("want no fault of a Unix socket, found %v", err)
	}
	environ["UPSTREAM_URL"] = "unix:/run/a.sock,unix:/run/b.sock"
	c = load(t, environ)
	for path, want := range map[string]bool{"/run/a.sock": true, "/run/b.sock": true, "/run/c.sock": false} {
		if err := c.CheckInherited(&net.UnixAddr{Name: path, Net: "unix"}); (err != nil) != want {
			t.Errorf("%s: want a fault %v, found %v", path, want, err)
		}
	}
}
