//go:build linux

package main

import (
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

const (
	// grace is how long answers may take after the last request is due.
	grace = 5 * time.Second
	// timerSlack is PR_SET_TIMERSLACK of prctl(2): by default the kernel wakes
	// a thread up to 50 µs late, which is a fifth of what is measured here.
	timerSlack = 29
)

// A load drives connections by a schedule and counts the answers. It is used by
// one goroutine, which keeps its thread.
type load struct {
	schedule    schedule
	requests    requests
	from, to    netip.AddrPort
	epoll       int
	connections []*connection // by the number in their epoll event
	parked      []*connection // connected and silent
	idle        chan int      // those without a request in flight, longest idle first
	start       time.Time
	elapsed     time.Duration

	sent, refused, lost int
	latencies           []time.Duration // of the answers 2xx
}

// newLoad connects everything, the parked connections first.
func newLoad(s settings, requests requests) (*load, error) {
	epoll, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	l := &load{
		schedule: s.schedule, requests: requests, from: s.from, to: s.target,
		epoll: epoll, idle: make(chan int, s.connections),
		connections: make([]*connection, s.connections),
		// Room for all of a usual run: growing would hold up the load.
		latencies: make([]time.Duration, 0, min(s.schedule.total, 1<<20)),
	}
	for range s.idle {
		if err := l.park(); err != nil {
			return nil, fmt.Errorf("idle connection: %w", err)
		}
	}
	for i := range l.connections {
		l.connections[i] = new(connection)
		if err := l.join(i); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// park opens a connection that has been served once.
func (l *load) park() error {
	c := new(connection)
	if err := c.dial(l.from, l.to); err != nil {
		return err
	}
	l.parked = append(l.parked, c)
	return c.exchange(l.requests.next())
}

// join connects connection i and makes it ready for a request.
func (l *load) join(i int) error {
	c := l.connections[i]
	if err := c.dial(l.from, l.to); err != nil {
		return err
	}
	if err := syscall.SetNonblock(c.fd, true); err != nil {
		return fmt.Errorf("nonblocking socket: %w", err)
	}
	event := syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(i)} //nolint:gosec // the number of a connection
	if err := syscall.EpollCtl(l.epoll, syscall.EPOLL_CTL_ADD, c.fd, &event); err != nil {
		return fmt.Errorf("epoll: %w", err)
	}
	l.idle <- i
	return nil
}

func (l *load) close() {
	for _, c := range slices.Concat(l.connections, l.parked) {
		c.close()
	}
	syscall.Close(l.epoll) //nolint:errcheck // nothing is left to do
}

// drive sends by the schedule until it is over and everything is answered.
func (l *load) drive() error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if _, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, timerSlack, 1, 0); errno != 0 {
		return fmt.Errorf("prctl: %w", errno)
	}
	events := make([]syscall.EpollEvent, 256)
	l.start = time.Now()
	for !l.finished() {
		if err := l.sendDue(); err != nil {
			return err
		}
		ready, err := l.wait(events)
		if err != nil {
			return err
		}
		for _, event := range ready {
			if err := l.handle(int(event.Fd)); err != nil {
				return err
			}
		}
	}
	l.elapsed = time.Since(l.start)
	l.lost += l.inFlight()
	if l.schedule.rate > 0 {
		l.lost += l.schedule.total - l.sent
	}
	return nil
}

func (l *load) inFlight() int { return cap(l.idle) - len(l.idle) }

func (l *load) finished() bool {
	now := time.Since(l.start)
	return l.schedule.over(l.sent, now) && l.inFlight() == 0 || now > l.schedule.end+grace
}

// sendDue sends what is due, as far as there are connections for it.
func (l *load) sendDue() error {
	now := time.Since(l.start)
	for len(l.idle) > 0 && !l.schedule.over(l.sent, now) {
		due := l.schedule.due(l.sent, now)
		if due > now {
			return nil
		}
		i := <-l.idle
		l.sent++
		if err := l.connections[i].send(l.requests.next(), due); err != nil {
			l.lost++
			if err := l.rejoin(i); err != nil {
				return err
			}
		}
		now = time.Since(l.start)
	}
	return nil
}

// wait returns the connections that have something to read, or nothing when the
// next request is due. Select has microseconds where epoll has milliseconds.
func (l *load) wait(events []syscall.EpollEvent) ([]syscall.EpollEvent, error) {
	now := time.Since(l.start)
	until := l.schedule.end + grace
	if len(l.idle) > 0 && !l.schedule.over(l.sent, now) {
		until = l.schedule.due(l.sent, now)
	}
	timeout := syscall.NsecToTimeval(max(until-now, 0).Nanoseconds())
	var readable syscall.FdSet
	readable.Bits[l.epoll/64] |= 1 << (l.epoll % 64)
	_, err := syscall.Select(l.epoll+1, &readable, nil, nil, &timeout)
	if err != nil && !errors.Is(err, syscall.EINTR) {
		return nil, fmt.Errorf("select: %w", err)
	}
	n, err := syscall.EpollWait(l.epoll, events, 0)
	if err != nil && !errors.Is(err, syscall.EINTR) {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	return events[:max(n, 0)], nil
}

// handle reads from connection i and counts the answer. A connection that broke
// loses its request; one that the server closed between requests loses nothing.
func (l *load) handle(i int) error {
	c := l.connections[i]
	a, err := c.receive()
	if errors.Is(err, errPartial) {
		return nil
	}
	if err != nil {
		if !c.busy {
			return l.replaceIdle(i)
		}
		l.lost++
		return l.rejoin(i)
	}
	if a.status/100 == 2 {
		l.latencies = append(l.latencies, time.Since(l.start)-c.due)
	} else {
		l.refused++
	}
	if a.last {
		return l.rejoin(i)
	}
	l.idle <- i
	return nil
}

// rejoin replaces connection i, which is not among the idle.
func (l *load) rejoin(i int) error {
	l.connections[i].close()
	return l.join(i)
}

// replaceIdle replaces connection i, which is among the idle.
func (l *load) replaceIdle(i int) error {
	for range len(l.idle) {
		if other := <-l.idle; other != i {
			l.idle <- other
		}
	}
	return l.rejoin(i)
}

// report is one line of NAME=VALUE pairs: counts of requests, those answered
// 2xx a second, and how long these took in milliseconds.
func (l *load) report() string {
	slices.Sort(l.latencies)
	var line strings.Builder
	fmt.Fprintf(&line, "requests=%d ok=%d refused=%d lost=%d elapsed=%.3f",
		len(l.latencies)+l.refused+l.lost, len(l.latencies), l.refused, l.lost, l.elapsed.Seconds())
	for _, q := range []struct {
		name  string
		share float64
	}{{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"max", 1}} {
		fmt.Fprintf(&line, " %s=%.3f", q.name, percentile(l.latencies, q.share).Seconds()*1000)
	}
	return line.String()
}
