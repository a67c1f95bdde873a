package schedule

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"
)

// chromium loads a URL in the browser and returns the elements of the page and the
// browser's messages.
func chromium(t *testing.T, url string) (dom, messages string) {
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
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, path, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run",
		"--enable-logging=stderr", "--user-data-dir="+t.TempDir(), "--window-size=800,800", "--dump-dom", url)
	var out, errs bytes.Buffer
	command.Stdout, command.Stderr = &out, &errs
	if err := command.Run(); err != nil {
		t.Fatalf("chromium: %v\n%s", err, errs.String())
	}
	return out.String(), errs.String()
}

// crowded returns a service with events that could make the page wide.
func crowded(t *testing.T) *service {
	t.Helper()
	s := serve(t)
	add(t, s.store, "mail", "Meeting", "2013-08-01 16:20", "2013-08-01 18:20")
	add(t, s.store, "social", strings.Repeat("W", 200), "2013-08-02 22:00", "2013-08-04 02:00")
	add(t, s.store, strings.Repeat("m", 64), "Übung <script>alert(1)</script>", "2013-07-29 00:00", "2013-07-30 00:00")
	return s
}

func TestBrowserShowsThePage(t *testing.T) {
	s := crowded(t)
	dom, messages := chromium(t, s.url+"/")
	reply{body: dom}.mustContain(t, ">Meeting</bdi>", ">mail</bdi>", ">social</bdi>", strings.Repeat("W", 200))
	reply{body: dom}.mustNotContain(t, "<script")
	if strings.Contains(messages, "Content Security Policy") {
		t.Errorf("want a page that conforms to its own policy, found %s", messages)
	}
}

// TestBrowserNoHorizontalScroll checks that the page is not wider than a phone. The page's
// policy forbids frames and scripts, so the test serves the page without the policy, in a
// frame of a page whose script measures it.
func TestBrowserNoHorizontalScroll(t *testing.T) {
	s := crowded(t)
	measured := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		text := `<iframe src="/page" style="border:0;width:360px;height:800px"></iframe><p></p><script>onload = () => {
			const page = document.querySelector("iframe").contentDocument
			document.querySelector("p").textContent = "width " + page.documentElement.clientWidth +
				", content " + page.documentElement.scrollWidth + ", entries " + page.querySelectorAll(".entry").length +
				", ground " + page.defaultView.getComputedStyle(page.querySelector(".entry")).backgroundColor }</script>`
		if r.URL.Path == "/page" {
			text = s.page("", http.StatusOK).body
		}
		_, _ = io.WriteString(w, text)
	}))
	defer measured.Close()
	dom, _ := chromium(t, measured.URL)
	found := regexp.MustCompile(`<p>(.*)</p>`).FindString(dom)
	sizes := regexp.MustCompile(`width (\d+), content (\d+), entries 5, ground oklch`).FindStringSubmatch(found)
	if sizes == nil || sizes[1] != sizes[2] {
		t.Errorf("want the content as wide as the page, and five coloured entries, found %s", found)
	}
}
