// Command certgate is the gateway and the operator's tool.
//
// certgate serve runs the gateway. Its settings are environment variables.
// certgate --help lists the other commands, and --help of each command shows an example.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/gin-gonic/gin"
)

func main() {
	gin.SetMode(gin.ReleaseMode)
	os.Exit(run(untilSignal(), os.Args[1:], environment{
		environ: os.Environ(), stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr,
	}))
}

// untilSignal returns a context that is canceled by the first SIGTERM or SIGINT. The
// default action of the signals is restored before the context is canceled, so that a
// second signal ends the program at once, except during SHUTDOWN_DELAY.
func untilSignal() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, os.Interrupt)
	go func() {
		<-signals
		signal.Stop(signals)
		cancel()
	}()
	return ctx
}
