package public

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/surface/problem"
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
func closes(r refusal.Reason) bool {
	switch r {
	case refusal.RequestAmbiguous, refusal.RequestMalformed, refusal.PathAmbiguous, refusal.BodyTooLarge, refusal.CredentialTooLarge,
		refusal.RequestTimeout, refusal.ClientClosed, refusal.Draining:
		return true
	default:
		return false
	}
}
