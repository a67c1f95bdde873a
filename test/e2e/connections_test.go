package e2e

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/test/harness"
)

// TestConnectionLimit checks that a connection over the limit is refused with a response,
// and that closing one makes room.
func TestConnectionLimit(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	mail := m.Issue(t, harness.OU("mail"))
	g := harness.NewGateway(t, m, harness.Env{"MAX_CONNECTIONS": "2"})
	held := []*harness.Conn{harness.Dial(t, g.Addr), harness.Dial(t, g.Addr)}
	for _, c := range held {
		c.Send(t, harness.Get("/events", mail).String())
		if a := c.ReadResponse(t, http.MethodGet); a.Status != http.StatusOK {
			t.Fatalf("want the first two served, found %d", a.Status)
		}
	}
	g.Upstream.Take()
	excess := harness.Dial(t, g.Addr)
	a := excess.ReadResponse(t, http.MethodGet)
	g.WantProblem(t, a, refusal.Overloaded)
	if a.Header.Get("Retry-After") == "" {
		t.Errorf("want Retry-After, found %v", a.Header)
	}
	excess.WantClosed(t)
	g.Upstream.WantNothing(t)
	if err := held[0].Close(); err != nil {
		t.Fatal(err)
	}
	waitForRoom(t, g, harness.Get("/events", mail))
}

// waitForRoom connects until a connection is accepted: the gateway notices that another is
// closed when it reads from it.
func waitForRoom(t *testing.T, g *harness.Gateway, r harness.Request) {
	t.Helper()
	for range 1000 {
		c := harness.Dial(t, g.Addr)
		_, _ = c.Write([]byte(r.String()))
		res, err := http.ReadResponse(c.Reader, nil)
		_ = c.Close()
		if err == nil && res.StatusCode == http.StatusOK {
			return
		}
	}
	t.Error("want room for a connection again, found none")
}

// TestClientThatDoesNotReadIsDisconnected checks that a client that does not read its
// response holds no resources.
func TestClientThatDoesNotReadIsDisconnected(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	mail := m.Issue(t, harness.OU("mail"))
	part := bytes.Repeat([]byte("x"), 1<<20)
	u := harness.NewUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/flood" {
			return
		}
		for range 64 { // more than the buffers of both sides hold
			if _, err := w.Write(part); err != nil {
				return
			}
		}
	})
	g := harness.StartGateway(t, u, harness.GatewayEnv(m.PublicKey, u).With(harness.Env{"WRITE_TIMEOUT": "3s"}))
	deaf := harness.Dial(t, g.Addr)
	deaf.Send(t, harness.Get("/flood", mail).String())
	line := g.WaitAuditLine(t, func(l harness.AuditLine) bool { return l.Path == "/flood" })
	if line.Reason != string(refusal.ClientClosed) {
		t.Errorf("want the client cut, found %+v", line)
	}
	u.Take()
	g.WantAllowed(t, harness.Get("/events", mail))
}

// TestManyIdleConnections holds thousands of connections, some with half a request, and
// expects bounded memory and other clients served.
func TestManyIdleConnections(t *testing.T) {
	const connections, most = 5000, 256 << 10 // KiB
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil || limit.Max < 2*connections+1000 {
		t.Skipf("want %d open files, found a limit of %d (%v)", 2*connections+1000, limit.Max, err)
	}
	m := harness.NewMasterKey(t, "p256")
	mail := m.Issue(t, harness.OU("mail"))
	g := harness.NewGateway(t, m, nil)
	whole := harness.Get("/events", mail).String()
	begun := harness.Get("/events", mail).Post("half a body").With("Content-Length: 60000").String()
	for i := range connections {
		c := harness.Dial(t, g.Addr)
		switch i % 10 {
		case 0:
			c.Send(t, whole[:len(whole)/2]) // half a header
		case 1:
			c.Send(t, begun)
		default:
			c.Send(t, whole)
			if a := c.ReadResponse(t, http.MethodGet); a.Status != http.StatusOK {
				t.Fatalf("connection %d: want it served, found %d", i, a.Status)
			}
		}
		g.Upstream.Take()
	}
	g.WantAllowed(t, harness.Get("/events", mail))
	peak := processPeakMemory(t, g.Process)
	t.Logf("%d connections, %d KiB", connections, peak)
	if peak > most && !harness.RaceDetector() {
		t.Errorf("want at most %d KiB, found %d", most, peak)
	}
}

// processPeakMemory returns the peak memory of the process in KiB.
func processPeakMemory(t *testing.T, p *harness.Process) (kib int) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.Command.Process.Pid))
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
