package httpapi

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/certgate/certgate/internal/denial"
	"github.com/certgate/certgate/internal/problem"
)

// write ends the request with the problem. The connection is closed where the
// rest of the request is not worth or not safe to read.
func write(c *gin.Context, p problem.Problem) {
	h := c.Writer.Header()
	p.SetHeader(h)
	if closes(p.Reason) || c.Request.Method == http.MethodConnect || c.Request.ProtoMajor != 1 {
		h.Set("Connection", "close")
	}
	c.Abort()
	c.Data(p.Status, problem.ContentType, p.Document())
}

// closes reports whether what follows on the connection cannot be trusted to be
// a request, or is a body nobody wants.
func closes(r denial.Reason) bool {
	switch r {
	case denial.RequestAmbiguous, denial.RequestMalformed, denial.PathAmbiguous, denial.BodyTooLarge, denial.CredentialTooLarge,
		denial.RequestTimeout, denial.ClientClosed, denial.Draining:
		return true
	default:
		return false
	}
}
