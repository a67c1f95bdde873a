package status

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestOldKeys checks which keys a newer one has replaced. The keys are named in the order of
// the keyring; a key in use was used now.
func TestOldKeys(t *testing.T) {
	used := func(id string) Key { return Key{ID: id, LastUse: now()} }
	tests := []struct {
		name string
		keys []Key
		want []bool
	}{
		{"one key", []Key{used("a")}, []bool{false}},
		{"a rotation", []Key{used("a"), used("b")}, []bool{true, false}},
		{"the old key is out of use", []Key{{ID: "a"}, used("b")}, []bool{true, false}},
		{"no client has the new key yet", []Key{used("a"), {ID: "b"}}, []bool{false, false}},
		{"no key is used", []Key{{ID: "a"}, {ID: "b"}}, []bool{false, false}},
		{"three keys", []Key{used("a"), used("b"), {ID: "c"}}, []bool{true, false, false}},
		{"the key of a partner is newest", []Key{used("a"), {ID: "b", LastUse: now(), Scoped: true}}, []bool{false, false}},
		{"the key of a partner is first", []Key{{ID: "a", LastUse: now(), Scoped: true}, used("b")}, []bool{false, false}},
		{"one key in two forms", []Key{used("a"), used("b"), used("a")}, []bool{false, true, false}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := Status{Time: now(), Keys: tt.keys}
			s.assess()
			var have []bool
			for _, k := range s.Keys {
				have = append(have, k.Old)
			}
			if diff := cmp.Diff(tt.want, have); diff != "" {
				t.Errorf("old (-want +have):\n%s", diff)
			}
		})
	}
}

// TestRemovableKeys checks when a key is reported as safe to remove. Each case differs from
// the first one in one way.
func TestRemovableKeys(t *testing.T) {
	tests := []struct {
		name   string
		change func(s *Status)
		want   bool
	}{
		{"unused for a week", func(*Status) {}, true},
		{"used 6 days ago", func(s *Status) { s.Keys[0].LastUse = now().Add(-6 * day) }, false},
		{"never used while observed for a week", func(s *Status) { s.Keys[0].LastUse = time.Time{} }, true},
		{"never used while observed for a day", func(s *Status) { s.Keys[0].LastUse, s.Keys[0].Since = time.Time{}, now().Add(-day) }, false},
		{"the other key is not used either", func(s *Status) { s.Keys[1].LastUse = now().Add(-8 * day) }, false},
		{"the only key", func(s *Status) { s.Keys = s.Keys[:1] }, false},
		{"other replicas may have used it", func(s *Status) { s.Observation.SyncError = "timeout" }, false},
		{"a newer key without a client", func(s *Status) { slices.Reverse(s.Keys); s.Keys[1].LastUse = time.Time{} }, false},
		{"a newer key that is out of use", func(s *Status) { slices.Reverse(s.Keys) }, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := Status{Time: now(), Keys: []Key{
				{ID: "a", Since: now().Add(-30 * day), LastUse: now().Add(-7 * day)},
				{ID: "b", Since: now().Add(-30 * day), LastUse: now()},
			}}
			tt.change(&s)
			s.assess()
			for _, k := range s.Keys {
				if k.ID == "a" && k.Removable != tt.want || k.ID == "b" && k.Removable {
					t.Errorf("key %s removable: %t", k.ID, k.Removable)
				}
			}
			notified := slices.ContainsFunc(s.Notices, func(n Notice) bool { return strings.Contains(n.Text, "Key a can be removed") })
			if notified != tt.want {
				t.Errorf("notices %v, want one about the key: %t", s.Notices, tt.want)
			}
		})
	}
}

// TestOrderOfClients checks that clients that need attention precede the others.
func TestOrderOfClients(t *testing.T) {
	client := func(name, key string, left time.Duration, shared bool) Client {
		return Client{Name: name, Certificates: []Certificate{{KeyID: key, NotAfter: now().Add(left), SharedKey: shared}}}
	}
	two := client("two-certificates", "new", 100*day, false)
	two.Certificates = append(two.Certificates, Certificate{KeyID: "new", NotAfter: now().Add(2 * day)})
	s := Status{
		Time: now(), Keys: []Key{{ID: "old", LastUse: now()}, {ID: "new", LastUse: now()}},
		Clients: []Client{
			client("fine", "new", 15*day, false), client("also-fine", "new", 300*day, false), {Name: "without-certificate"},
			client("old-key", "old", 100*day, false), client("shared", "new", 100*day, true),
			client("ends-last", "new", 14*day-1, false), two, client("ended", "old", -time.Hour, true), client("ends-first", "old", day, true),
		},
	}
	s.assess()
	var have []string
	for _, c := range s.Clients {
		have = append(have, c.Name)
	}
	want := []string{"ended", "ends-first", "two-certificates", "ends-last", "shared", "old-key", "also-fine", "fine", "without-certificate"}
	if diff := cmp.Diff(want, have); diff != "" {
		t.Errorf("order (-want +have):\n%s", diff)
	}
	if diff := cmp.Diff([]Attention{Expired, SharedKey, OldKey}, s.Clients[0].Attention); diff != "" {
		t.Errorf("attention (-want +have):\n%s", diff)
	}
}

// TestNotices checks the notices that other tests do not show, each with the level and the
// section that it links to.
func TestNotices(t *testing.T) {
	tests := []struct {
		name   string
		change func(s *Status)
		want   []Notice
	}{
		{"nothing", func(*Status) {}, []Notice{}},
		{"lost lines", func(s *Status) { s.LogLinesLost = 1 }, []Notice{{Warning, "limits", "1 log line was dropped because the log could not be written"}}},
		{"Redis", func(s *Status) { s.Redis = &Redis{Server: "redis://r:6379/0"} }, []Notice{{Error, "limits", "Redis does not respond: redis://r:6379/0"}}},
		{"a limit at 79 %", func(s *Status) { s.Limits = []Limit{{"certgate_nonces", "", 79, 100}} }, []Notice{}},
		{"a limit at 80 %", func(s *Status) { s.Limits = []Limit{{"certgate_nonces", "", 80, 100}} }, []Notice{{Warning, "limits", "Nonces of signed requests: 80 of 100 are in use"}}},
		{"no limit", func(s *Status) { s.Limits = []Limit{{"certgate_nonces", "", 80, 0}} }, []Notice{}},
		{"the gateway's certificate", func(s *Status) {
			s.Configuration.Sources = []Source{{Name: "upstream_certificate", Expires: now().Add(3 * day)}}
		}, []Notice{{Warning, "in-force", "The gateway's certificate for the upstream expires in 3 days, on 2026-12-02 12:00 UTC"}}},
		{"an address's certificate", func(s *Status) { s.Upstream = []Address{{Name: "a:443", Up: true, Expires: now().Add(-day)}} }, []Notice{{Error, "upstream", "The certificate of the upstream address a:443 expired on 2026-11-28 12:00 UTC"}}},
		{"a CA certificate", func(s *Status) { s.Keys = []Key{{ID: "a", NotAfter: now().Add(29 * day), LastUse: now()}} }, []Notice{{Warning, "keys", "The CA certificate of key a expires in 29 days, on 2026-12-28 12:00 UTC"}}},
		{"no exchange with Redis", func(s *Status) { s.Observation.SyncError = "timeout" }, []Notice{{Warning, "clients", "The use by other replicas is outdated: timeout"}}},
		{"next rules", func(s *Status) {
			s.NextRules = &NextRules{Changes: []NextChange{{Client: "mail", Change: "allow"}, {Client: "mail", Change: "refuse"}, {Client: "web", Change: "refuse"}}}
		}, []Notice{{Info, "in-force", "The next rules would change requests of 2 clients"}}},
		{"next rules without an effect", func(s *Status) { s.NextRules = &NextRules{} }, []Notice{}},
		{"errors first", func(s *Status) {
			s.Observation.Forgotten, s.Ready, s.NotReady = 2, false, "draining"
		}, []Notice{{Error, "limits", "The gateway is not ready: draining"}, {Warning, "clients", "2 clients were dropped because there are more than the inventory holds"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := Status{Time: now(), Ready: true}
			tt.change(&s)
			s.assess()
			if diff := cmp.Diff(tt.want, s.Notices); diff != "" {
				t.Errorf("notices (-want +have):\n%s", diff)
			}
		})
	}
}

func TestFormat(t *testing.T) {
	s := Status{Time: now()}
	for d, want := range map[time.Duration]string{
		-time.Minute: "now", 0: "now", 90 * time.Second: "90 s ago", 2 * time.Minute: "2 min ago", 119 * time.Minute: "119 min ago", 47 * time.Hour: "47 h ago", 48 * time.Hour: "2 days ago",
	} {
		if have := s.ago(now().Add(-d)); have != want {
			t.Errorf("%s: %q, want %q", d, have, want)
		}
	}
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1234: "-1,234", -999: "-999"} {
		if have := count(n); have != want {
			t.Errorf("%d: %q, want %q", n, have, want)
		}
	}
}
