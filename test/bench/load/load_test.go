//go:build linux

package main

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestPercentile(t *testing.T) {
	hundred := make([]time.Duration, 100)
	for i := range hundred {
		hundred[i] = time.Duration(i + 1)
	}
	tests := []struct {
		name   string
		sorted []time.Duration
		q      float64
		want   time.Duration
	}{
		{"none", nil, 0.99, 0},
		{"one", []time.Duration{7}, 0.5, 7},
		{"smallest", hundred, 0, 1},
		{"median of an even number is the lower", hundred, 0.5, 50},
		{"median of an odd number", []time.Duration{1, 2, 9}, 0.5, 2},
		{"99th of 100", hundred, 0.99, 99},
		{"99th of fewer than 100 is the largest", hundred[:99], 0.99, 99},
		{"largest", hundred, 1, 100},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if found := percentile(test.sorted, test.q); found != test.want {
				t.Errorf("want %d, found %d", test.want, found)
			}
		})
	}
}

func TestSchedule(t *testing.T) {
	tests := []struct {
		name      string
		schedule  schedule
		i         int
		now       time.Duration
		want      time.Duration
		wantOver  bool
		wantTotal int
	}{
		{"first", newSchedule(500, time.Second, 0), 0, time.Hour, 0, false, 500},
		{"due times do not depend on now", newSchedule(500, time.Second, 0), 3, time.Hour, 6 * time.Millisecond, false, 500},
		{"the last one that comes due", newSchedule(500, time.Second, 0), 499, time.Hour, 998 * time.Millisecond, false, 500},
		{"all are over", newSchedule(500, time.Second, 0), 500, 0, time.Second, true, 500},
		{"fewer requests than time", newSchedule(500, time.Second, 10), 10, 0, 20 * time.Millisecond, true, 10},
		{"at full load the next request is due now", newSchedule(0, time.Second, 10), 3, time.Millisecond, time.Millisecond, false, 10},
		{"full load ends with the time", newSchedule(0, time.Second, 10), 3, time.Second, time.Second, true, 10},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if found := test.schedule.due(test.i, test.now); found != test.want {
				t.Errorf("want request %d due at %s, found %s", test.i, test.want, found)
			}
			if found := test.schedule.over(test.i, test.now); found != test.wantOver {
				t.Errorf("want over %t, found %t", test.wantOver, found)
			}
			if test.schedule.total != test.wantTotal {
				t.Errorf("want %d requests, found %d", test.wantTotal, test.schedule.total)
			}
		})
	}
}

func TestParseAnswer(t *testing.T) {
	const good = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
	tests := []struct {
		name, received string
		want           answer
		wantError      string
	}{
		{"good", good, answer{status: 200, length: len(good)}, ""},
		{"the next one behind it", good + good, answer{status: 200, length: len(good)}, ""},
		{"in any case", "HTTP/1.1 403 No\r\ncontent-length:0\r\nCONNECTION: Close\r\n\r\n", answer{403, 56, true}, ""},
		{"half a head", good[:30], answer{}, errPartial.Error()},
		{"half a body", good[:len(good)-1], answer{status: 200, length: len(good)}, ""},
		{"no length", "HTTP/1.1 200 OK\r\n\r\n", answer{}, "want a response with a Content-Length"},
		{"no HTTP", "SSH-2.0\r\n\r\n", answer{}, `want an HTTP/1.1 status line, found "SSH-2.0"`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			found, err := parseAnswer([]byte(test.received))
			if found != test.want {
				t.Errorf("want %+v, found %+v", test.want, found)
			}
			if (err == nil) != (test.wantError == "") || err != nil && !strings.Contains(err.Error(), test.wantError) {
				t.Errorf("want the error %q, found %v", test.wantError, err)
			}
		})
	}
}

// loadServer runs the load against a handler and returns it when it is over.
func loadServer(t *testing.T, handler http.HandlerFunc, flags ...string) *load {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	file := filepath.Join(t.TempDir(), "values")
	if err := os.WriteFile(file, []byte("first\nsecond\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := parse(append(flags, "-url", server.URL+"/events", "-header-file", file))
	if err != nil {
		t.Fatal(err)
	}
	source, err := s.requests()
	if err != nil {
		t.Fatal(err)
	}
	l, err := newLoad(s, source)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.close)
	if err := l.drive(); err != nil {
		t.Fatal(err)
	}
	return l
}

func wantCounts(t *testing.T, l *load, ok, refused, lost int) {
	t.Helper()
	if len(l.latencies) != ok || l.refused != refused || l.lost != lost {
		t.Errorf("want %d ok, %d refused, %d lost, found %d, %d, %d", ok, refused, lost, len(l.latencies), l.refused, l.lost)
	}
}

// TestLoadCounts checks that every request counts as answered, refused or lost, and that broken
// connections are replaced.
func TestLoadCounts(t *testing.T) {
	var first, second, served atomic.Int64
	l := loadServer(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.Header.Get("X-SSL-Auth") {
		case "first":
			first.Add(1)
		case "second":
			second.Add(1)
		}
		switch served.Add(1) % 4 {
		case 1:
			w.WriteHeader(http.StatusForbidden)
		case 2:
			w.Header().Set("Connection", "close")
		case 3:
			panic(http.ErrAbortHandler)
		}
	}, "-requests", "40", "-connections", "3", "-duration", "1m")
	wantCounts(t, l, 20, 10, 10)
	if first.Load() != 20 || second.Load() != 20 {
		t.Errorf("want both values 20 times, found %d and %d", first.Load(), second.Load())
	}
	if want := "requests=40 ok=20 refused=10 lost=10 "; !strings.HasPrefix(l.report(), want) {
		t.Errorf("want the report %s…, found %s", want, l.report())
	}
}

// TestLoadOmitsNothing checks that requests that are due while the server stalls are sent late and not
// left out. The times are lower bounds: a slow machine only makes them longer.
func TestLoadOmitsNothing(t *testing.T) {
	const stall = 30 * time.Millisecond
	var served atomic.Int64
	l := loadServer(t, func(http.ResponseWriter, *http.Request) {
		if served.Add(1) == 1 {
			time.Sleep(stall) // it is what this test is about
		}
	}, "-rate", "1000", "-duration", "20ms", "-connections", "1")
	wantCounts(t, l, 20, 0, 0)
	for i, latency := range l.latencies { // one connection answers in order
		if least := stall - time.Duration(i)*time.Millisecond; latency < least {
			t.Errorf("request %d: want a latency of at least %s, found %s", i, least, latency)
		}
	}
}

// TestLoadLargeBodies: bodies longer than the buffers of a socket arrive whole, both
// ways.
func TestLoadLargeBodies(t *testing.T) {
	const size = 6 << 20
	for _, flags := range [][]string{nil, {"-chunked"}} {
		var whole atomic.Int64
		l := loadServer(t, func(w http.ResponseWriter, r *http.Request) {
			if n, err := io.Copy(io.Discard, r.Body); n == size && err == nil {
				whole.Add(1)
			}
			w.Header().Set("Content-Length", strconv.Itoa(size))
			_, _ = w.Write(make([]byte, size))
		}, append(flags, "-requests", "5", "-connections", "2", "-body", strconv.Itoa(size), "-duration", "1m")...)
		wantCounts(t, l, 5, 0, 0)
		if whole.Load() != 5 {
			t.Errorf("flags %q: want 5 whole bodies, found %d", flags, whole.Load())
		}
	}
}

// TestLoadRefusedEarly: an answer before the body is sent counts, and its connection is
// not used again.
func TestLoadRefusedEarly(t *testing.T) {
	requests := 4
	if testing.Short() {
		requests = 2
	}
	l := loadServer(t, func(w http.ResponseWriter, r *http.Request) {
		c := http.NewResponseController(w)
		w.Header().Set("Content-Length", "0")
		w.WriteHeader(http.StatusForbidden)
		if err := errors.Join(c.EnableFullDuplex(), c.Flush()); err != nil {
			t.Error(err)
		}
		// Without this, the server would close the connection, and the answer could be lost.
		_, _ = io.Copy(io.Discard, r.Body)
	}, "-requests", strconv.Itoa(requests), "-connections", "1", "-body", strconv.Itoa(32<<20), "-duration", "1m")
	wantCounts(t, l, 0, requests, 0)
}

// TestLoadInFlight: all connections are used, but only some at a time.
func TestLoadInFlight(t *testing.T) {
	var current, highest atomic.Int64
	clients := make(chan string, 40)
	l := loadServer(t, func(_ http.ResponseWriter, r *http.Request) {
		now := current.Add(1)
		defer current.Add(-1)
		for old := highest.Load(); now > old && !highest.CompareAndSwap(old, now); old = highest.Load() {
		}
		clients <- r.RemoteAddr
	}, "-requests", "40", "-connections", "20", "-in-flight", "2", "-duration", "1m")
	wantCounts(t, l, 40, 0, 0)
	if highest.Load() > 2 {
		t.Errorf("want at most 2 requests at a time, found %d", highest.Load())
	}
	seen := map[string]int{}
	for range 40 {
		seen[<-clients]++
	}
	if len(seen) != 20 {
		t.Errorf("want 20 connections, found %d", len(seen))
	}
}

// TestLoadWarmsUp: before a load that is held, each of its connections is served once.
func TestLoadWarmsUp(t *testing.T) {
	clients := make(chan string, 10)
	l := loadServer(t, func(_ http.ResponseWriter, r *http.Request) { clients <- r.RemoteAddr },
		"-hold", "-requests", "3", "-connections", "3", "-order", "each")
	wantCounts(t, l, 3, 0, 0)
	seen := map[string]int{}
	for range 6 {
		seen[<-clients]++
	}
	if len(seen) != 3 {
		t.Errorf("want 3 connections, found %d", len(seen))
	}
}

func TestParse(t *testing.T) {
	file := filepath.Join(t.TempDir(), "values")
	if err := os.WriteFile(file, []byte("value\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	good := []string{"-header-file", file, "-url", "http://127.0.0.1:80/events"}
	tests := []struct {
		name  string
		flags []string
		want  string
	}{
		{"good", nil, ""},
		{"another machine", []string{"-url", "http://192.0.2.1:80/"}, "want IPv4 loopback addresses, found 192.0.2.1"},
		{"from another machine", []string{"-from", "192.0.2.1"}, "want IPv4 loopback addresses, found 192.0.2.1"},
		{"a name", []string{"-url", "http://localhost:80/"}, "want -url http://ADDRESS:PORT/PATH"},
		{"TLS", []string{"-url", "https://127.0.0.1:80/"}, "want -url http://ADDRESS:PORT/PATH"},
		{"no connections", []string{"-connections", "0"}, "want flags with positive numbers"},
		{"an order", []string{"-order", "random"}, "want shared, each or fixed"},
		{"too many sources", []string{"-sources", "65537"}, "want flags with positive numbers"},
		{"no fields", []string{"-fields-file", "/nonexistent"}, "-fields-file: open"},
		{"surplus", []string{"more"}, "want flags with positive numbers and nothing else"},
		{"no values", []string{"-header-file", os.DevNull}, "want values in"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := parse(slices.Concat(good, test.flags))
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("want the error %q, found %v", test.want, err)
			}
		})
	}
}
