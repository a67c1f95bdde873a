package test

import (
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// reasonIn is the reason of a problem, or empty.
func reasonIn(body []byte) string {
	var p problem
	if json.Unmarshal(body, &p) != nil {
		return ""
	}
	return p.Reason
}

// reloadLine is what the log says about new content.
type reloadLine struct {
	Msg      string `json:"msg"`
	Level    string `json:"level"`
	Source   string `json:"source"`
	Variable string `json:"variable"`
	File     string `json:"file"`
	Error    string `json:"error"`
}

// reload does something to a source's file and waits for the log to say that the
// new content is in force, or is not.
func (g *gateway) reload(t *testing.T, source string, change func()) reloadLine {
	t.Helper()
	seen := g.stderr.length()
	change()
	return g.reloadSince(t, seen, source)
}

// reloadSince wants the next word on the source behind the first bytes.
func (g *gateway) reloadSince(t *testing.T, seen int, source string) reloadLine {
	t.Helper()
	var found reloadLine
	_, err := g.stderr.lineSince(seen, func(line string) bool {
		found = reloadLine{}
		return json.Unmarshal([]byte(line), &found) == nil && found.Source == source && strings.Contains(found.Msg, "reloaded")
	})
	if err != nil {
		t.Fatalf("want a word on the %s: %v", source, err)
	}
	return found
}

// wantReloaded wants the change in force.
func (g *gateway) wantReloaded(t *testing.T, source string, change func()) {
	t.Helper()
	if l := g.reload(t, source, change); l.Msg != "reloaded" || l.Level != "info" {
		t.Errorf("want the %s reloaded, found %+v", source, l)
	}
}

// watching waits until the gateway watches its files: it asks for a look and waits
// for the answer about the source.
func (g *gateway) watching(t *testing.T, source string) {
	t.Helper()
	seen := g.stderr.length()
	g.signal(t, syscall.SIGHUP)
	_, err := g.stderr.lineSince(seen, func(line string) bool {
		var found reloadLine
		return json.Unmarshal([]byte(line), &found) == nil && found.Source == source && found.Msg == "unchanged"
	})
	if err != nil {
		t.Fatalf("want the %s unchanged: %v", source, err)
	}
}

func writeFile(t *testing.T, text string, elements ...string) string {
	t.Helper()
	name := filepath.Join(elements...)
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// replaceFile writes beside the file and renames over it.
func replaceFile(t *testing.T, name, text string) {
	t.Helper()
	if err := os.Rename(writeFile(t, text, name+".new"), name); err != nil {
		t.Fatal(err)
	}
}

// link makes a symbolic link, over another one if need be.
func link(t *testing.T, target, name string) {
	t.Helper()
	if err := os.Symlink(target, name+"_tmp"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(name+"_tmp", name); err != nil {
		t.Fatal(err)
	}
}

// TestRotationByFileUnderLoad takes the old key out of the file in each way that
// files are changed: no request fails that should pass, and from the moment of
// the log's word none passes that should fail.
func TestRotationByFileUnderLoad(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		lay    func(t *testing.T, dir, text string) (file string)
		change func(t *testing.T, g *gateway, file, text string)
	}{
		{
			"renamed over",
			func(t *testing.T, dir, text string) string { t.Helper(); return writeFile(t, text, dir, "keys.pub") },
			func(t *testing.T, _ *gateway, file, text string) { t.Helper(); replaceFile(t, file, text) },
		},
		{
			"Kubernetes' swap",
			func(t *testing.T, dir, text string) string {
				t.Helper()
				kubelet{dir}.mount(t, "", "keys.pub", text)
				return filepath.Join(dir, "keys.pub")
			},
			func(t *testing.T, _ *gateway, file, text string) {
				t.Helper()
				kubelet{filepath.Dir(file)}.update(t, "", "keys.pub", text)
			},
		},
		{
			"in place, with SIGHUP",
			func(t *testing.T, dir, text string) string { t.Helper(); return writeFile(t, text, dir, "keys.pub") },
			func(t *testing.T, g *gateway, file, text string) {
				t.Helper()
				writeFile(t, text, file)
				g.signal(t, syscall.SIGHUP)
			},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBoth(t)
			file := test.lay(t, t.TempDir(), b.keys())
			u := newUpstream(t, nil)
			g := serve(t, u, settings("", u).without("AUTH_PUBLIC_KEY").with(environment{"AUTH_PUBLIC_KEY_FILE": file}))
			g.watching(t, "keys")
			underLoad(t, g.addr, b.old, b.renewed, func() {
				g.wantReloaded(t, "keys", func() { test.change(t, g, file, b.after.publicKey) })
			})
		})
	}
}

// inherit starts a gateway that answers on a socket which the test holds, as
// systemd would hold it.
func inherit(t *testing.T, u *upstream, env environment, socket *os.File) *gateway {
	t.Helper()
	// LISTEN_PID is the process' own, which only it can know.
	command := exec.Command("sh", "-c", `LISTEN_PID=$$ exec "$0" serve`, run.binary(t, "certgate"))
	command.ExtraFiles = []*os.File{socket}
	p := launch(t, "certgate", env.with(environment{"LISTEN_FDS": "1"}), command)
	l := p.ready(t)
	return &gateway{p, l.Addr, l.AdminAddr, authz{}, u}
}

// TestRotationBySecondProcessUnderLoad: a process with the new key takes over
// the socket from one with both.
func TestRotationBySecondProcessUnderLoad(t *testing.T) {
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
	socket, err := tcp.File()
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()

	u := newUpstream(t, nil)
	first := inherit(t, u, settings(b.keys(), u), socket)
	if first.addr != l.Addr().String() {
		t.Fatalf("want the inherited address %s in the log, found %s", l.Addr(), first.addr)
	}
	underLoad(t, first.addr, b.old, b.renewed, func() {
		inherit(t, u, settings(b.after.publicKey, u), socket)
		first.stop(t, terminate)
	})
}

// TestInheritedSocketMustBeOne: nobody guesses which of several is meant, and a
// socket that is announced and not there is no reason to listen elsewhere.
func TestInheritedSocketMustBeOne(t *testing.T) {
	t.Parallel()
	m := newMaster(t, "p256")
	u := newUpstream(t, nil)
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	defer writer.Close()
	for name, files := range map[string][]*os.File{"no socket": {reader}, "two": {reader, writer}} {
		command := exec.Command("sh", "-c", `LISTEN_PID=$$ exec "$0" serve`, run.binary(t, "certgate"))
		command.ExtraFiles = files
		p := launch(t, "certgate", settings(m.publicKey, u).with(environment{"LISTEN_FDS": string(rune('0' + len(files)))}), command)
		p.wantExit(t, 2)
		if !strings.Contains(p.stderr.String(), "LISTEN_FDS: ") {
			t.Errorf("%s: want LISTEN_FDS named, found %s", name, p.stderr)
		}
	}
}

// TestInheritedSocketIsNoUpstream: the gateway refuses to forward to the socket that
// it inherits, and LISTEN_ADDR, which is not used then, forbids no upstream.
func TestInheritedSocketIsNoUpstream(t *testing.T) {
	t.Parallel()
	m := newMaster(t, "p256")
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	socket, err := l.File()
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	u := newUpstream(t, nil)
	upstream := strings.TrimPrefix(settings(m.publicKey, u)["UPSTREAM_URL"], "http://")
	inherit(t, u, settings(m.publicKey, u).with(environment{"LISTEN_ADDR": upstream}), socket)

	command := exec.Command("sh", "-c", `LISTEN_PID=$$ exec "$0" serve`, run.binary(t, "certgate"))
	command.ExtraFiles = []*os.File{socket}
	p := launch(t, "certgate", settings(m.publicKey, u).with(environment{"LISTEN_FDS": "1", "UPSTREAM_URL": "http://" + l.Addr().String()}), command)
	p.wantExit(t, 2)
	if !strings.Contains(p.stderr.String(), "which is the gateway's own inherited socket") {
		t.Errorf("want the inherited socket named, found %s", p.stderr)
	}
}
