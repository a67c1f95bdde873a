// Package redisserver starts Redis servers for tests: the real one, and servers whose
// replies the test decides.
package redisserver

import (
	"bufio"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// startTimeout is the time that a server may take to start. It is long enough for a busy
// machine.
const startTimeout = 20 * time.Second

// TB is the part of [testing.TB] that the package uses.
type TB interface {
	Helper()
	Cleanup(f func())
	Fatal(args ...any)
	Skip(args ...any)
	TempDir() string
}

// Server is a redis-server process on its own port. Use [Start] to create one.
type Server struct {
	path, port string
	settings   []string
	process    *os.Process
	ended      chan struct{}
}

// Start starts a server with further settings, such as "--maxmemory", "2mb".
func Start(tb TB, settings ...string) *Server {
	tb.Helper()
	path, err := exec.LookPath("redis-server")
	switch {
	case err == nil:
	case os.Getenv("CI") == "true":
		tb.Fatal("want redis-server in CI, found none")
	default:
		tb.Skip("redis-server is not installed")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	_ = l.Close()
	s := &Server{path: path, port: port, settings: settings}
	s.Restart(tb)
	tb.Cleanup(s.Kill)
	return s
}

// Restart starts the process, with an empty database, and returns when the server accepts commands.
func (s *Server) Restart(tb TB) {
	tb.Helper()
	args := append([]string{"--port", s.port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", tb.TempDir()}, s.settings...)
	cmd := exec.Command(s.path, args...)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	ready, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			if strings.Contains(lines.Text(), "Ready to accept connections") {
				close(ready)
			}
		}
		_ = cmd.Wait()
	}()
	s.process, s.ended = cmd.Process, ended
	select {
	case <-ready:
	case <-ended:
		tb.Fatal("redis-server exited before it was ready")
	case <-time.After(startTimeout):
		s.Kill()
		tb.Fatal("redis-server was not ready in time")
	}
}

// Kill ends the process.
func (s *Server) Kill() {
	_ = s.process.Kill()
	<-s.ended
}

// Signal sends a signal to the process.
func (s *Server) Signal(tb TB, signal syscall.Signal) {
	tb.Helper()
	if err := s.process.Signal(signal); err != nil {
		tb.Fatal(err)
	}
}

// URL returns the URL of the server with a login such as ":secret@", or without one if login
// is empty.
func (s *Server) URL(login string) string { return "redis://" + login + s.Addr() }

// Addr returns the address of the server.
func (s *Server) Addr() string { return "127.0.0.1:" + s.port }
