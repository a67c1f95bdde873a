package public

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/surface/problem"
)

// write responds with the problem and ends the request. It closes the connection if
// the rest of the request is expensive or unsafe to read.
func write(c *gin.Context, p problem.Problem) {
	h := c.Writer.Header()
	p.SetHeader(h)
	if closesConnection(p.Reason) || c.Request.Method == http.MethodConnect || c.Request.ProtoMajor != 1 {
		h.Set("Connection", "close")
	}
	c.Data(p.Status, problem.ContentType, p.Document())
}

// closesConnection reports whether a refusal for this reason must close the
// connection: the following bytes may not be a request, or they are an unwanted body.
func closesConnection(r refusal.Reason) bool {
	switch r {
	case refusal.RequestAmbiguous, refusal.RequestMalformed, refusal.PathAmbiguous, refusal.BodyTooLarge, refusal.CredentialTooLarge,
		refusal.RequestTimeout, refusal.ClientClosed, refusal.Draining:
		return true
	default:
		return false
	}
}
