package replay_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/guard/replay"
	"github.com/certgate/certgate/internal/guard/resp"
	"github.com/certgate/certgate/internal/testkit/redisserver"
)

// testTimeout is the deadline for conditions that a test waits for. It is long enough
// for a busy machine.
const testTimeout = 20 * time.Second

// redisServer is a redis-server process.
type redisServer struct{ *redisserver.Server }

// startRedis starts a server with further settings, such as "--maxmemory", "2mb".
func startRedis(tb testing.TB, settings ...string) redisServer {
	tb.Helper()
	return redisServer{redisserver.Start(tb, settings...)}
}

// at returns the address of the server with a login such as ":secret@", or without
// one if login is empty.
func (s redisServer) at(tb testing.TB, login string) resp.Server {
	tb.Helper()
	return parseServer(tb, s.URL(login))
}

func parseServer(tb testing.TB, text string) resp.Server {
	tb.Helper()
	server, err := resp.ParseServer(text)
	if err != nil {
		tb.Fatal(err)
	}
	return server
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
	case <-time.After(testTimeout):
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

// newRedis returns a store whose Watch runs until the test ends or reported.stop is called.
// Its timeouts are long enough for a busy machine.
func newRedis(tb testing.TB, o replay.RedisOptions) (r *replay.Redis, reported reports) {
	tb.Helper()
	return watched(tb, o, func(o replay.RedisOptions) *replay.Redis { return replay.NewRedisWithTimeout(o, testTimeout) })
}

// newQuickRedis is newRedis with the timeouts of the gateway.
func newQuickRedis(tb testing.TB, o replay.RedisOptions) (r *replay.Redis, reported reports) {
	tb.Helper()
	return watched(tb, o, replay.NewQuickRedis)
}

func watched(tb testing.TB, o replay.RedisOptions, open func(replay.RedisOptions) *replay.Redis) (r *replay.Redis, reported reports) {
	tb.Helper()
	reported.events = make(chan report, 1000)
	o.Report = reported.add
	r = open(o)
	ctx, cancel := context.WithCancel(context.Background())
	var watching sync.WaitGroup
	watching.Go(func() { r.Watch(ctx) })
	reported.stop = func() {
		cancel()
		watching.Wait()
	}
	tb.Cleanup(reported.stop)
	return r, reported
}
