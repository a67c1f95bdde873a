package gateway

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/audit"
	"github.com/certgate/certgate/internal/core/gate"
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/filewatch"
	"github.com/certgate/certgate/internal/filewatch/regularfile"
	"github.com/certgate/certgate/internal/testkit/ca"
)

// trial is a gateway with a file of next rules that does not run. Its files change by calls
// of reload.
type trial struct {
	*Gateway
	log  *buffer
	keys string
	next string // the name of the file
}

// newTrial builds a gateway that trusts the keys of two CAs, with the rules allowsMail and the
// content of a file of next rules, or without the file if the content is nil.
func newTrial(t *testing.T, keys string, content *string) trial {
	t.Helper()
	dir := t.TempDir()
	x := trial{keys: filepath.Join(dir, "keys.pem"), next: filepath.Join(dir, "next.yaml")}
	write(t, x.keys, keys)
	write(t, filepath.Join(dir, "rules.yaml"), allowsMail)
	if content != nil {
		write(t, x.next, *content)
	}
	var err error
	x.Gateway, x.log, err = build(t, load(t, "http://127.0.0.1:1", map[string]string{
		"AUTH_PUBLIC_KEY_FILE": x.keys, "ACCESS_RULES_FILE": filepath.Join(dir, "rules.yaml"), "ACCESS_RULES_NEXT_FILE": x.next,
	}))
	if err != nil {
		t.Fatal(err)
	}
	x.reportNextAtStart()
	t.Cleanup(func() { // closes the listeners
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = x.Run(ctx)
	})
	return x
}

// decide returns the decision about a request of the client mail with this credential.
func (x trial) decide(credential string) gate.Decision {
	return x.gate.Load().Decide(gate.Request{Time: time.Now(), Credential: []string{credential}, Method: http.MethodGet, Target: "/events"})
}

// text returns a change of a file to a content.
func text(name, content string) regularfile.File {
	return regularfile.File{Name: name, Text: []byte(content)}
}

// TestReloadNextRules checks which next rules are compared after each change of their file,
// with its log line and metrics. No change affects the decision.
func TestReloadNextRules(t *testing.T) {
	t.Parallel()
	mail := newCredentials(t)
	missing := func(name string) regularfile.File {
		return regularfile.File{Name: name, Err: &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}}
	}
	unreadable := func(name string) regularfile.File {
		return regularfile.File{Name: name, Err: &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}}
	}
	with := func(content string) func(string) regularfile.File {
		return func(name string) regularfile.File { return text(name, content) }
	}
	type event struct {
		file func(name string) regularfile.File
		line string // the end of the log, or "" for no line
		want gate.Change
	}
	const none, refuse = gate.Change(""), gate.NextRefuses
	strict, broken, empty := allowsWeb, "rules: [", ""
	reload := reloaded + `","source":"next_rules"`
	keeps, ends := notReloaded+`","source":"next_rules"`, noNextRules+`","source":"next_rules"`
	notLoaded := `not loaded, there are no next rules","source":"next_rules"`
	tests := []struct {
		name    string
		content *string
		line    string // at start
		first   gate.Change
		events  []event
	}{
		{"no file, and then rules", nil, ends, none, []event{{missing, "", none}, {with(strict), reload, refuse}, {missing, ends, none}, {missing, "", none}}},
		{"empty, and then rules", &empty, ends, none, []event{{with(deniesMail), reload, refuse}, {with(" \n"), ends, none}, {with(strict), reload, refuse}}},
		{"other rules", &strict, "", refuse, []event{{with(allowsMail), reload, none}, {with(deniesMail), reload, refuse}}},
		{"invalid content keeps the last good one", &strict, "", refuse, []event{{with(broken), keeps, refuse}, {unreadable, keeps, refuse}, {with(allowsMail), reload, none}, {with(broken), keeps, none}}},
		{"invalid at start", &broken, notLoaded, none, []event{{with(broken + "["), keeps, none}, {with(strict), reload, refuse}}},
		{"invalid, and then missing", &broken, notLoaded, none, []event{{missing, ends, none}, {missing, "", none}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			x := newTrial(t, mail.publicKey, tt.content)
			check := func(line string, want gate.Change, lines string) {
				t.Helper()
				if line == "" && lines != "" || !strings.Contains(lines, line) {
					t.Errorf("log %q, want %q", lines, line)
				}
				if d := x.decide(mail.header); d.Refusal != nil || d.Next != want {
					t.Errorf("refusal %v and next %q, want no refusal and %q", d.Refusal, d.Next, want)
				}
				failed := 0.0
				if strings.Contains(line, "not ") {
					failed = 1
				}
				if found := samples(t, x.registry, "certgate_last_reload_failed")["next_rules"]; found != failed {
					t.Errorf("certgate_last_reload_failed is %v, want %v", found, failed)
				}
				if inUse := x.usage.Snapshot().Next != nil; inUse != (x.config.Next != nil) {
					t.Errorf("next rules in the inventory: %t, want it exactly while there are any", inUse)
				}
				_, listed := samples(t, x.registry, "certgate_config_entries")["next_rules"]
				if listed != (x.config.Next != nil) {
					t.Errorf("next rules among the metrics: %t, want it exactly while there are any", listed)
				}
			}
			check(tt.line, tt.first, x.log.String())
			for _, e := range tt.events {
				before := len(x.log.String())
				x.reload(filewatch.Result{Changed: []regularfile.File{e.file(x.next)}})
				check(e.line, e.want, x.log.String()[before:])
			}
		})
	}
}

// TestNextRulesAndKeys checks that next rules wait for the keys that they list, and that
// their anchors and their deny list of certificates are compared.
func TestNextRulesAndKeys(t *testing.T) {
	t.Parallel()
	own, partner, other := newCredentials(t).publicKey, newPartner(t), newPartner(t)
	scoped := func(id, client string) string {
		return allowsMail + "anchors:\n  - key: " + id + "\n    clients: [" + client + "]\n"
	}
	waiting := scoped(other.id, "mail")
	x := newTrial(t, own+partner.publicKey, &waiting)
	want := func(change gate.Change, reason refusal.Reason) {
		t.Helper()
		for range 2 { // the second one is cached if it is allowed
			d := x.decide(partner.credential)
			if d.Next != change || (d.Refusal == nil) != (reason == "") || d.Refusal != nil && d.Refusal.Reason != reason {
				t.Errorf("next %q and %v, want %q and %q", d.Next, d.Refusal, change, reason)
			}
		}
	}
	want("", "")
	wantFault(t, x.Gateway, 0, "next_rules", "want the id of a key in the keyring")
	x.reload(filewatch.Result{Changed: []regularfile.File{text(x.keys, own+partner.publicKey+other.publicKey)}})
	wantFault(t, x.Gateway, 1, "next_rules", "")
	want("", "") // another key is scoped
	x.reload(filewatch.Result{Changed: []regularfile.File{text(x.next, scoped(partner.id, "social"))}})
	want(gate.NextRefuses, "")
	d := x.decide(partner.credential)
	x.reload(filewatch.Result{Changed: []regularfile.File{text(x.next, allowsMail+"deny:\n  - serial: '"+d.Certificate.Serial()+"'\n")}})
	want(gate.NextRefuses, "")
	x.reload(filewatch.Result{Changed: []regularfile.File{text(x.next, scoped(partner.id, "mail"))}})
	want("", "")
	x.reload(filewatch.Result{Changed: []regularfile.File{text(x.keys, own)}})
	want("", refusal.CertificateUntrusted)
	if !strings.Contains(x.log.String(), "the next rules do not fit the remaining keys: they could not be promoted") {
		t.Errorf("log %s: want a warning about the removed key", x.log)
	}
}

// TestNextRulesKeepTheirTokens checks that a reload of other files and of the next rules
// refills no token bucket of the next rules, and that the gate and its next rules change
// together.
func TestNextRulesKeepTheirTokens(t *testing.T) {
	t.Parallel()
	mail := newCredentials(t)
	limited := strings.Replace(allowsMail, "allow:", "rate: 1/h\n    allow:", 1)
	x := newTrial(t, mail.publicKey, &limited)
	before := x.gate.Load()
	for i, change := range []gate.Change{"", gate.NextLimitsRate, gate.NextLimitsRate, gate.NextLimitsRate} {
		switch i {
		case 2:
			x.reload(filewatch.Result{Changed: []regularfile.File{text(x.next, limited+"# again\n")}})
		case 3:
			x.reload(filewatch.Result{Changed: []regularfile.File{text(x.keys, string(ca.New(t).PublicKeyPEM())+mail.publicKey)}})
		}
		if d := x.decide(mail.header); d.Refusal != nil || d.Next != change {
			t.Errorf("request %d: next %q and %v, want %q", i, d.Next, d.Refusal, change)
		}
	}
	x.reload(filewatch.Result{Changed: []regularfile.File{{Name: x.next, Err: fs.ErrNotExist}}})
	if x.gate.Load().Next != nil || before.Next == nil {
		t.Error("want next rules in the earlier gate only")
	}
}

// TestNextRulesInTheEnvironment checks ACCESS_RULES_NEXT, which no file replaces.
func TestNextRulesInTheEnvironment(t *testing.T) {
	t.Parallel()
	g, _, err := build(t, load(t, "http://127.0.0.1:1", map[string]string{"ACCESS_RULES_NEXT": allowsWeb}))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	defer func() {
		if err := g.Run(ctx); err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}()
	if d := (trial{Gateway: g}).decide(newCredentials(t).header); d.Refusal != nil || d.Next != gate.NextRefuses {
		t.Errorf("next %q and %v, want %q and no refusal", d.Next, d.Refusal, gate.NextRefuses)
	}
}

// TestPromotionByRename renames the file of next rules over the rules while the gateway
// watches both. The rules are in force, the comparison ends, and neither is a fault.
func TestPromotionByRename(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("-short: this test waits until a file has not changed for 2 seconds")
	}
	s := newFiles(t)
	next := filepath.Join(filepath.Dir(s.rules), "next.yaml")
	write(t, next, allowsWeb)
	r := start(t, load(t, hello(t), map[string]string{"AUTH_PUBLIC_KEY_FILE": s.keys, "ACCESS_RULES_FILE": s.rules, "ACCESS_RULES_NEXT_FILE": next}))
	want(t, r, r.Addr(), "/events", http.StatusOK, "hello")
	r.Reload() // its log lines show that the watch has started
	eventually(t, "the log lines of Reload", func() bool { return len(r.lines("unchanged")) == 3 })
	if err := os.Rename(next, s.rules); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the promoted rules", func() bool { return r.count(reloaded, "rules") == 1 })
	want(t, r, r.Addr(), "/events", http.StatusForbidden, "access_denied")
	eventually(t, "the end of the comparison", func() bool { return r.count(noNextRules, "next_rules") == 1 })
	if r.gate.Load().Next != nil || r.count(notReloaded, "next_rules") > 0 {
		t.Errorf("want no next rules and no error, found %s", r.log)
	}
	r.Reload()
	eventually(t, "no further line", func() bool { return r.count("unchanged", "next_rules") == 2 })
}

// logFunc receives each line of a log.
type logFunc func(line string)

func (f logFunc) Write(p []byte) (int, error) {
	f(string(p))
	return len(p), nil
}

// TestCountsBeforeReloaded checks that requests after the line "reloaded" are counted for the
// new next rules.
func TestCountsBeforeReloaded(t *testing.T) {
	t.Parallel()
	next := filepath.Join(t.TempDir(), "next.yaml")
	var g *Gateway
	var counted []bool // for each line "reloaded"
	observe := logFunc(func(line string) {
		if strings.Contains(line, `"msg":"reloaded"`) {
			g.usage.Observe(&audit.Record{Time: time.Now(), Client: "mail", Decision: audit.Allowed, Next: gate.NextRefuses})
			rules := g.usage.Snapshot().Next
			counted = append(counted, rules != nil && len(rules.Changes) == 1)
		}
	})
	var err error
	g, err = buildWithLog(load(t, "http://127.0.0.1:1", map[string]string{"ACCESS_RULES_NEXT_FILE": next}), observe)
	if err != nil {
		t.Fatal(err)
	}
	g.reload(filewatch.Result{Changed: []regularfile.File{text(next, allowsWeb)}})
	if !slices.Equal(counted, []bool{true}) {
		t.Errorf("requests counted after the lines: %v, want one that is", counted)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_ = g.Run(ended) // closes the listeners
}
