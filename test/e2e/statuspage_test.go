package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/surface/status"
	"github.com/certgate/certgate/test/harness"
)

// openPage loads a URL in chromium and returns the elements of the page and the browser's
// messages.
func openPage(t *testing.T, url string) (dom, messages string) {
	t.Helper()
	path := harness.LookProgram(t, "chromium")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, path, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run",
		"--enable-logging=stderr", "--user-data-dir="+t.TempDir(), "--virtual-time-budget=15000", "--dump-dom", url)
	var out, errs bytes.Buffer
	command.Stdout, command.Stderr = &out, &errs
	if err := command.Run(); err != nil {
		t.Fatalf("chromium: %v\n%s", err, errs.String())
	}
	return out.String(), errs.String()
}

// TestStatusPage opens the operator's page of a gateway in a browser after requests with
// markup in their paths and request ids.
func TestStatusPage(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	mail, social := m.Issue(t, harness.OU("mail")), m.Issue(t, harness.OU("social"))
	g := harness.NewGateway(t, m, nil)
	const markup = "<script>alert(1)</script>"
	for _, r := range []harness.Request{
		harness.Get("/events", mail), harness.Get("/events", social),
		{Method: "DELETE", Target: "/" + markup, Header: append(harness.Get("/", mail).Header, "X-Request-Id: "+markup)},
		{Method: "DELETE", Target: "/of-social", Header: harness.Get("/", social).Header},
		harness.PlainGet("/without-credential?token=s3cret"),
	} {
		g.AuditLineOf(t, harness.Send(t, g.Addr, r).Header.Get("X-Request-Id")) // a record may follow its response
	}
	response := g.SendAdmin(t, harness.PlainGet("/status"))
	var s status.Status
	if err := json.Unmarshal([]byte(response.Body), &s); response.Status != http.StatusOK || err != nil {
		t.Fatalf("/status: %d, %v", response.Status, err)
	}
	if len(s.Clients) != 2 || s.Clients[0].Name != "mail" || s.Clients[0].Allowed != 1 || s.Clients[0].Refused != 1 || len(s.Refusals) != 3 || s.Keys[0].Clients != 2 {
		t.Errorf("clients %+v, %d refusals, keys %+v: want both clients with one allowed and one refused request", s.Clients, len(s.Refusals), s.Keys)
	}
	filtered := g.SendAdmin(t, harness.PlainGet("/?client=mail")).Body // as in a browser without JavaScript
	if !strings.Contains(filtered, `name="client" value="mail"`) || !strings.Contains(filtered, "DELETE /&lt;script&gt;alert(1)") ||
		strings.Contains(filtered, "/of-social") || strings.Contains(filtered, "/without-credential") {
		t.Errorf("want the refusals of mail only, found %s", filtered)
	}
	dom, messages := openPage(t, "http://"+g.Admin+"/")
	for _, want := range []string{"refreshed every 10 s", "&lt;script&gt;alert(1)&lt;/script&gt;", "/of-social", "/without-credential"} {
		if !strings.Contains(dom, want) {
			t.Errorf("want %q in %s", want, dom)
		}
	}
	if strings.Contains(dom, markup) || strings.Contains(dom, "s3cret") || strings.Contains(messages, "Content Security Policy") || strings.Contains(messages, "CONSOLE") {
		t.Errorf("want a page without markup of requests that conforms to its own policy, found the messages %s", messages)
	}
}
