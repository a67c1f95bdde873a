// Command certgate is the gateway and the operator's tool.
//
// certgate serve runs the gateway; its settings are environment variables.
// certgate --help lists the other commands, each of which shows an example.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/gin-gonic/gin"
)

// version is set at build time with -ldflags "-X main.version=...".
var version = "dev"

func main() {
	gin.SetMode(gin.ReleaseMode)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once, except during SHUTDOWN_DELAY
	os.Exit(run(ctx, os.Args[1:], surroundings{
		environ: os.Environ(), stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr,
	}))
}
