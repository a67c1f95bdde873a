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
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once, except during SHUTDOWN_DELAY
	os.Exit(run(ctx, os.Args[1:], environment{
		environ: os.Environ(), stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr,
	}))
}
