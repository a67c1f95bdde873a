// Package ginservice verifies the assertions of the gateway in services that use Gin.
//
// It is a package of its own so that package service does not depend on Gin.
package ginservice

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/certgate/certgate/cmd/certgate/service"
)

// Middleware returns a Gin handler that does the same as [service.Verifier.Middleware]. In
// later handlers, service.Client(c.Request.Context()) returns the client.
func Middleware(v *service.Verifier) gin.HandlerFunc {
	return func(c *gin.Context) {
		granted := false
		v.Middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			granted, c.Request = true, r
		})).ServeHTTP(c.Writer, c.Request)
		if !granted {
			c.Abort()
		}
	}
}
