// Command demo runs the whole system in one process: a master key and
// certificates of its own, the schedule service, and the gateway before it.
//
// It sends the requests of the running example, prints each with its answer,
// and stays up so that they can be repeated by hand. With -once it exits after
// the transcript, with status 0 only if every answer was the expected one.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/gin-gonic/gin"
)

// The exit codes.
const (
	exitOK         = 0
	exitUnexpected = 1 // an answer was not the expected one, or the system failed
	exitUsage      = 2
)

func main() {
	gin.SetMode(gin.ReleaseMode)
	// A reader that has gone, as of demo | head, must not keep the folder from
	// being removed: its certificates are credentials.
	signal.Ignore(syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGHUP, os.Interrupt)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run is the whole program; it returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	flags.SetOutput(stderr)
	once := flags.Bool("once", false, "exit after the transcript; status 0 only if every answer was the expected one")
	listen := flags.String("listen", "127.0.0.1:0", "the gateway's `address`; port 0 takes a free one")
	flags.Usage = func() {
		_, _ = fmt.Fprintf(stderr, "Usage: demo [-once] [-listen 127.0.0.1:8080]\n\nRuns keys, certificates, gateway and schedule service in one process.\n\n")
		flags.PrintDefaults()
	}
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return exitOK
		}
		return exitUsage
	}
	if flags.NArg() > 0 {
		_, _ = fmt.Fprintf(stderr, "demo: want no arguments, found %q\n", flags.Args())
		return exitUsage
	}
	if err := checkAddress(*listen); err != nil {
		_, _ = fmt.Fprintf(stderr, "demo: -listen: %v\n", err)
		return exitUsage
	}
	return demonstrate(ctx, demonstration{once: *once, listen: *listen, stdout: stdout, stderr: stderr})
}

// checkAddress wants what can be listened on.
func checkAddress(address string) error {
	_, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return fmt.Errorf("want host:port, such as 127.0.0.1:8080, found %q", address)
	}
	return nil
}

type demonstration struct {
	once           bool
	listen         string
	stdout, stderr io.Writer
}

func demonstrate(ctx context.Context, d demonstration) int {
	s, err := start(ctx, d.listen, time.Now())
	if err != nil {
		_, _ = fmt.Fprintf(d.stderr, "demo: %v\n", err)
		return exitUnexpected
	}
	expected := transcript(ctx, d.stdout, s)
	if !d.once && ctx.Err() == nil {
		if err := farewell(d.stdout, s); err == nil {
			<-ctx.Done()
		} else { // nobody reads, nobody repeats anything by hand
			expected = false
		}
	}
	if err := s.stop(); err != nil {
		_, _ = fmt.Fprintf(d.stderr, "demo: %v\n", err)
		return exitUnexpected
	}
	if !expected {
		return exitUnexpected
	}
	return exitOK
}
