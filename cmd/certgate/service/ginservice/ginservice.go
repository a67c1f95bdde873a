// Package ginservice verifies the assertions of the gateway in services that use Gin.
//
// It is a package of its own so that package service does not depend on Gin.
package ginservice

import (
	"github.com/gin-gonic/gin"

	"github.com/certgate/certgate/cmd/certgate/service"
)

// Middleware returns a Gin handler that does the same as [service.Verifier.Middleware]. In
// later handlers, service.Client(c.Request.Context()) returns the client. It adds the error
// of a refused request to c.Errors.
func Middleware(v *service.Verifier) gin.HandlerFunc {
	return func(c *gin.Context) {
		verified, err := v.Verify(c.Request)
		if err != nil {
			_ = c.Error(err)
			v.Refuse(c.Writer, c.Request, err)
			c.Abort()
			return
		}
		c.Request = verified
	}
}
