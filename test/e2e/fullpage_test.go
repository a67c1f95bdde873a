package e2e

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	authority "github.com/certgate/certgate/internal/tool/pki"
	"github.com/certgate/certgate/internal/usage"
	"github.com/certgate/certgate/test/harness"
)

// pageRounds is the variable with the number of times that each page is loaded, for a
// measurement with as many clients as the inventory holds; see cmd/certgate/README.md.
const pageRounds = "TEST_PAGE_ROUNDS"

// manyClients is the number of clients without a measurement. Their rows are in several of the
// tables that the browser lays out when they become visible.
const manyClients = 1000

// fullInventoryRules allow the clients of [fullInventoryRequests] to GET, with a rate.
const fullInventoryRules = `rules:
  - name: everybody
    clients: ["*"]
    allow: ["GET /{rest...}"]
    rate: 100/s
    burst: 200
`

// fullInventoryRequests returns one request of each client, and a second one of every tenth that
// is refused. Every 20th certificate ends within 14 days.
func fullInventoryRequests(t *testing.T, clients int) (publicKey string, requests []string) {
	t.Helper()
	master, err := authority.New(authority.Options{Name: "master", Algorithm: authority.Ed25519, Lifetime: 90 * 24 * time.Hour, Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	key, err := authority.Ed25519.Generate()
	if err != nil {
		t.Fatal(err)
	}
	for i := range clients {
		days := 30 + i%50
		if i%20 == 0 {
			days = 1 + i%13
		}
		certificate, err := master.Issue(authority.Request{
			Client: fmt.Sprintf("team-%d.service-%d", i%100, i), PublicKey: key.Public(), Lifetime: time.Duration(days) * 24 * time.Hour, Now: time.Now(),
		})
		if err != nil {
			t.Fatal(err)
		}
		value := base64.StdEncoding.EncodeToString(certificate.Raw)
		if i%100 == 0 {
			harness.KeepSecret(value) // each one is searched in the output of all tests
		}
		request := harness.Request{Method: http.MethodGet, Target: "/events", Header: []string{"X-SSL-Auth: " + value}}
		requests = append(requests, request.String())
		if request.Method = http.MethodDelete; i%10 == 0 {
			requests = append(requests, request.String())
		}
	}
	return string(master.PublicKeyPEM()), requests
}

// sendAll sends the requests over a few connections.
func sendAll(t *testing.T, addr string, requests []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*harness.Timeout)
	defer cancel()
	var senders sync.WaitGroup
	for part := range slices.Chunk(requests, (len(requests)+3)/4) {
		senders.Go(func() {
			c := &keepAlive{addr: addr}
			defer c.close()
			for _, text := range part {
				status, reason, err := c.do(ctx, text)
				if want := strings.HasPrefix(text, http.MethodGet); err != nil || want != (status == http.StatusOK) {
					t.Errorf("%.20q: found status %d, %s, %v", text, status, reason, err)
					return
				}
			}
		})
	}
	senders.Wait()
}

// TestPageOfFullInventory opens the page of a gateway with many clients in a browser, on a wide
// and on a narrow screen, light and dark. With -v it prints how long the browser needs.
func TestPageOfFullInventory(t *testing.T) {
	t.Parallel()
	harness.LookProgram(t, "chromium")
	clients, rounds := manyClients, 1
	if text := os.Getenv(pageRounds); text != "" {
		var err error
		if rounds, err = strconv.Atoi(text); err != nil {
			t.Fatalf("%s: %v", pageRounds, err)
		}
		clients = usage.MaxClients
	}
	publicKey, requests := fullInventoryRequests(t, clients)
	u := harness.NewUpstream(t, nil)
	g := harness.StartGateway(t, u, harness.GatewayEnv(publicKey, u).With(harness.Env{"ACCESS_RULES": fullInventoryRules}))
	sendAll(t, g.Addr, requests)
	for deadline := time.Now().Add(harness.Timeout); len(statusOf(t, g).Clients) < clients; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d clients, want %d", len(statusOf(t, g).Clients), clients)
		}
	}
	b, page := harness.StartBrowser(t), "http://"+g.Admin+"/"
	wantClientsOnScreen(t, b, page, 200)
	wantClientsOnScreen(t, b, page+"?client=team-0.service-0", 200) // one refusal, so the link leads to the end
	wantClientsOnScreen(t, b, page+"?clients=all", clients)
	for _, url := range []string{page, page + "?clients=all"} {
		logTimes(t, b, url, rounds)
	}
}

// wantClientsOnScreen expects the number of rows of clients, no part that is wider than the
// screen, another color of the ground when it is dark, and that the link to the refusals shows
// them. Of the tables that the browser lays out when they become visible, it looks at the first.
func wantClientsOnScreen(t *testing.T, b *harness.Browser, url string, clients int) {
	t.Helper()
	grounds := map[string]bool{}
	for _, width := range []int{1280, 390} {
		for _, scheme := range []string{"light", "dark"} {
			tab := b.NewTab(t)
			tab.Resize(t, width, scheme)
			tab.Open(t, url)
			var found struct {
				Rows   int
				Wide   []string
				Ground string
				Top    float64
			}
			tab.Evaluate(t, `(async () => {
  document.querySelector("nav a[href='#refusals']").click();
  for (let frame = 0; frame < 10; frame++) await new Promise((done) => setTimeout(() => requestAnimationFrame(done)));
  const top = document.getElementById("refusals").getBoundingClientRect().top;
  const wide = [...document.querySelectorAll("section, section *:not(.deferred + .deferred *)")].filter((e) =>
    !e.closest(".hidden, thead") && e.getBoundingClientRect().right > document.documentElement.clientWidth);
  return {
    rows: document.querySelectorAll(".clients tbody tr").length,
    wide: wide.slice(0, 5).map((e) => e.outerHTML.slice(0, 200)),
    ground: getComputedStyle(document.body).backgroundColor,
    top,
  };
})()`, &found)
			if found.Rows != clients || len(found.Wide) > 0 || found.Top < 0 || found.Top > 900 {
				t.Errorf("%s, %d pixels, %s: %d clients, %q wider than the screen, refusals at %.0f: want %d, none and the refusals on the screen", url, width, scheme, found.Rows, found.Wide, found.Top, clients)
			}
			grounds[found.Ground] = true
			tab.Close(t)
		}
	}
	if len(grounds) != 2 {
		t.Errorf("%s: colors of the ground %v, want a light and a dark one", url, grounds)
	}
}

// logTimes loads a page in a new tab each time, and logs the median with the smallest and the
// largest time of each event.
func logTimes(t *testing.T, b *harness.Browser, url string, rounds int) {
	t.Helper()
	events := []string{"responseStart", "responseEnd", "first-contentful-paint", "domInteractive", "loadEventEnd", "next frame"}
	times := map[string][]float64{}
	for range rounds {
		tab := b.NewTab(t)
		tab.Open(t, url)
		var found map[string]float64
		tab.Evaluate(t, `(async () => {
  await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  const found = { "next frame": performance.now() };
  const paint = new Promise((done) => new PerformanceObserver((list) =>
    list.getEntriesByName("first-contentful-paint").forEach(done)).observe({ type: "paint", buffered: true }));
  const load = performance.getEntriesByType("navigation")[0];
  ["responseStart", "responseEnd", "domInteractive", "loadEventEnd"].forEach((name) => { found[name] = load[name]; });
  found["first-contentful-paint"] = (await paint).startTime;
  return found;
})()`, &found)
		for _, event := range events {
			times[event] = append(times[event], found[event])
		}
		tab.Close(t)
	}
	var text strings.Builder
	for _, event := range events {
		slices.Sort(times[event])
		fmt.Fprintf(&text, ", %s %.0f (%.0f–%.0f)", event, times[event][rounds/2], times[event][0], times[event][rounds-1])
	}
	t.Logf("%s, ms after the start of the navigation%s", url[strings.LastIndex(url, "/"):], &text)
}
