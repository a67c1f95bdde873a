// Command schedule keeps the events of all client applications in one SQLite
// file and shows them on a page.
//
// It is the service behind the gateway and believes the X-Client-Id header, so
// it listens on loopback unless it is told otherwise. Its settings are
// environment variables; schedule --help lists them.
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
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	os.Exit(run(ctx, os.Args[1:], os.Environ(), os.Stdout, os.Stderr))
}
