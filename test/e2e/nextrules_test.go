package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/certgate/certgate/internal/surface/status"
	"github.com/certgate/certgate/test/harness"
)

// strictRules refuse POST requests of social and every request of web.
const strictRules = `rules:
  - {name: read, clients: ["*"], allow: ["GET /"]}
  - {name: write, clients: [mail], allow: ["POST /"]}
deny:
  - {client: web, reason: to be replaced by mail}
`

// trialRequests is the number of requests of each client and method in one load.
const trialRequests = 20

// trial is a gateway on which three clients try new rules.
type trial struct {
	*harness.Gateway

	clients map[string]harness.Certificate
}

// trialResult has the compared fields of an audit line.
type trialResult struct{ Client, Method, Decision, Reason, Next string }

// load sends requests of all clients at the same time, runs change meanwhile, and returns the
// number of audit lines with each result after every request has its line.
func (x *trial) load(t *testing.T, path string, change func()) map[trialResult]int {
	t.Helper()
	var clients sync.WaitGroup
	for name, certificate := range x.clients {
		clients.Go(func() {
			c := &keepAlive{addr: x.Addr}
			defer c.close()
			read := harness.Get(path, certificate)
			for range trialRequests {
				for _, r := range []harness.Request{read, read.Post("{}")} {
					if status, _, err := c.do(t.Context(), r.String()); err != nil || status != 200 && status != 403 {
						t.Errorf("%s: status %d and %v, want a response", name, status, err)
						return
					}
				}
			}
		})
	}
	change()
	clients.Wait()
	return x.outcomes(t, path, len(x.clients)*2*trialRequests)
}

// outcomes waits until the log has the number of requests for the path.
func (x *trial) outcomes(t *testing.T, path string, number int) map[trialResult]int {
	t.Helper()
	byID := map[string]trialResult{}
	_, err := x.Stderr.WaitLine(func(text string) bool {
		var l harness.AuditLine
		if json.Unmarshal([]byte(text), &l) == nil && l.Msg == "request" && l.Path == path {
			byID[l.RequestID] = trialResult{l.Client, l.Method, l.Decision, l.Reason, l.Next}
		}
		return len(byID) == number
	})
	if err != nil {
		t.Fatalf("want %d lines of requests for %s, found %d: %v", number, path, len(byID), err)
	}
	found := map[trialResult]int{}
	for _, o := range byID {
		found[o]++
	}
	return found
}

// startTrial starts a gateway whose file of next rules is missing or empty.
func startTrial(t *testing.T, m *harness.MasterKey, dir string) *trial {
	t.Helper()
	u := harness.NewUpstream(t, nil)
	env := harness.GatewayEnv(m.PublicKey, u).Without("ACCESS_RULES").With(harness.Env{
		"ACCESS_RULES_FILE": filepath.Join(dir, "rules.yaml"), "ACCESS_RULES_NEXT_FILE": filepath.Join(dir, "next.yaml"),
	})
	x := &trial{harness.StartGateway(t, u, env), map[string]harness.Certificate{}}
	if _, err := x.Stderr.WaitLine(func(line string) bool { return strings.Contains(line, "no next rules: the file is missing") }); err != nil {
		t.Errorf("want a line about the missing file: %v", err)
	}
	waitWatching(t, x.Gateway, "rules")
	return x
}

// TestNextRulesPredictThePromotion tries stricter rules under load. Every request is allowed,
// while log and metric name the clients that the rules would refuse. A replay of the log
// names the same clients. After the promotion by a rename, exactly the same requests are refused, also by a gateway that starts then.
func TestNextRulesPredictThePromotion(t *testing.T) {
	t.Parallel()
	m, dir := harness.NewMasterKey(t, "p256"), t.TempDir()
	rules := harness.WriteFile(t, harness.AllowAllRules, dir, "rules.yaml")
	next := harness.WriteFile(t, "", dir, "next.yaml") // a file that appears later is loaded after 2 seconds
	x := startTrial(t, m, dir)
	for _, name := range []string{"mail", "social", "web"} {
		x.clients[name] = m.Issue(t, harness.OU(name))
	}
	wantReloaded(t, x.Gateway, "next_rules", func() { replaceFile(t, next, strictRules) })

	tried := x.load(t, "/tried", func() { // new next rules with the same meaning
		wantReloaded(t, x.Gateway, "next_rules", func() { replaceFile(t, next, "# reviewed\n"+strictRules) })
	})
	const n = trialRequests
	allowed := func(client, method, change string) trialResult {
		return trialResult{client, method, "allowed", "", change}
	}
	want := map[trialResult]int{
		allowed("mail", http.MethodGet, ""): n, allowed("mail", http.MethodPost, ""): n,
		allowed("social", http.MethodGet, ""): n, allowed("social", http.MethodPost, "refuse"): n,
		allowed("web", http.MethodGet, "refuse"): n, allowed("web", http.MethodPost, "refuse"): n,
	}
	if diff := cmp.Diff(want, tried); diff != "" {
		t.Errorf("requests during the trial (-want +have):\n%s", diff)
	}
	counted := map[string]float64{}
	for _, s := range metrics(t, x.Gateway)["certgate_next_rules_total"].GetMetric() {
		counted[fmt.Sprint(s.GetLabel()[1].GetValue(), " ", s.GetLabel()[0].GetValue())] = s.GetCounter().GetValue()
	}
	if diff := cmp.Diff(map[string]float64{"social refuse": n, "web refuse": 2 * n}, counted); diff != "" {
		t.Errorf("certgate_next_rules_total (-want +have):\n%s", diff)
	}
	wantSameReplay(t, x, tried, next)
	wantListed(t, x)

	wantReloaded(t, x.Gateway, "rules", func() {
		if err := os.Rename(next, rules); err != nil {
			t.Fatal(err)
		}
	})
	wantPromoted(t, x, tried, "/promoted")
	restarted := startTrial(t, m, dir)
	restarted.clients = x.clients
	wantPromoted(t, restarted, tried, "/restarted")
	if failed := counter(metrics(t, x.Gateway)["certgate_last_reload_failed"], map[string]string{"source": "next_rules"}); failed != 0 {
		t.Errorf("certgate_last_reload_failed is %v after the promotion, want 0: a missing file is no fault", failed)
	}
}

// wantListed expects the clients that the next rules refuse on the operator's page, each with
// an example that is in the log.
func wantListed(t *testing.T, x *trial) {
	t.Helper()
	var s status.Status
	if err := json.Unmarshal([]byte(x.SendAdmin(t, harness.PlainGet("/status")).Body), &s); err != nil || s.NextRules == nil {
		t.Fatalf("want a status with next rules, found %+v and %v", s.NextRules, err)
	}
	listed := map[string]uint64{}
	for _, c := range s.NextRules.Changes {
		listed[c.Client+" "+c.Change] = c.Requests
		if l := x.AuditLineOf(t, c.RequestID); l.Client != c.Client || l.Next != c.Change || l.Method != c.Method || l.Path != c.Path {
			t.Errorf("example %+v, want the request of the log %+v", c, l)
		}
	}
	if diff := cmp.Diff(map[string]uint64{"social refuse": trialRequests, "web refuse": 2 * trialRequests}, listed); diff != "" {
		t.Errorf("next rules on the page (-want +have):\n%s", diff)
	}
}

// wantPromoted sends the load again and expects that exactly the requests are refused that
// the trial found.
func wantPromoted(t *testing.T, x *trial, tried map[trialResult]int, path string) {
	t.Helper()
	want := map[trialResult]int{}
	for o, n := range tried {
		if o.Next == "refuse" {
			o.Decision, o.Reason, o.Next = "refused", "access_denied", ""
		}
		want[o] = n
	}
	if diff := cmp.Diff(want, x.load(t, path, func() {})); diff != "" {
		t.Errorf("requests for %s (-want +have):\n%s", path, diff)
	}
}
