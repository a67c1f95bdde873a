// Command demo runs the whole system in one process: a new master key with certificates,
// the schedule service, and the gateway.
//
// It sends the requests of the running example and prints each with its response. Then it
// keeps running, so that the requests can be repeated by hand. With -once it exits after
// the transcript, with status 0 only if every response was the expected one.
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

	"github.com/certgate/certgate/cmd/demo/internal/transcript"
)

// Exit codes.
const (
	exitOK         = 0
	exitUnexpected = 1 // a response was not the expected one, or the system failed
	exitUsage      = 2
)

func main() {
	gin.SetMode(gin.ReleaseMode)
	// The temporary folder, which contains credentials, must be removed even if the reader
	// of the output has ended, as in demo | head.
	signal.Ignore(syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGHUP, os.Interrupt)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run executes the command line and returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	flags.SetOutput(stderr)
	once := flags.Bool("once", false, "exit after the transcript; status 0 only if every response was the expected one")
	listen := flags.String("listen", "127.0.0.1:0", "the gateway's `address`; port 0 selects a free port")
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
	if err := validateAddress(*listen); err != nil {
		_, _ = fmt.Fprintf(stderr, "demo: -listen: %v\n", err)
		return exitUsage
	}
	return demonstrate(ctx, demonstration{once: *once, listen: *listen, stdout: stdout, stderr: stderr})
}

// validateAddress returns an error unless the address is a host and a port number.
func validateAddress(address string) error {
	_, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return fmt.Errorf("want host:port, such as 127.0.0.1:8080, found %q", address)
	}
	return nil
}

// demonstration holds the options of the command line.
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
	expected := transcript.Print(ctx, d.stdout, s.forTranscript())
	if !d.once && ctx.Err() == nil {
		if err := printInstructions(d.stdout, s); err == nil {
			<-ctx.Done()
		} else { // without a reader, keeping the system running is of no use
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

// printInstructions prints commands to continue by hand.
func printInstructions(w io.Writer, s *system) error {
	_, err := fmt.Fprintf(w, `
The system keeps running. Open the schedule in a browser:

  %s/

Add an event as mail, or use the certificate of untrusted, expired or billing:

  curl -i %s/events \
    -H "X-SSL-Auth: $(cat %s)" \
    -H 'Content-Type: application/json' \
    -d '%s'

Read the schedule as mail:

  curl -i %s/events -H "X-SSL-Auth: $(cat %s)"

Read the schedule as social, which must sign its requests:

  go run ./cmd/certgate request --cert %s --key %s \
    GET %s/events

The gateway's log, with one line per request:  %s

Ctrl-C stops everything and removes the temporary folder.
`, s.scheduleURL, s.gatewayURL, s.file("mail", "header"), transcript.Event("Lunch", time.Now(), 2),
		s.gatewayURL, s.file("mail", "header"),
		s.file("social", "crt"), s.file("social", "key"), s.gatewayURL, s.logFile())
	return err
}
