package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/test/harness"
)

// lostLines is the metric of log lines that were dropped.
const lostLines = "certgate_log_lines_lost_total"

// serveInto starts a gateway that logs to the file. The log may be unreadable, so this
// function chooses the addresses.
func serveInto(t *testing.T, u *harness.Upstream, env harness.Env, log *os.File) *harness.Gateway {
	t.Helper()
	addr, admin := harness.FreeAddress(t), harness.FreeAddress(t)
	command := exec.Command(harness.BinaryPath(t, "certgate"), "serve")
	command.Stderr = log
	p := harness.StartCommand(t, "certgate", env.With(harness.Env{"LISTEN_ADDR": addr, "ADMIN_ADDR": admin}), command)
	p.WaitForListener(t, addr)
	p.WaitForListener(t, admin)
	return &harness.Gateway{Process: p, Addr: addr, Admin: admin, Authz: harness.AuthzAddrs{}, Upstream: u}
}

// logPipe returns a pipe for a log. The test has the only reading end.
func logPipe(t *testing.T) (reader, writer *os.File) {
	t.Helper()
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = reader.Close(), writer.Close() })
	return reader, writer
}

// lostLineCount returns how many lines the gateway has dropped.
func lostLineCount(t *testing.T, g *harness.Gateway) float64 {
	t.Helper()
	return counter(metrics(t, g)[lostLines], map[string]string{})
}

// sendUntilLost sends requests, whose lines are long, until log lines are lost. It
// returns how many requests it has sent.
func sendUntilLost(t *testing.T, g *harness.Gateway) (sent int) {
	t.Helper()
	c := harness.Dial(t, g.Addr)
	r := harness.PlainGet("/" + strings.Repeat("x", 250)).String()
	for range 100 {
		for range 100 {
			c.Send(t, r)
			if a := c.ReadResponse(t, "GET"); a.Status != 401 {
				t.Fatalf("want 401, found %d", a.Status)
			}
			sent++
		}
		if lostLineCount(t, g) > 0 {
			return sent
		}
	}
	t.Fatalf("want lost lines after %d requests, found none", sent)
	return sent
}

// wantReadiness waits until /readyz responds with the status. With 503 it must give
// the reason.
func wantReadiness(t *testing.T, g *harness.Gateway, status int, detail string) {
	t.Helper()
	var a harness.Response
	for deadline := time.Now().Add(harness.Timeout); time.Now().Before(deadline); time.Sleep(harness.PollInterval) {
		a = g.SendAdmin(t, harness.PlainGet("/readyz"))
		if a.Status == status && strings.Contains(a.Body, detail) {
			return
		}
	}
	t.Errorf("want readiness %d with %q, found %d %s", status, detail, a.Status, a.Body)
}

// TestLogReaderCloses closes the reading end of the log. Writes fail with EPIPE and the
// kernel sends SIGPIPE; the gateway continues and stops in time.
func TestLogReaderCloses(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	mail := m.Issue(t, harness.OU("mail"))
	u := harness.NewUpstream(t, nil)
	reader, writer := logPipe(t)
	g := serveInto(t, u, harness.GatewayEnv(m.PublicKey, u), writer)
	_, _ = reader.Close(), writer.Close()
	sendUntilLost(t, g)
	if a := harness.Send(t, g.Addr, harness.Get("/events", mail)); a.Status != 200 {
		t.Errorf("want that requests go on, found %d", a.Status)
	}
	wantReadiness(t, g, 503, "log lines are being lost")
	g.Stop(t, harness.Terminate)
}

// TestLogReaderStalls checks that requests continue while the log's reader stalls, that
// lost lines are counted, and that the other lines are whole.
func TestLogReaderStalls(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	mail := m.Issue(t, harness.OU("mail"))
	u := harness.NewUpstream(t, nil)
	reader, writer := logPipe(t)
	g := serveInto(t, u, harness.GatewayEnv(m.PublicKey, u), writer)
	_ = writer.Close()
	sent := sendUntilLost(t, g)
	if a := harness.Send(t, g.Addr, harness.Get("/events", mail)); a.Status != 200 {
		t.Errorf("want that requests go on, found %d", a.Status)
	}
	wantReadiness(t, g, 503, "the reader of the log does not read")
	lost := lostLineCount(t, g)
	go func() { _, _ = io.Copy(g.Stderr, reader); g.Stderr.Close() }()
	line, err := g.Stderr.WaitLine(func(line string) bool { return strings.Contains(line, `"msg":"log lines were lost"`) })
	if want := fmt.Sprintf(`"lines":%.0f}`, lost); err != nil || !strings.HasSuffix(line, want) {
		t.Errorf("want a line with %s, found %q, %v", want, line, err)
	}
	wantReadiness(t, g, 200, "")
	g.Stop(t, harness.Terminate)
	if _, err := g.Stderr.WaitLine(func(line string) bool { return strings.Contains(line, `"msg":"stopped"`) }); err != nil {
		t.Error(err)
	}
	if lines := requestLines(t, g.Stderr.String()); lines+int(lost) != sent+1 {
		t.Errorf("want %d requests in the log, found %d, and %.0f lost", sent+1, lines, lost)
	}
}

// requestLines counts the lines of requests in a log whose every line is JSON.
func requestLines(t *testing.T, log string) (n int) {
	t.Helper()
	for line := range strings.Lines(log) {
		var l harness.AuditLine
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Errorf("want JSON, found %q", line)
		}
		if l.Msg == "request" {
			n++
		}
	}
	return n
}

// TestStalledLogDelaysShutdown checks that a stalled reader of the log delays the end by at
// most SHUTDOWN_TIMEOUT.
func TestStalledLogDelaysShutdown(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"json", "console"} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			u := harness.NewUpstream(t, nil)
			_, writer := logPipe(t)
			env := harness.GatewayEnv(harness.NewMasterKey(t, "p256").PublicKey, u).With(harness.Env{"SHUTDOWN_TIMEOUT": "1s", "LOG_FORMAT": format})
			g := serveInto(t, u, env, writer)
			sendUntilLost(t, g)
			g.Stop(t, harness.Terminate)
		})
	}
}

// TestFailedStartWithStalledLog checks that a failed start does not wait for the reader of
// its errors.
func TestFailedStartWithStalledLog(t *testing.T) {
	t.Parallel()
	_, writer := logPipe(t)
	fill(t, writer)
	command := exec.Command(harness.BinaryPath(t, "certgate"), "serve")
	command.Stderr = writer
	harness.StartCommand(t, "certgate", nil, command).WantExit(t, 2)
}

// TestLogToFullDisk checks that log lines that cannot be written are lost, or make the
// gateway refuse requests, according to LOG_FAILURE.
func TestLogToFullDisk(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	mail := m.Issue(t, harness.OU("mail"))
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	defer full.Close()
	t.Run("continue", func(t *testing.T) {
		u := harness.NewUpstream(t, nil)
		g := serveInto(t, u, harness.GatewayEnv(m.PublicKey, u), full)
		if a := harness.Send(t, g.Addr, harness.Get("/events", mail)); a.Status != 200 {
			t.Errorf("want that requests go on, found %d", a.Status)
		}
		sendUntilLost(t, g)
		wantReadiness(t, g, 503, "no space left on device")
		g.Stop(t, harness.Terminate)
	})
	t.Run("refuse", func(t *testing.T) {
		u := harness.NewUpstream(t, nil)
		verify := harness.FreeAddress(t)
		g := serveInto(t, u, harness.GatewayEnv(m.PublicKey, u).With(harness.Env{
			"LOG_FAILURE": "refuse", "AUTHZ_ADDR": verify, "AUTHZ_PEERS": "127.0.0.0/8",
		}), full)
		wantReadiness(t, g, 503, "no space left on device")
		a := harness.Send(t, g.Addr, harness.Get("/events", mail))
		if a.Status != 503 || a.Problem(t).Reason != string(refusal.Overloaded) || a.Header.Get("Retry-After") != "1" || strings.Contains(a.Body, "space") {
			t.Errorf("want 503 without the cause, found %d %v %s", a.Status, a.Header, a.Body)
		}
		u.WantNothing(t)
		check := harness.Get("/verify", mail).With("X-Original-Method: GET", "X-Original-URI: /events")
		if a := harness.Send(t, verify, check); a.Status != 403 || a.Header.Get("X-Certgate-Reason") != string(refusal.Overloaded) {
			t.Errorf("want 403 at /verify, found %d %v", a.Status, a.Header)
		}
		g.Stop(t, harness.Terminate)
	})
}

// TestLogFailureRefuse checks that with LOG_FAILURE=refuse no request passes while the
// log's reader stalls, and all pass when it reads again.
func TestLogFailureRefuse(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	mail := m.Issue(t, harness.OU("mail"))
	u := harness.NewUpstream(t, nil)
	reader, writer := logPipe(t)
	fill(t, writer)
	g := serveInto(t, u, harness.GatewayEnv(m.PublicKey, u).With(harness.Env{"LOG_FAILURE": "refuse"}), writer)
	_ = writer.Close()
	wantReadiness(t, g, 503, "the reader of the log does not read")
	if a := harness.Send(t, g.Addr, harness.Get("/events", mail)); a.Status != 503 {
		t.Errorf("want 503, found %d", a.Status)
	}
	go func() { _, _ = io.Copy(io.Discard, reader) }()
	wantReadiness(t, g, 200, "")
	if a := harness.Send(t, g.Addr, harness.Get("/events", mail)); a.Status != 200 {
		t.Errorf("want 200, found %d", a.Status)
	}
	g.Stop(t, harness.Terminate)
}

// fill writes to the pipe, which no process has inherited yet, until it is full.
func fill(t *testing.T, writer *os.File) {
	t.Helper()
	raw, err := writer.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		if e := raw.Write(func(fd uintptr) bool { _, err = syscall.Write(int(fd), []byte("\n")); return true }); e != nil {
			t.Fatal(e)
		}
	}
	if !errors.Is(err, syscall.EAGAIN) {
		t.Fatal(err)
	}
}

// TestLogFileTruncation checks rotation by copytruncate: further lines begin at the start
// of the file.
func TestLogFileTruncation(t *testing.T) {
	t.Parallel()
	u := harness.NewUpstream(t, nil)
	file, err := os.OpenFile(filepath.Join(t.TempDir(), "certgate.log"), os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	g := serveInto(t, u, harness.GatewayEnv(harness.NewMasterKey(t, "p256").PublicKey, u), file)
	harness.Send(t, g.Addr, harness.PlainGet("/events"))
	if err := file.Truncate(0); err != nil {
		t.Fatal(err)
	}
	harness.Send(t, g.Addr, harness.PlainGet("/events"))
	g.Stop(t, harness.Terminate)
	log, err := os.ReadFile(file.Name())
	if err != nil || requestLines(t, string(log)) == 0 || !strings.Contains(string(log), `"msg":"stopped"`) {
		t.Errorf("want the lines after the truncation, found %q, %v", log, err)
	}
}

// TestFailedStartsAreLogLines checks that a failed start writes nothing but lines in the
// log's format.
func TestFailedStartsAreLogLines(t *testing.T) {
	t.Parallel()
	env := minimal(t, harness.NewMasterKey(t, "p256")).With(harness.Env{"ADMIN_ADDR": ""})
	tests := []struct {
		name string
		env  harness.Env
		args []string
		code int
		want string // in the last line
	}{
		{"a fault", env.Without("UPSTREAM_URL"), nil, 2, `"msg":"gateway failed","variable":"UPSTREAM_URL","error":"found nothing, want`},
		{"no address", env.With(harness.Env{"LISTEN_ADDR": "192.0.2.1:1"}), nil, 1, `"msg":"gateway failed","error":"LISTEN_ADDR: want an address`},
		{"a flag", env, []string{"--port=1"}, 2, `"msg":"gateway failed","error":"unknown flag --port`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			command := exec.Command(harness.BinaryPath(t, "certgate"), append([]string{"serve"}, tt.args...)...)
			p := harness.StartCommand(t, "certgate", tt.env, command)
			p.WantExit(t, tt.code)
			requestLines(t, p.Stderr.String())
			if log := p.Stderr.String(); !strings.Contains(log, tt.want) {
				t.Errorf("want %s, found %s", tt.want, log)
			}
		})
	}
	t.Run("console", func(t *testing.T) {
		result := harness.Run(t, "certgate", env.Without("UPSTREAM_URL").With(harness.Env{"LOG_FORMAT": "console"}), "serve")
		if !strings.Contains(result.Stderr, "\terror\tgateway failed\t{") {
			t.Errorf("want a line of plain text, found %s", result.Stderr)
		}
	})
}
