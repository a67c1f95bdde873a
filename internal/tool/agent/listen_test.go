package agent_test

import (
	"errors"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/zap/zapcore"

	"github.com/certgate/certgate/internal/tool/agent"
)

// TestIsOwnAddress checks which targets reach the agent's own listener.
func TestIsOwnAddress(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, target, listener string
		want                   bool
	}{
		{"same address", "http://127.0.0.1:7000", "127.0.0.1:7000", true},
		{"same address, https", "https://127.0.0.1:7000", "127.0.0.1:7000", true},
		{"localhost", "http://localhost:7000", "127.0.0.1:7000", true},
		{"localhost in capitals, with dot", "http://LOCALHOST.:7000", "127.0.0.1:7000", true},
		{"below localhost", "http://agent.localhost:7000", "[::1]:7000", true},
		{"own name", "http://certgate-agent:7000", "127.0.0.1:7000", true},
		{"IPv6", "http://[::1]:7000", "[::1]:7000", true},
		{"mapped", "http://[::ffff:127.0.0.1]:7000", "127.0.0.1:7000", true},
		{"unspecified", "http://0.0.0.0:7000", "127.0.0.1:7000", true},
		{"loopback, listener on all addresses", "http://127.0.0.1:7000", "0.0.0.0:7000", true},
		{"localhost, listener on all addresses", "http://localhost:7000", "[::]:7000", true},
		{"default port of http", "http://127.0.0.1", "127.0.0.1:80", true},
		{"default port of https", "https://127.0.0.1", "127.0.0.1:443", true},
		{"another port", "http://127.0.0.1:8080", "127.0.0.1:7000", false},
		{"another default port", "https://127.0.0.1", "127.0.0.1:80", false},
		{"another loopback address", "http://127.0.0.2:7000", "127.0.0.1:7000", false},
		{"another machine", "http://192.0.2.1:7000", "0.0.0.0:7000", false},
		{"another name", "http://schedule.example.com:7000", "127.0.0.1:7000", false},
		{"localhost, listener elsewhere", "http://localhost:7000", "192.0.2.1:7000", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			target := must[*url.URL](t)(url.Parse(test.target))
			listener := must[*net.TCPAddr](t)(net.ResolveTCPAddr("tcp", test.listener))
			if found := agent.IsOwnAddress(target, listener, "certgate-agent"); found != test.want {
				t.Errorf("want %t, found %t", test.want, found)
			}
		})
	}
	if target := must[*url.URL](t)(url.Parse("http://localhost:7000")); agent.IsOwnAddress(target, &net.UnixAddr{Name: "agent.sock"}) {
		t.Error("want no target to be the address of a Unix socket")
	}
}

// TestOwnAddressOfInterface checks a listener on all addresses and a target that names
// the address of a network interface.
func TestOwnAddressOfInterface(t *testing.T) {
	t.Parallel()
	for _, a := range must[[]net.Addr](t)(net.InterfaceAddrs()) {
		prefix, ok := a.(*net.IPNet)
		if !ok || prefix.IP.IsLinkLocalUnicast() {
			continue
		}
		target := &url.URL{Scheme: "http", Host: net.JoinHostPort(prefix.IP.String(), "7000")}
		if !agent.IsOwnAddress(target, &net.TCPAddr{IP: net.IPv4zero, Port: 7000}) {
			t.Errorf("%s: want the agent's own address", target)
		}
	}
}

// TestNewRefusesOwnAddress checks that New returns an error for a target that is the
// agent's own address, and closes the listener.
func TestNewRefusesOwnAddress(t *testing.T) {
	t.Parallel()
	free, err := net.Listen("tcp", "127.77.0.1:0") // no other test uses this address
	if err != nil {
		t.Skip("127.77.0.1 is not an address of this machine")
	}
	own := free.Addr().String()
	_ = free.Close()
	o := options(newFiles(t), &url.URL{Scheme: "http", Host: own})
	o.Listen = own
	for range 2 {
		if _, err := agent.New(t.Context(), o); !errors.Is(err, agent.ErrOwnAddress) {
			t.Errorf("want %v, found %v", agent.ErrOwnAddress, err)
		}
	}
}

// TestListen checks that an agent binds an address that other machines can reach only
// with Exposed, and logs a warning then.
func TestListen(t *testing.T) {
	t.Parallel()
	f := newFiles(t)
	g := newTarget(t, f, nil)
	for _, address := range []string{"0.0.0.0:0", ":0", "[::]:0"} {
		o := options(f, g.url)
		o.Listen = address
		if _, err := agent.New(t.Context(), o); !errors.Is(err, agent.ErrExposed) {
			t.Errorf("%s: want %v, found %v", address, agent.ErrExposed, err)
		}
	}
	o := options(f, g.url)
	if o.Listen = "localhost:x"; !fails(t, o) {
		t.Error("want an address that cannot be bound refused")
	}
	o.Listen, o.Exposed = "0.0.0.0:0", true
	s := start(t, o)
	_, port, _ := net.SplitHostPort(s.Addr().String())
	if a := s.request(t, "GET", "/", "", "Host: 127.0.0.1:"+port); a.StatusCode != http.StatusOK {
		t.Errorf("want 200, found %d", a.StatusCode)
	}
	if n := s.countLogs(zapcore.WarnLevel, "every program that reaches the agent"); n != 1 {
		t.Errorf("want one warning, found %d", n)
	}
	if n := s.countLogs(zapcore.WarnLevel, "the target is not https"); n != 1 {
		t.Errorf("want one warning of the target, found %d", n)
	}
}

func fails(t *testing.T, o agent.Options) bool {
	t.Helper()
	_, err := agent.New(t.Context(), o)
	return err != nil
}

// TestUnixSocket checks that only the agent's own user can connect to its socket, that
// every Host is accepted there, and that the socket of a killed agent is replaced.
func TestUnixSocket(t *testing.T) {
	t.Parallel()
	f := newFiles(t)
	g := newTarget(t, f, nil)
	dir := t.TempDir()
	path := filepath.Join(dir, "agent.sock")
	stale := must[*net.UnixListener](t)(net.ListenUnix("unix", &net.UnixAddr{Name: path}))
	stale.SetUnlinkOnClose(false)
	_ = stale.Close()
	o := options(f, g.url)
	o.Listen = "unix:" + path
	s := start(t, o)
	if mode := must[os.FileInfo](t)(os.Stat(path)).Mode(); mode != os.ModeSocket|0o600 {
		t.Errorf("want a socket of mode 0600, found %s", mode)
	}
	if a := s.request(t, "GET", "/", "", "Host: schedule.example.com"); a.StatusCode != http.StatusOK {
		t.Errorf("want 200, found %d", a.StatusCode)
	}
	if !fails(t, o) {
		t.Error("want a second agent on the same socket refused")
	}
	if a := s.request(t, "GET", "/", ""); a.StatusCode != http.StatusOK {
		t.Errorf("want the first agent to serve on, found %d", a.StatusCode)
	}
	file := filepath.Join(dir, "file")
	f.write(file, []byte("kept"))
	if o.Listen = "unix:" + file; !fails(t, o) || string(must[[]byte](t)(os.ReadFile(file))) != "kept" {
		t.Error("want a regular file at the path kept")
	}
}
