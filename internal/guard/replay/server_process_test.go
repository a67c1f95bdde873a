package replay_test

import (
	"bufio"
	"context"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/certgate/certgate/internal/guard/replay"
)

// patience is the deadline for conditions that a test waits for. It is long enough
// for a busy machine.
const patience = 20 * time.Second

// redisServer is a redis-server process on its own port.
type redisServer struct {
	path, port string
	settings   []string
	process    *os.Process
	ended      chan struct{}
}

// startRedis starts a server with further settings, such as "--maxmemory", "2mb".
func startRedis(tb testing.TB, settings ...string) *redisServer {
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
	s := &redisServer{path: path, port: port, settings: settings}
	s.start(tb)
	tb.Cleanup(s.kill)
	return s
}

// start starts the process and returns when the server accepts commands.
func (s *redisServer) start(tb testing.TB) {
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
	case <-time.After(patience):
		s.kill()
		tb.Fatal("redis-server was not ready in time")
	}
}

func (s *redisServer) kill() {
	_ = s.process.Kill()
	<-s.ended
}

func (s *redisServer) signal(tb testing.TB, signal syscall.Signal) {
	tb.Helper()
	if err := s.process.Signal(signal); err != nil {
		tb.Fatal(err)
	}
}

// at returns the address of the server with a login such as ":secret@", or without
// one if login is empty.
func (s *redisServer) at(tb testing.TB, login string) replay.Server {
	tb.Helper()
	return parseServer(tb, "redis://"+login+"127.0.0.1:"+s.port)
}

func parseServer(tb testing.TB, text string) replay.Server {
	tb.Helper()
	server, err := replay.ParseServer(text)
	if err != nil {
		tb.Fatal(err)
	}
	return server
}

// operator returns a client that does not use the code under test.
func (s *redisServer) operator(tb testing.TB, password string) *redis.Client {
	tb.Helper()
	c := redis.NewClient(&redis.Options{Addr: "127.0.0.1:" + s.port, Password: password, Protocol: 2})
	tb.Cleanup(func() { _ = c.Close() })
	return c
}

// reports collects the events that a store reports.
type reports struct {
	events chan report
	stop   func() // stops Watch and waits for it
}

type report struct {
	event replay.Event
	err   error
}

func (r reports) add(event replay.Event, err error) { r.events <- report{event, err} }

// want waits for the next report, checks its event and returns its error.
func (r reports) want(tb testing.TB, event replay.Event) error {
	tb.Helper()
	select {
	case found := <-r.events:
		if found.event != event {
			tb.Fatalf("want redis %s, found %s: %v", event, found.event, found.err)
		}
		return found.err
	case <-time.After(patience):
		tb.Fatalf("want redis %s, found no report", event)
	}
	return nil
}

// wantNone checks that there is no further report.
func (r reports) wantNone(tb testing.TB) {
	tb.Helper()
	select {
	case found := <-r.events:
		tb.Errorf("want no report, found redis %s: %v", found.event, found.err)
	default:
	}
}

// newRedis returns a store whose Watch runs until the test ends or said.stop is called.
// Its timeouts are long enough for a busy machine.
func newRedis(tb testing.TB, o replay.RedisOptions) (r *replay.Redis, said reports) {
	tb.Helper()
	return watched(tb, o, func(o replay.RedisOptions) *replay.Redis { return replay.NewPatientRedis(o, patience) })
}

// newQuickRedis is newRedis with the timeouts of the gateway.
func newQuickRedis(tb testing.TB, o replay.RedisOptions) (r *replay.Redis, said reports) {
	tb.Helper()
	return watched(tb, o, replay.NewQuickRedis)
}

func watched(tb testing.TB, o replay.RedisOptions, open func(replay.RedisOptions) *replay.Redis) (r *replay.Redis, said reports) {
	tb.Helper()
	said.events = make(chan report, 1000)
	o.Report = said.add
	r = open(o)
	ctx, cancel := context.WithCancel(context.Background())
	var watching sync.WaitGroup
	watching.Go(func() { r.Watch(ctx) })
	said.stop = func() {
		cancel()
		watching.Wait()
	}
	tb.Cleanup(said.stop)
	return r, said
}
