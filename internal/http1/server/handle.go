//go:build linux

package server

import "net/http"

// serveRequest calls the handler, writes the response, and makes the connection ready for the next
// request if it can carry one.
func (c *conn) serveRequest(h *head) step {
	r, b := c.newRequest(h)
	w := &c.response
	w.reset(c, h.method)
	c.unread.Store(max(h.length, 0))
	c.s.fallback.Handler.ServeHTTP(w, r)
	left, err := b.detach()
	c.wasPost = h.method == http.MethodPost
	switch {
	case !w.finish():
		return stepClose
	case w.closing || err != nil:
		c.lingers = left > 0
		return stepClose
	case !c.discard(left) || c.s.closed.Load():
		return stepClose
	}
	c.endRequest()
	return stepNext
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
