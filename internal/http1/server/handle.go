//go:build linux

package server

import (
	"errors"
	"net/http"
	"runtime/debug"
)

// serveRequest calls the handler, writes the response, and reports whether the connection
// can carry another request.
func (c *conn) serveRequest(h *head) bool {
	r, b := c.newRequest(h)
	w := &c.response
	w.reset(c, h.method)
	c.unread.Store(max(h.length, 0))
	ok := c.callHandler(w, r)
	left, err := b.detach()
	c.wasPost = h.method == http.MethodPost
	if !ok || !w.finish() {
		return false
	}
	if w.closing || err != nil {
		c.lingers = left > 0
		return false
	}
	return c.discard(left)
}

// newRequest makes the request that the handler gets. The request, its URL, Header and Body
// are new each time: the handler may keep them, and a transport may read the body after the
// handler has returned.
func (c *conn) newRequest(h *head) (*http.Request, *body) {
	r, b := &h.request, &h.body
	*r, b.c = *c.template, c
	r.Method, r.RequestURI, r.URL, r.Host, r.Header = h.method, h.target, &h.url, h.host, h.header
	r.Body = http.NoBody
	if h.length > 0 {
		r.Body, r.ContentLength = b, h.length
	}
	return r, b
}

// callHandler calls the handler and reports whether it returned. After a panic the
// connection has to be closed.
func (c *conn) callHandler(w *response, r *http.Request) (ok bool) {
	defer func() {
		reason := recover()
		if ok {
			return
		}
		if err, is := reason.(error); !is || !errors.Is(err, http.ErrAbortHandler) {
			c.s.logf("panic serving %s: %v\n%s", c.template.RemoteAddr, reason, debug.Stack())
		}
		w.release()
	}()
	c.s.fallback.Handler.ServeHTTP(w, r)
	return true
}
