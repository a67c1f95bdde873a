//go:build linux

// Command load sends requests to a gateway on the loopback interface, at a fixed rate or at
// full load, and prints one line about the responses.
//
// At a fixed rate the load is open loop: request i is due at start + i/rate, independent of
// the responses to earlier requests, and its latency counts from that time. If the gateway
// stalls, the requests that become due meanwhile count with their delay, or as lost. This
// avoids the coordinated omission of closed loops.
//
// One thread uses raw sockets with epoll, because it shares its core with the upstream of
// the benchmark. Goroutines and timers of the Go runtime would need more CPU time than the
// requests, and would round waiting times up to whole milliseconds.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return
		}
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

// settings are the valid values of the command line.
type settings struct {
	target, from netip.AddrPort
	path         string
	schedule     schedule
	connections  int
	inFlight     int
	hold         bool
	message      message
	credentials  []string
	order        order
	forge        bool
}

func run(arguments []string, out io.Writer) error {
	s, err := parse(arguments)
	if err != nil {
		return err
	}
	begin := make(chan os.Signal, 1)
	signal.Notify(begin, syscall.SIGUSR1)
	requests, err := s.requests()
	if err != nil {
		return err
	}
	l, err := newLoad(s, requests)
	if err != nil {
		return err
	}
	defer l.close()
	if s.hold {
		fmt.Fprintln(out, "ready=1")
		<-begin
	}
	if err := l.drive(); err != nil {
		return err
	}
	fmt.Fprintln(out, l.report())
	return nil
}

func parse(arguments []string) (settings, error) {
	s := settings{order: shared}
	flags := flag.NewFlagSet("load", flag.ContinueOnError)
	target := flags.String("url", "", "`URL` to send to: http, a loopback IPv4 address, a port and a path")
	from := flags.String("from", "127.0.0.1", "loopback `address` that the connections come from")
	rate := flags.Float64("rate", 0, "requests per second, open loop; 0 is full load: each connection has one request in flight")
	duration := flags.Duration("duration", 3*time.Second, "of the load; requests in flight may take up to 5s longer")
	count := flags.Int("requests", 0, "stop after this number of requests, even before the duration is over; 0 is no limit")
	flags.IntVar(&s.connections, "connections", 16, "kept-alive connections that share the load")
	flags.IntVar(&s.inFlight, "in-flight", 0, "maximum number of requests in flight, on the connections that were idle longest; 0 is one on each connection")
	flags.BoolVar(&s.hold, "hold", false, "send one request on each connection, print ready=1, and start the load at SIGUSR1")
	flags.StringVar(&s.message.method, "method", "POST", "of the requests; a GET has no body")
	flags.IntVar(&s.message.body, "body", 120, "`bytes` of each body")
	flags.BoolVar(&s.message.chunked, "chunked", false, "send the body in chunks of 16 KiB, without Content-Length")
	flags.IntVar(&s.message.sources, "sources", 0, "`number` of client addresses that X-Forwarded-For contains in turn; 0 omits the field")
	file := flags.String("header-file", "", "`file` with values of X-SSL-Auth, one per line")
	fields := flags.String("fields-file", "", "`file` with further fields of each request, one per line")
	flags.Var(&s.order, "order", "`order` of the values: shared (one sequence for all connections), each (a sequence for each connection), fixed (connection i always sends value i)")
	flags.BoolVar(&s.forge, "forge", false, "send another forgery of the first value (base64 of DER) in each request, with a random serial number and signature")
	if err := flags.Parse(arguments); err != nil {
		return s, err
	}
	if flags.NArg() > 0 || *rate < 0 || *duration <= 0 || *count < 0 || s.connections < 1 || s.inFlight < 0 ||
		s.message.body < 0 || s.message.sources < 0 || s.message.sources > maxSources {
		return s, errors.New("want flags with positive numbers and nothing else; see -help")
	}
	if s.inFlight == 0 || s.inFlight > s.connections {
		s.inFlight = s.connections
	}
	s.schedule = newSchedule(*rate, *duration, *count)
	if err := s.resolve(*target, *from); err != nil {
		return s, err
	}
	text, err := os.ReadFile(*file)
	if err != nil {
		return s, fmt.Errorf("-header-file: %w", err)
	}
	if s.credentials = strings.Fields(string(text)); len(s.credentials) == 0 {
		return s, fmt.Errorf("want values in %s, found none", *file)
	}
	s.message.fields, err = readFields(*fields)
	return s, err
}

// readFields returns the lines of a file, or none without a file.
func readFields(file string) ([]string, error) {
	if file == "" {
		return nil, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("-fields-file: %w", err)
	}
	return strings.Split(strings.TrimSpace(string(text)), "\n"), nil
}

// resolve sets the addresses. The load never leaves this machine.
func (s *settings) resolve(target, from string) error {
	u, err := url.Parse(target)
	if err != nil {
		return err
	}
	s.path = u.RequestURI()
	if s.target, err = netip.ParseAddrPort(u.Host); err != nil || u.Scheme != "http" {
		return fmt.Errorf("want -url http://ADDRESS:PORT/PATH, found %q", target)
	}
	source, err := netip.ParseAddr(from)
	if err != nil {
		return err
	}
	s.from = netip.AddrPortFrom(source, 0)
	for _, address := range []netip.Addr{source, s.target.Addr()} {
		if !address.Is4() || !address.IsLoopback() {
			return fmt.Errorf("want IPv4 loopback addresses, found %s", address)
		}
	}
	return nil
}

// requests returns the source of the requests.
func (s *settings) requests() (requests, error) {
	m := s.message
	m.path, m.host = s.path, s.target.String()
	if s.forge {
		return newForgeries(m, s.credentials[0])
	}
	return newRotation(m, s.credentials, s.order, s.connections), nil
}
