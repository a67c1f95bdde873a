package gateway

import (
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/testkit/upstream"
)

// TestRedisIsWatched checks that an unreachable Redis is logged without a request, and
// that the monitoring ends with the gateway.
func TestRedisIsWatched(t *testing.T) {
	r := start(t, load(t, hello(t), map[string]string{"REDIS_URL": "redis://:s3cret-word@" + upstream.Refusing(t), "REDIS_DOWN": "remember"}))
	eventually(t, "a line about redis", func() bool { return strings.Contains(r.log.String(), "redis is out: each replica stores nonces") })
	want(t, r, r.AdminAddr(), "/metrics", 200, "certgate_redis_up 0\n")
	want(t, r, r.AdminAddr(), "/metrics", 200, "certgate_nonces 0\n")
	want(t, r, r.AdminAddr(), "/readyz", 200, "")
	if strings.Contains(r.log.String(), "s3cret-word") {
		t.Error("want no password in the log, found it")
	}
}
