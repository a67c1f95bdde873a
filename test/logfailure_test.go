package test

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
)

// lostLines is the metric of log lines that were dropped.
const lostLines = "certgate_log_lines_lost_total"

// serveInto starts a gateway whose standard error is the file. Its log may never be
// readable, so its addresses are chosen here.
func serveInto(t *testing.T, u *upstream, env environment, log *os.File) *gateway {
	t.Helper()
	addr, admin := freeAddress(t), freeAddress(t)
	command := exec.Command(run.binary(t, "certgate"), "serve")
	command.Stderr = log
	p := launch(t, "certgate", env.with(environment{"LISTEN_ADDR": addr, "ADMIN_ADDR": admin}), command)
	p.waitToListen(t, addr)
	p.waitToListen(t, admin)
	return &gateway{p, addr, admin, authz{}, u}
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

// lost returns how many lines the gateway has dropped.
func (g *gateway) lost(t *testing.T) float64 {
	t.Helper()
	return counter(metrics(t, g)[lostLines], map[string]string{})
}

// untilLost sends requests, whose lines are long, until log lines are lost. It
// returns how many requests it has sent.
func (g *gateway) untilLost(t *testing.T) (sent int) {
	t.Helper()
	c := dial(t, g.addr)
	r := plainGet("/" + strings.Repeat("x", 250)).String()
	for range 100 {
		for range 100 {
			c.write(t, r)
			if a := c.read(t, "GET"); a.status != 401 {
				t.Fatalf("want 401, found %d", a.status)
			}
			sent++
		}
		if g.lost(t) > 0 {
			return sent
		}
	}
	t.Fatalf("want lost lines after %d requests, found none", sent)
	return sent
}

// wantReadiness waits until /readyz answers with the status. With 503 it must give
// the reason.
func (g *gateway) wantReadiness(t *testing.T, status int, detail string) {
	t.Helper()
	var a answer
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(pause) {
		a = send(t, g.admin, plainGet("/readyz"))
		if a.status == status && strings.Contains(a.body, detail) {
			return
		}
	}
	t.Errorf("want readiness %d with %q, found %d %s", status, detail, a.status, a.body)
}

// TestLogReaderEnds: with the reader of the log gone, writes fail with EPIPE and the
// kernel sends SIGPIPE. The gateway goes on, and stops in time.
func TestLogReaderEnds(t *testing.T) {
	t.Parallel()
	m := newMaster(t, "p256")
	mail := m.issue(t, subject("mail"))
	u := newUpstream(t, nil)
	reader, writer := logPipe(t)
	g := serveInto(t, u, settings(m.publicKey, u), writer)
	_, _ = reader.Close(), writer.Close()
	g.untilLost(t)
	if a := send(t, g.addr, get("/events", mail)); a.status != 200 {
		t.Errorf("want that requests go on, found %d", a.status)
	}
	g.wantReadiness(t, 503, "log lines are being lost")
	g.stop(t, terminate)
}

// TestLogReaderStops: while the reader stands still, requests go on and lines are
// counted as lost. When it reads again, every other line is there and whole, and one
// says how many are missing.
func TestLogReaderStops(t *testing.T) {
	t.Parallel()
	m := newMaster(t, "p256")
	mail := m.issue(t, subject("mail"))
	u := newUpstream(t, nil)
	reader, writer := logPipe(t)
	g := serveInto(t, u, settings(m.publicKey, u), writer)
	_ = writer.Close()
	sent := g.untilLost(t)
	if a := send(t, g.addr, get("/events", mail)); a.status != 200 {
		t.Errorf("want that requests go on, found %d", a.status)
	}
	g.wantReadiness(t, 503, "the reader of the log does not read")
	lost := g.lost(t)
	go func() { _, _ = io.Copy(g.stderr, reader); g.stderr.end() }()
	line, err := g.stderr.line(func(line string) bool { return strings.Contains(line, `"msg":"log lines were lost"`) })
	if want := fmt.Sprintf(`"lines":%.0f}`, lost); err != nil || !strings.HasSuffix(line, want) {
		t.Errorf("want a line with %s, found %q, %v", want, line, err)
	}
	g.wantReadiness(t, 200, "")
	g.stop(t, terminate)
	if _, err := g.stderr.line(func(line string) bool { return strings.Contains(line, `"msg":"stopped"`) }); err != nil {
		t.Error(err)
	}
	if lines := requestLines(t, g.stderr.String()); lines+int(lost) != sent+1 {
		t.Errorf("want %d requests in the log, found %d, and %.0f lost", sent+1, lines, lost)
	}
}

// requestLines counts the lines of requests in a log whose every line is JSON.
func requestLines(t *testing.T, log string) (n int) {
	t.Helper()
	for line := range strings.Lines(log) {
		var l auditLine
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Errorf("want JSON, found %q", line)
		}
		if l.Msg == "request" {
			n++
		}
	}
	return n
}

// TestStuckLogEnds: a reader that stands still delays the end by SHUTDOWN_TIMEOUT at
// most.
func TestStuckLogEnds(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"json", "console"} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			u := newUpstream(t, nil)
			_, writer := logPipe(t)
			env := settings(newMaster(t, "p256").publicKey, u).with(environment{"SHUTDOWN_TIMEOUT": "1s", "LOG_FORMAT": format})
			g := serveInto(t, u, env, writer)
			g.untilLost(t)
			g.stop(t, terminate)
		})
	}
}

// TestStuckFailedStart: a failed start does not wait for the reader of its errors.
func TestStuckFailedStart(t *testing.T) {
	t.Parallel()
	_, writer := logPipe(t)
	fill(t, writer)
	command := exec.Command(run.binary(t, "certgate"), "serve")
	command.Stderr = writer
	launch(t, "certgate", nil, command).wantExit(t, 2)
}

// TestFullDisk: a log that cannot be written is either lost or a reason to refuse.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	m := newMaster(t, "p256")
	mail := m.issue(t, subject("mail"))
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	defer full.Close()
	t.Run("continue", func(t *testing.T) {
		u := newUpstream(t, nil)
		g := serveInto(t, u, settings(m.publicKey, u), full)
		if a := send(t, g.addr, get("/events", mail)); a.status != 200 {
			t.Errorf("want that requests go on, found %d", a.status)
		}
		g.untilLost(t)
		g.wantReadiness(t, 503, "no space left on device")
		g.stop(t, terminate)
	})
	t.Run("refuse", func(t *testing.T) {
		u := newUpstream(t, nil)
		verify := freeAddress(t)
		g := serveInto(t, u, settings(m.publicKey, u).with(environment{
			"LOG_FAILURE": "refuse", "AUTHZ_ADDR": verify, "AUTHZ_PEERS": "127.0.0.0/8",
		}), full)
		g.wantReadiness(t, 503, "no space left on device")
		a := send(t, g.addr, get("/events", mail))
		if a.status != 503 || a.problem(t).Reason != string(refusal.Overloaded) || a.header.Get("Retry-After") != "1" || strings.Contains(a.body, "space") {
			t.Errorf("want 503 without the cause, found %d %v %s", a.status, a.header, a.body)
		}
		u.wantNothing(t)
		asked := get("/verify", mail).with("X-Original-Method: GET", "X-Original-URI: /events")
		if a := send(t, verify, asked); a.status != 403 || a.header.Get("X-Certgate-Reason") != string(refusal.Overloaded) {
			t.Errorf("want 403 for a proxy that asks, found %d %v", a.status, a.header)
		}
		g.stop(t, terminate)
	})
}

// TestRefuseWithoutAReader: with LOG_FAILURE=refuse no request passes while the reader
// stands still, and all pass when it reads again.
func TestRefuseWithoutAReader(t *testing.T) {
	t.Parallel()
	m := newMaster(t, "p256")
	mail := m.issue(t, subject("mail"))
	u := newUpstream(t, nil)
	reader, writer := logPipe(t)
	fill(t, writer)
	g := serveInto(t, u, settings(m.publicKey, u).with(environment{"LOG_FAILURE": "refuse"}), writer)
	_ = writer.Close()
	g.wantReadiness(t, 503, "the reader of the log does not read")
	if a := send(t, g.addr, get("/events", mail)); a.status != 503 {
		t.Errorf("want 503, found %d", a.status)
	}
	go func() { _, _ = io.Copy(io.Discard, reader) }()
	g.wantReadiness(t, 200, "")
	if a := send(t, g.addr, get("/events", mail)); a.status != 200 {
		t.Errorf("want 200, found %d", a.status)
	}
	g.stop(t, terminate)
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

// TestLogFileIsTruncated: rotation by copytruncate, as README describes it. The lines
// after it begin at the start of the file.
func TestLogFileIsTruncated(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, nil)
	file, err := os.OpenFile(filepath.Join(t.TempDir(), "certgate.log"), os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	g := serveInto(t, u, settings(newMaster(t, "p256").publicKey, u), file)
	send(t, g.addr, plainGet("/events"))
	if err := file.Truncate(0); err != nil {
		t.Fatal(err)
	}
	send(t, g.addr, plainGet("/events"))
	g.stop(t, terminate)
	log, err := os.ReadFile(file.Name())
	if err != nil || requestLines(t, string(log)) == 0 || !strings.Contains(string(log), `"msg":"stopped"`) {
		t.Errorf("want the lines after the truncation, found %q, %v", log, err)
	}
}

// TestFailedStartsAreLogLines: a log pipeline gets no text that is not of the format.
func TestFailedStartsAreLogLines(t *testing.T) {
	t.Parallel()
	env := minimal(t, newMaster(t, "p256")).with(environment{"ADMIN_ADDR": ""})
	tests := []struct {
		name string
		env  environment
		args []string
		code int
		want string // in the last line
	}{
		{"a fault", env.without("UPSTREAM_URL"), nil, 2, `"msg":"gateway failed","variable":"UPSTREAM_URL","error":"found nothing, want`},
		{"no address", env.with(environment{"LISTEN_ADDR": "192.0.2.1:1"}), nil, 1, `"msg":"gateway failed","error":"LISTEN_ADDR: want an address`},
		{"a flag", env, []string{"--port=1"}, 2, `"msg":"gateway failed","error":"unknown flag --port`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			command := exec.Command(run.binary(t, "certgate"), append([]string{"serve"}, tt.args...)...)
			p := launch(t, "certgate", tt.env, command)
			p.wantExit(t, tt.code)
			requestLines(t, p.stderr.String())
			if log := p.stderr.String(); !strings.Contains(log, tt.want) {
				t.Errorf("want %s, found %s", tt.want, log)
			}
		})
	}
	t.Run("console", func(t *testing.T) {
		result := finish(t, "certgate", env.without("UPSTREAM_URL").with(environment{"LOG_FORMAT": "console"}), "serve")
		if !strings.Contains(result.stderr, "\terror\tgateway failed\t{") {
			t.Errorf("want a line for people, found %s", result.stderr)
		}
	})
}
