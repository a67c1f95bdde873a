package admin_test

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/surface/admin"
)

// chromium opens the URL, with evil.example resolved to loopback, and returns the text of
// the page when its scripts have run.
func chromium(t *testing.T, url string) string {
	t.Helper()
	if testing.Short() {
		t.Skip("-short: this test starts a browser")
	}
	path, err := exec.LookPath("chromium")
	if err != nil && os.Getenv("CI") == "" {
		t.Skip("chromium is not installed")
	}
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, path, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-features=HttpsUpgrades",
		"--host-resolver-rules=MAP evil.example 127.0.0.1", "--user-data-dir="+t.TempDir(), "--virtual-time-budget=25000", "--dump-dom", url)
	var out, errs bytes.Buffer
	command.Stdout, command.Stderr = &out, &errs
	if err := command.Run(); err != nil {
		t.Fatalf("chromium: %v\n%s", err, errs.String())
	}
	return out.String()
}

// page is an HTML page that sends requests to the operator's port and displays the results.
const page = `<!doctype html><title>page</title><p></p><script>
async function send(url, options) {
	try { return (await fetch(url, options)).status } catch (e) { return "blocked" }
}
(async () => {
	const put = await send("%[1]s/loglevel", {method: "PUT", body: '{"level":"debug"}', headers: {"Content-Type": "application/json"}})
	const get = await send("%[1]s/metrics")
	const blind = await send("%[1]s/metrics", {mode: "no-cors"})
	const status = await send("%[1]s/status")
	const page = await send("%[1]s/")
	document.querySelector("p").textContent = "put " + put + ", get " + get + ", blind " + blind + ", status " + status + ", page " + page
})()
</script>`

// surface is the operator's surface on loopback. Its additional route /page serves a page
// whose script sends requests to the given origin.
type surface struct {
	*httptest.Server
	options admin.Options

	mu        sync.Mutex
	responses []string // method, path and status of each response
}

func newSurface(t *testing.T, to string) *surface {
	t.Helper()
	s := &surface{options: allOptions()}
	handler := admin.NewHandler(s.options)
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/page" {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			_, _ = fmt.Fprintf(w, page, to)
			return
		}
		res := httptest.NewRecorder()
		handler.ServeHTTP(res, r)
		s.mu.Lock()
		s.responses = append(s.responses, fmt.Sprint(r.Method, " ", r.URL.Path, " ", res.Code))
		s.mu.Unlock()
		maps.Copy(w.Header(), res.Header())
		w.WriteHeader(res.Code)
		_, _ = w.Write(res.Body.Bytes())
	}))
	t.Cleanup(s.Close)
	return s
}

// rebound returns a URL with a foreign host name that resolves to the surface, as in a DNS
// rebinding attack.
func (s *surface) rebound(t *testing.T) string {
	t.Helper()
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	return "http://evil.example:" + u.Port()
}

// TestBrowser checks in a real browser which pages can use the operator's port.
func TestBrowser(t *testing.T) {
	t.Run("its own page", func(t *testing.T) {
		s := newSurface(t, "")
		if dom := chromium(t, s.URL+"/page"); !strings.Contains(dom, "put 200, get 200, blind 200, status 200, page 200") || s.options.Level.String() != "debug" {
			t.Errorf("level %s, page %s: want a page of the same origin accepted", s.options.Level, dom)
		}
	})
	t.Run("the status page", func(t *testing.T) {
		s := newSurface(t, "")
		dom := chromium(t, s.URL+"/")
		s.mu.Lock()
		defer s.mu.Unlock()
		loaded := slices.DeleteFunc(slices.Clone(s.responses), func(a string) bool { return a != "GET / 200" })
		if len(loaded) < 2 || !strings.Contains(dom, "refreshed every 10 s") {
			t.Errorf("responses %q, page %s: want a page that loads itself again", s.responses, dom)
		}
	})
	t.Run("typed into the address bar", func(t *testing.T) {
		s := newSurface(t, "")
		if dom := chromium(t, s.URL+"/metrics"); !strings.Contains(dom, "certgate_test 0") {
			t.Errorf("page %s: want the metrics", dom)
		}
	})
	t.Run("a rebound page", func(t *testing.T) {
		s := newSurface(t, "")
		if dom := chromium(t, s.rebound(t)+"/page"); !strings.Contains(dom, "put 421, get 421, blind 421, status 421, page 421") || s.options.Level.String() != "info" {
			t.Errorf("level %s, page %s: want every request refused with 421", s.options.Level, dom)
		}
	})
	t.Run("a page of another site", func(t *testing.T) {
		s := newSurface(t, "")
		other := newSurface(t, s.URL)
		dom := chromium(t, other.rebound(t)+"/page")
		s.mu.Lock()
		defer s.mu.Unlock()
		if !strings.Contains(dom, "status blocked, page blocked") || s.options.Level.String() != "info" {
			t.Errorf("level %s, page %s: want it unchanged", s.options.Level, dom)
		}
		if i := slices.IndexFunc(s.responses, func(a string) bool { return !strings.HasSuffix(a, " 403") }); i >= 0 {
			t.Errorf("statuses %q, want 403 only", s.responses)
		}
		t.Logf("the browser sent %q", s.responses)
	})
}
