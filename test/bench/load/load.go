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
	// grace is how long responses may take after the last request was due.
	grace = 5 * time.Second
	// timerSlack is PR_SET_TIMERSLACK of prctl(2). By default, the kernel may wake a thread
	// up to 50 µs late, which is a fifth of the measured latencies.
	timerSlack = 29
)

// load sends requests over its connections according to a schedule, and counts the
// responses. It belongs to one goroutine, which is locked to its thread.
type load struct {
	schedule    schedule
	requests    requests
	body        int // number of last bytes of each request that stay valid, see requests
	inFlight    int // maximum number of requests in flight
	from, to    netip.AddrPort
	epoll       int
	connections []*connection // the index is in the epoll events
	idle        chan int      // indexes of connections without a request in flight, longest idle first
	start       time.Time
	elapsed     time.Duration

	sent, refused, lost int
	latencies           []time.Duration // of responses with status 2xx
}

// newLoad connects all connections.
func newLoad(s settings, requests requests) (*load, error) {
	epoll, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	l := &load{
		schedule: s.schedule, requests: requests, body: len(s.message.content()), inFlight: s.inFlight,
		from: s.from, to: s.target,
		epoll: epoll, idle: make(chan int, s.connections),
		connections: make([]*connection, s.connections),
		// Enough for most runs, because growing the slice would delay requests.
		latencies: make([]time.Duration, 0, min(s.schedule.total, 1<<20)),
	}
	for i := range l.connections {
		l.connections[i] = new(connection)
		if s.hold {
			err = l.joinAfterExchange(i)
		} else {
			err = l.join(i)
		}
		if err != nil {
			return nil, err
		}
	}
	return l, nil
}

// joinAfterExchange connects connection i, sends one request, and adds the connection to
// the load.
func (l *load) joinAfterExchange(i int) error {
	c := l.connections[i]
	if err := c.dial(l.from, l.to); err != nil {
		return err
	}
	if err := c.exchange(l.requests.next(i)); err != nil {
		return fmt.Errorf("first request of a connection: %w", err)
	}
	return l.add(i)
}

// join connects connection i and adds it to the load.
func (l *load) join(i int) error {
	if err := l.connections[i].dial(l.from, l.to); err != nil {
		return err
	}
	return l.add(i)
}

// add adds connection i, which is connected, to the load.
func (l *load) add(i int) error {
	if err := syscall.SetNonblock(l.connections[i].fd, true); err != nil {
		return fmt.Errorf("nonblocking socket: %w", err)
	}
	l.idle <- i
	return l.watch(i, syscall.EPOLL_CTL_ADD, syscall.EPOLLIN)
}

// watch sets the events that epoll reports for connection i.
func (l *load) watch(i, operation int, events uint32) error {
	event := syscall.EpollEvent{Events: events, Fd: int32(i)} //nolint:gosec // the number of a connection
	if err := syscall.EpollCtl(l.epoll, operation, l.connections[i].fd, &event); err != nil {
		return fmt.Errorf("epoll: %w", err)
	}
	return nil
}

func (l *load) close() {
	for _, c := range l.connections {
		c.close()
	}
	syscall.Close(l.epoll) //nolint:errcheck // the load is not used any more
}

// drive sends requests until the schedule ends and every request has a response or the time
// for responses is over.
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
			if err := l.handle(int(event.Fd), event.Events); err != nil {
				return err
			}
		}
	}
	l.elapsed = time.Since(l.start)
	l.lost += l.unanswered()
	if l.schedule.rate > 0 {
		l.lost += l.schedule.total - l.sent
	}
	return nil
}

// unanswered returns the number of requests in flight.
func (l *load) unanswered() int { return cap(l.idle) - len(l.idle) }

// free reports whether another request may be sent.
func (l *load) free() bool { return len(l.idle) > 0 && l.unanswered() < l.inFlight }

func (l *load) finished() bool {
	now := time.Since(l.start)
	return l.schedule.over(l.sent, now) && l.unanswered() == 0 || now > l.schedule.end+grace
}

// sendDue sends the requests that are due, while a connection is free.
func (l *load) sendDue() error {
	now := time.Since(l.start)
	for l.free() && !l.schedule.over(l.sent, now) {
		due := l.schedule.due(l.sent, now)
		if due > now {
			return nil
		}
		i := <-l.idle
		l.sent++
		if err := l.send(i, due); err != nil {
			return err
		}
		now = time.Since(l.start)
	}
	return nil
}

// send sends the next request on connection i.
func (l *load) send(i int, due time.Duration) error {
	c := l.connections[i]
	if err := c.send(l.requests.next(i), l.body, due); err != nil {
		l.lost++
		return l.rejoin(i)
	}
	if len(c.unsent) > 0 {
		return l.watch(i, syscall.EPOLL_CTL_MOD, syscall.EPOLLIN|syscall.EPOLLOUT)
	}
	return nil
}

// wait waits until a connection is ready or the next request is due, and returns the events
// of the ready connections.
func (l *load) wait(events []syscall.EpollEvent) ([]syscall.EpollEvent, error) {
	now := time.Since(l.start)
	until := l.schedule.end + grace
	if l.free() && !l.schedule.over(l.sent, now) {
		until = l.schedule.due(l.sent, now)
	}
	timeout := max(until-now, 0)
	if timeout < time.Second {
		// The timeout of select has a resolution of microseconds, that of epoll of milliseconds.
		if err := l.pause(timeout); err != nil {
			return nil, err
		}
		timeout = 0
	}
	n, err := syscall.EpollWait(l.epoll, events, int(timeout.Milliseconds()))
	if err != nil && !errors.Is(err, syscall.EINTR) {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	return events[:max(n, 0)], nil
}

// pause waits until a connection is ready, but no longer than timeout.
func (l *load) pause(timeout time.Duration) error {
	limit := syscall.NsecToTimeval(timeout.Nanoseconds())
	var readable syscall.FdSet
	readable.Bits[l.epoll/64] |= 1 << (l.epoll % 64)
	_, err := syscall.Select(l.epoll+1, &readable, nil, nil, &limit)
	if err != nil && !errors.Is(err, syscall.EINTR) {
		return fmt.Errorf("select: %w", err)
	}
	return nil
}

// handle writes to and reads from connection i. If the connection ended with a request in
// flight, the request counts as lost. A connection that the server closed between requests
// is replaced without a loss.
func (l *load) handle(i int, events uint32) error {
	c := l.connections[i]
	if len(c.unsent) > 0 && events&syscall.EPOLLOUT != 0 {
		if err := l.resume(i); err != nil {
			return err
		}
	}
	if events&^syscall.EPOLLOUT == 0 {
		return nil
	}
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
	if a.last || len(c.unsent) > 0 {
		return l.rejoin(i)
	}
	l.idle <- i
	return nil
}

// resume sends more of a body. It ignores an error of the write, because the response may
// have arrived; receive returns the error of the connection otherwise.
func (l *load) resume(i int) error {
	c := l.connections[i]
	if err := c.resume(); err != nil {
		c.unsent = nil
	}
	if len(c.unsent) > 0 {
		return nil
	}
	return l.watch(i, syscall.EPOLL_CTL_MOD, syscall.EPOLLIN)
}

// rejoin replaces connection i, which is not in l.idle.
func (l *load) rejoin(i int) error {
	l.connections[i].close()
	return l.join(i)
}

// replaceIdle replaces connection i, which is in l.idle.
func (l *load) replaceIdle(i int) error {
	for range len(l.idle) {
		if other := <-l.idle; other != i {
			l.idle <- other
		}
	}
	return l.rejoin(i)
}

// report returns one line of NAME=VALUE pairs: the counts of requests, the duration of the
// load in seconds, and the latencies of the responses with status 2xx in milliseconds.
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
