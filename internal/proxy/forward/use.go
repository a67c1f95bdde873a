package forward

import (
	"context"
	"net/http"
	"net/http/httptrace"

	"github.com/certgate/certgate/internal/core/headers"
	"github.com/certgate/certgate/internal/proxy/body"
)

// use observes which connections of net/http's transport one request uses. The transport
// may try several; the last one counts.
type use struct {
	body  *body.Attempt // nil without a body
	conn  *conn
	stale bool // the connection was not usable or outdated, and nothing was written to it
}

// withTrace returns a context that makes the transport report to u.
func (u *use) withTrace(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: u.gotConn})
}

// gotConn closes a connection that is outdated, and a kept connection that is not usable. The
// transport calls it before it writes the request.
func (u *use) gotConn(info httptrace.GotConnInfo) {
	c, ok := info.Conn.(*conn)
	if !ok {
		return
	}
	u.conn, u.stale = c, c.isOutdated() || info.Reused && !c.usable()
	if u.stale {
		if u.body != nil {
			_ = u.body.Close() // so that the transport reads no byte of the body
		}
		_ = c.Close()
		return
	}
	c.answered.Store(false)
	c.reusable.Store(false)
}

// checkResponse closes the connection if the response announces a body that it must not
// have, because the upstream may still send it. Any other response allows another request.
// The transport may have given the connection to that request already, which waits in
// [conn.usable].
func (u *use) checkResponse(res *http.Response) {
	switch {
	case u.conn == nil:
	case announcesForbiddenBody(res):
		_ = u.conn.Close()
	default:
		u.conn.reusable.Store(true)
	}
}

// announcesForbiddenBody reports whether a 204 or 304 response announces a body.
func announcesForbiddenBody(res *http.Response) bool {
	if res.StatusCode != http.StatusNoContent && res.StatusCode != http.StatusNotModified {
		return false
	}
	length := res.Header.Get(headers.ContentLength)
	return length != "" && length != "0" || len(res.TransferEncoding) > 0
}

// answered reports whether the connection that was used last has received a byte.
func (u *use) answered() bool { return u.conn != nil && !u.stale && u.conn.answered.Load() }
