// Command schedule is the example service. It stores the events of all client
// applications in a SQLite file and shows them on a page.
//
// It trusts the X-Client-Id header of the gateway, unless it verifies the gateway's signed
// assertions. Therefore it listens on a loopback address by default. Its settings are
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
