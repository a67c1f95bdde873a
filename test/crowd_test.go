package test

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/certgate/certgate/internal/core/refusal"
)

// TestConnectionsAreBounded: one connection too many is told so, and there is
// room again when another one goes.
func TestConnectionsAreBounded(t *testing.T) {
	t.Parallel()
	m := newMaster(t, "p256")
	mail := m.issue(t, subject("mail"))
	g := newGateway(t, m, environment{"MAX_CONNECTIONS": "2"})
	held := []*connection{dial(t, g.addr), dial(t, g.addr)}
	for _, c := range held {
		c.write(t, get("/events", mail).String())
		if a := c.read(t, http.MethodGet); a.status != http.StatusOK {
			t.Fatalf("want the first two served, found %d", a.status)
		}
	}
	g.upstream.take()
	excess := dial(t, g.addr)
	a := excess.read(t, http.MethodGet)
	g.wantProblem(t, a, refusal.Overloaded)
	if a.header.Get("Retry-After") == "" {
		t.Errorf("want Retry-After, found %v", a.header)
	}
	excess.wantClosed(t)
	g.upstream.wantNothing(t)
	if err := held[0].Close(); err != nil {
		t.Fatal(err)
	}
	g.waitForRoom(t, get("/events", mail))
}

// waitForRoom asks until a connection is taken: the gateway learns of a closed
// one when it reads from it.
func (g *gateway) waitForRoom(t *testing.T, r request) {
	t.Helper()
	for range 1000 {
		c := dial(t, g.addr)
		_, _ = c.Write([]byte(r.String()))
		res, err := http.ReadResponse(c.reader, nil)
		_ = c.Close()
		if err == nil && res.StatusCode == http.StatusOK {
			return
		}
	}
	t.Error("want room for a connection again, found none")
}

// TestClientThatDoesNotRead: whoever does not take its answer holds nothing.
func TestClientThatDoesNotRead(t *testing.T) {
	t.Parallel()
	m := newMaster(t, "p256")
	mail := m.issue(t, subject("mail"))
	part := bytes.Repeat([]byte("x"), 1<<20)
	u := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/flood" {
			return
		}
		for range 64 { // more than the buffers of both sides hold
			if _, err := w.Write(part); err != nil {
				return
			}
		}
	})
	g := serve(t, u, settings(m.publicKey, u).with(environment{"WRITE_TIMEOUT": "3s"}))
	deaf := dial(t, g.addr)
	deaf.write(t, get("/flood", mail).String())
	line := g.audit(t, func(l auditLine) bool { return l.Path == "/flood" })
	if line.Reason != string(refusal.ClientClosed) {
		t.Errorf("want the client cut, found %+v", line)
	}
	u.take()
	g.wantAllowed(t, get("/events", mail))
}

// TestCrowd: thousands of connections that wait, half requests among them, take
// a bounded amount of memory, and a client beside them is served.
func TestCrowd(t *testing.T) {
	const crowd, most = 5000, 256 << 10 // KiB
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil || limit.Max < 2*crowd+1000 {
		t.Skipf("want %d open files, found a limit of %d (%v)", 2*crowd+1000, limit.Max, err)
	}
	m := newMaster(t, "p256")
	mail := m.issue(t, subject("mail"))
	g := newGateway(t, m, nil)
	whole := get("/events", mail).String()
	begun := get("/events", mail).post("half a body").with("Content-Length: 60000").String()
	for i := range crowd {
		c := dial(t, g.addr)
		switch i % 10 {
		case 0:
			c.write(t, whole[:len(whole)/2]) // half a header
		case 1:
			c.write(t, begun)
		default:
			c.write(t, whole)
			if a := c.read(t, http.MethodGet); a.status != http.StatusOK {
				t.Fatalf("connection %d: want it served, found %d", i, a.status)
			}
		}
		g.upstream.take()
	}
	g.wantAllowed(t, get("/events", mail))
	peak := g.peakMemory(t)
	t.Logf("%d connections, %d KiB", crowd, peak)
	if peak > most && !raceDetector {
		t.Errorf("want at most %d KiB, found %d", most, peak)
	}
}

// peakMemory is the most that the process has had in memory, in KiB.
func (p *process) peakMemory(t *testing.T) (kib int) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.command.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if _, err := fmt.Sscanf(line, "VmHWM: %d kB", &kib); err == nil {
			return kib
		}
	}
	t.Fatal("want VmHWM in /proc, found none")
	return 0
}
