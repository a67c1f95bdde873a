package status

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // the files of the page
	"encoding/base64"
	"encoding/json"
	"html/template"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

// The files of the page. Style and script are part of the document.
var (
	//go:embed page.gohtml
	document string
	//go:embed page.css
	style string
	//go:embed page.js
	script string
)

// Handler responds with the page and the JSON of the status. It is safe for concurrent use.
// It renders one response at a time, so that many requests cannot take the processors from
// the gateway.
type Handler struct {
	status func() Status
	policy string // Content-Security-Policy of the page
	// The page is parsed when it is first requested: until then it needs no memory that the
	// garbage collector would have to scan.
	page func() *template.Template

	rendering sync.Mutex
}

// New returns a handler of the status that the function returns. The function is called for
// each request, by one goroutine at a time.
func New(status func() Status) *Handler {
	page := func() *template.Template { return template.Must(template.New("page").Parse(document)) }
	return &Handler{status: status, page: sync.OnceValue(page), policy: strings.Join([]string{
		"default-src 'none'", "style-src " + source(style), "script-src " + source(script),
		"connect-src 'self'", // the script loads the page again
		"img-src data:",      // the empty icon
		"form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'",
	}, "; ")}
}

// source returns the source expression of an inline style or script.
func source(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// JSON responds with the whole status as JSON.
func (h *Handler) JSON(w http.ResponseWriter, _ *http.Request) {
	h.render(w, "application/json", func(b *bytes.Buffer) error {
		s := h.status()
		s.assess()
		return json.NewEncoder(b).Encode(s)
	})
}

// Page responds with the page. The query parameters select clients and refusals; see
// [parseQuery].
func (h *Handler) Page(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Security-Policy", h.policy)
	w.Header().Set("Referrer-Policy", "no-referrer")
	w.Header().Set("X-Frame-Options", "DENY")
	w.Header().Set("Cross-Origin-Opener-Policy", "same-origin")
	h.render(w, "text/html; charset=utf-8", func(b *bytes.Buffer) error {
		s := h.status()
		s.assess()
		v := newView(&s, parseQuery(r.URL.RawQuery))
		b.Grow(v.size())
		return h.page().Execute(b, v)
	})
}

// render writes the output of f as the response. Errors of f panic: they are faults of the
// program, and the surface responds to panics.
func (h *Handler) render(w http.ResponseWriter, contentType string, f func(*bytes.Buffer) error) {
	text := func() []byte {
		h.rendering.Lock()
		defer h.rendering.Unlock()
		var b bytes.Buffer
		if err := f(&b); err != nil {
			panic(err)
		}
		return escapeUnprintable(b.Bytes())
	}()
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Cross-Origin-Resource-Policy", "same-origin")
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	_, _ = w.Write(text)
}
