package agent_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// browse runs Chromium until the page with this URL and all that it includes has been
// loaded. The names certgate-agent and those below example resolve to 127.0.0.1.
func browse(t *testing.T, url string) {
	t.Helper()
	if testing.Short() {
		t.Skip("-short: this test starts a browser")
	}
	path, err := exec.LookPath("chromium")
	switch {
	case err == nil:
	case os.Getenv("CI") == "true":
		t.Fatal("want chromium in CI, found none")
	default:
		t.Skip("chromium is not installed")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, path, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--user-data-dir="+t.TempDir(),
		"--host-resolver-rules=MAP *.example 127.0.0.1, MAP certgate-agent 127.0.0.1", "--dump-dom", url)
	var errs bytes.Buffer
	command.Stderr = &errs
	if err := command.Run(); err != nil {
		t.Fatalf("chromium: %v\n%s", err, errs.String())
	}
}

// TestForeignPage makes a real browser load a page of another origin that includes the
// agent under every name and address that reaches it, as an image and as a frame, with
// and without a Referer. The agent refuses all of these requests.
func TestForeignPage(t *testing.T) {
	t.Parallel()
	f := newFiles(t)
	g := newTarget(t, f, nil)
	o := options(f, g.url)
	o.Names = []string{"certgate-agent"}
	s := start(t, o)
	_, port, err := net.SplitHostPort(s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	// The keys are host names in URLs, the values the Host fields that Chromium sends.
	names := map[string]string{
		"127.0.0.1": "127.0.0.1", "127.1": "127.0.0.1", "2130706433": "127.0.0.1", "localhost": "localhost", "agent.localhost": "agent.localhost",
		"certgate-agent": "certgate-agent", "rebound.example": "rebound.example",
		"0.0.0.0": "0.0.0.0", "0": "0.0.0.0", "0x0": "0.0.0.0", "00.0": "0.0.0.0", "0.0.0.0.": "0.0.0.0",
		"[::ffff:0.0.0.0]": "[::ffff:0:0]", "[::ffff:127.0.0.1]": "[::ffff:7f00:1]",
	}
	var page strings.Builder
	want := map[string]int{}
	for name, host := range names {
		for _, element := range []string{
			`<img src="%s?image">`, `<img referrerpolicy="no-referrer" src="%s?image-without-referer">`,
			`<iframe src="%s?frame"></iframe>`, `<iframe referrerpolicy="no-referrer" src="%s?frame-without-referer"></iframe>`,
		} {
			fmt.Fprintf(&page, element, "http://"+net.JoinHostPort(strings.Trim(name, "[]"), port)+"/"+name)
			want[host+":"+port]++
		}
	}
	foreign := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, page.String())
	}))
	defer foreign.Close()
	_, foreignPort, err := net.SplitHostPort(foreign.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	browse(t, "http://foreign.example:"+foreignPort+"/")
	found := map[string]int{}
	for _, line := range s.logs.FilterMessage("refused").All() {
		found[line.ContextMap()["host"].(string)]++
	}
	for host, n := range want {
		if found[host] < n {
			t.Errorf("%s: want %d requests refused, found %d", host, n, found[host])
		}
	}
	for len(g.accepted) > 0 {
		r := g.wantOne(t)
		t.Errorf("want no request signed, found %s %s", r.method, r.target)
	}
}

// TestForeignPageOverIPv6 is TestForeignPage for an agent that listens on [::1].
func TestForeignPageOverIPv6(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Skip("this machine has no IPv6")
	}
	_ = l.Close()
	f := newFiles(t)
	g := newTarget(t, f, nil)
	o := options(f, g.url)
	o.Listen = "[::1]:0"
	s := start(t, o)
	_, port, err := net.SplitHostPort(s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	var page strings.Builder
	names := []string{"::1", "::", "0:0:0:0:0:0:0:0", "::0.0.0.0"}
	for _, name := range names {
		fmt.Fprintf(&page, `<img referrerpolicy="no-referrer" src="http://%s/">`, net.JoinHostPort(name, port))
	}
	foreign := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, page.String())
	}))
	defer foreign.Close()
	_, foreignPort, err := net.SplitHostPort(foreign.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	browse(t, "http://foreign.example:"+foreignPort+"/")
	if n := s.logs.FilterMessage("refused").Len(); n < 2 { // equal URLs are loaded once
		t.Errorf("want the requests refused, found %d", n)
	}
	g.wantNone(t)
}

// TestOwnPage checks that the agent signs the request for a page that a user opens.
func TestOwnPage(t *testing.T) {
	t.Parallel()
	f := newFiles(t)
	g := newTarget(t, f, nil)
	s := start(t, options(f, g.url))
	browse(t, "http://"+s.Addr().String()+"/events")
	if r := g.wantOne(t); r.method != http.MethodGet || r.target != "/events" {
		t.Errorf("want GET /events, found %s %s", r.method, r.target)
	}
}
