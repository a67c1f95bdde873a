package e2e

import (
	"encoding/json"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/certgate/certgate/test/harness"
)

// reasonIn returns the reason in a problem document, or an empty string.
func reasonIn(body []byte) string {
	var p harness.Problem
	if json.Unmarshal(body, &p) != nil {
		return ""
	}
	return p.Reason
}

// reloadLine is the log line about new content of a source.
type reloadLine struct {
	Msg      string `json:"msg"`
	Level    string `json:"level"`
	Source   string `json:"source"`
	Variable string `json:"variable"`
	File     string `json:"file"`
	Error    string `json:"error"`
}

// reload changes the file of a source and waits for the log line that says whether the new
// content was loaded.
func reload(t *testing.T, g *harness.Gateway, source string, change func()) reloadLine {
	t.Helper()
	seen := g.Stderr.Len()
	change()
	return reloadSince(t, g, seen, source)
}

// reloadSince waits for the next log line about the source after the first bytes.
func reloadSince(t *testing.T, g *harness.Gateway, seen int, source string) reloadLine {
	t.Helper()
	var found reloadLine
	_, err := g.Stderr.WaitLineSince(seen, func(line string) bool {
		found = reloadLine{}
		return json.Unmarshal([]byte(line), &found) == nil && found.Source == source && strings.Contains(found.Msg, "reloaded")
	})
	if err != nil {
		t.Fatalf("want a log line about %s: %v", source, err)
	}
	return found
}

// wantReloaded expects that the change is loaded.
func wantReloaded(t *testing.T, g *harness.Gateway, source string, change func()) {
	t.Helper()
	if l := reload(t, g, source, change); l.Msg != "reloaded" || l.Level != "info" {
		t.Errorf("want the %s reloaded, found %+v", source, l)
	}
}

// waitWatching waits until the gateway watches its files: it requests a reload and waits for
// the log line about the source.
func waitWatching(t *testing.T, g *harness.Gateway, source string) {
	t.Helper()
	seen := g.Stderr.Len()
	g.Signal(t, syscall.SIGHUP)
	_, err := g.Stderr.WaitLineSince(seen, func(line string) bool {
		var found reloadLine
		return json.Unmarshal([]byte(line), &found) == nil && found.Source == source && found.Msg == "unchanged"
	})
	if err != nil {
		t.Fatalf("want the %s unchanged: %v", source, err)
	}
}

// replaceFile replaces the file by renaming another one.
func replaceFile(t *testing.T, name, text string) {
	t.Helper()
	if err := os.Rename(harness.WriteFile(t, text, name+".new"), name); err != nil {
		t.Fatal(err)
	}
}

// link makes a symbolic link, and replaces one that exists.
func link(t *testing.T, target, name string) {
	t.Helper()
	if err := os.Symlink(target, name+"_tmp"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(name+"_tmp", name); err != nil {
		t.Fatal(err)
	}
}

// TestKeyRotationByFileUnderLoad removes the old key from the file in every way that files
// are changed. No valid request fails, and no invalid one passes once the log reports the
// change.
func TestKeyRotationByFileUnderLoad(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		lay    func(t *testing.T, dir, text string) (file string)
		change func(t *testing.T, g *harness.Gateway, file, text string)
	}{
		{
			"renamed over",
			func(t *testing.T, dir, text string) string {
				t.Helper()
				return harness.WriteFile(t, text, dir, "keys.pub")
			},
			func(t *testing.T, _ *harness.Gateway, file, text string) { t.Helper(); replaceFile(t, file, text) },
		},
		{
			"Kubernetes' swap",
			func(t *testing.T, dir, text string) string {
				t.Helper()
				kubelet{dir}.mount(t, "", "keys.pub", text)
				return filepath.Join(dir, "keys.pub")
			},
			func(t *testing.T, _ *harness.Gateway, file, text string) {
				t.Helper()
				kubelet{filepath.Dir(file)}.update(t, "", "keys.pub", text)
			},
		},
		{
			"in place, with SIGHUP",
			func(t *testing.T, dir, text string) string {
				t.Helper()
				return harness.WriteFile(t, text, dir, "keys.pub")
			},
			func(t *testing.T, g *harness.Gateway, file, text string) {
				t.Helper()
				harness.WriteFile(t, text, file)
				g.Signal(t, syscall.SIGHUP)
			},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBoth(t)
			file := test.lay(t, t.TempDir(), b.keys())
			u := harness.NewUpstream(t, nil)
			g := harness.StartGateway(t, u, harness.GatewayEnv("", u).Without("AUTH_PUBLIC_KEY").With(harness.Env{"AUTH_PUBLIC_KEY_FILE": file}))
			waitWatching(t, g, "keys")
			underLoad(t, g.Addr, b.old, b.renewed, func() {
				wantReloaded(t, g, "keys", func() { test.change(t, g, file, b.after.PublicKey) })
			})
		})
	}
}

// socketFile returns a file with the socket of a listener. os/exec makes the socket of
// [net.TCPListener.File] blocking when it starts a process, for all processes that share it.
// An accept that blocks in the kernel then delays the shutdown of a gateway until the next
// connection. A file that was created from a blocking socket is not changed.
func socketFile(l *net.TCPListener) (*os.File, error) {
	raw, err := l.SyscallConn()
	if err != nil {
		return nil, err
	}
	var file *os.File
	var errDup error
	err = raw.Control(func(fd uintptr) {
		var dup int
		if dup, errDup = syscall.Dup(int(fd)); errDup != nil {
			return
		}
		syscall.CloseOnExec(dup)
		_ = syscall.SetNonblock(dup, false)
		file = os.NewFile(uintptr(dup), "socket")
		_ = syscall.SetNonblock(dup, true)
	})
	return file, errors.Join(err, errDup)
}

// inherit starts a gateway that listens on a socket of the test, as with systemd's socket
// activation.
func inherit(t *testing.T, u *harness.Upstream, env harness.Env, socket *os.File) *harness.Gateway {
	t.Helper()
	// LISTEN_PID must be the ID of the process, which only the shell in it knows.
	command := exec.Command("sh", "-c", `LISTEN_PID=$$ exec "$0" serve`, harness.BinaryPath(t, "certgate"))
	command.ExtraFiles = []*os.File{socket}
	p := harness.StartCommand(t, "certgate", env.With(harness.Env{"LISTEN_FDS": "1"}), command)
	l := p.WaitListening(t)
	return &harness.Gateway{Process: p, Addr: l.Addr, Admin: l.AdminAddr, Authz: harness.AuthzAddrs{}, Upstream: u}
}

// TestKeyRotationBySecondProcessUnderLoad starts a process with the new key that takes over
// the listening socket.
func TestKeyRotationBySecondProcessUnderLoad(t *testing.T) {
	t.Parallel()
	b := newBoth(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	tcp, ok := l.(*net.TCPListener)
	if !ok {
		t.Fatalf("want a TCP listener, found %T", l)
	}
	socket, err := socketFile(tcp)
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()

	u := harness.NewUpstream(t, nil)
	first := inherit(t, u, harness.GatewayEnv(b.keys(), u), socket)
	if first.Addr != l.Addr().String() {
		t.Fatalf("want the inherited address %s in the log, found %s", l.Addr(), first.Addr)
	}
	underLoad(t, first.Addr, b.old, b.renewed, func() {
		inherit(t, u, harness.GatewayEnv(b.after.PublicKey, u), socket)
		first.Stop(t, harness.Terminate)
	})
}

// TestInheritedSocketsMustBeOne checks that several inherited sockets, or an announced one
// that is missing, are errors.
func TestInheritedSocketsMustBeOne(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	u := harness.NewUpstream(t, nil)
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	defer writer.Close()
	for name, files := range map[string][]*os.File{"no socket": {reader}, "two": {reader, writer}} {
		command := exec.Command("sh", "-c", `LISTEN_PID=$$ exec "$0" serve`, harness.BinaryPath(t, "certgate"))
		command.ExtraFiles = files
		p := harness.StartCommand(t, "certgate", harness.GatewayEnv(m.PublicKey, u).With(harness.Env{"LISTEN_FDS": string(rune('0' + len(files)))}), command)
		p.WantExit(t, 2)
		if !strings.Contains(p.Stderr.String(), "LISTEN_FDS: ") {
			t.Errorf("%s: want LISTEN_FDS named, found %s", name, p.Stderr)
		}
	}
}

// TestInheritedSocketIsNoUpstream checks that the gateway refuses to forward to the socket
// that it inherits, and that LISTEN_ADDR forbids no upstream then.
func TestInheritedSocketIsNoUpstream(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	socket, err := socketFile(l)
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	u := harness.NewUpstream(t, nil)
	upstream := strings.TrimPrefix(harness.GatewayEnv(m.PublicKey, u)["UPSTREAM_URL"], "http://")
	inherit(t, u, harness.GatewayEnv(m.PublicKey, u).With(harness.Env{"LISTEN_ADDR": upstream}), socket)

	command := exec.Command("sh", "-c", `LISTEN_PID=$$ exec "$0" serve`, harness.BinaryPath(t, "certgate"))
	command.ExtraFiles = []*os.File{socket}
	p := harness.StartCommand(t, "certgate", harness.GatewayEnv(m.PublicKey, u).With(harness.Env{"LISTEN_FDS": "1", "UPSTREAM_URL": "http://" + l.Addr().String()}), command)
	p.WantExit(t, 2)
	if !strings.Contains(p.Stderr.String(), "which is the gateway's own inherited socket") {
		t.Errorf("want the inherited socket named, found %s", p.Stderr)
	}
}
