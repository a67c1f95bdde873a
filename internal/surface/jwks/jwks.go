// Package jwks serves the public keys with which a service verifies signed assertions.
package jwks

import (
	"net/http"

	"github.com/gin-gonic/gin"
)

// Path is the path of the keys, on the public and on the admin listener.
const Path = "/.well-known/jwks.json"

// Handler responds with the JWK set that keySet returns (RFC 7517). The response is the
// same for every client and may be cached. Services fetch it again for an unknown key id,
// so the time in caches does not delay a rotation.
func Handler(keySet func() []byte) gin.HandlerFunc {
	return func(c *gin.Context) {
		c.Header("Cache-Control", "public, max-age=300")
		c.Header("X-Content-Type-Options", "nosniff")
		c.Data(http.StatusOK, "application/jwk-set+json", keySet())
	}
}
