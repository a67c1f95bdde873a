package usage

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/testkit/redisserver"
)

// TestHostileRedis checks that values of other programs neither appear in the inventory nor
// prevent the exchange of the others, and that a faulty value is replaced.
func TestHostileRedis(t *testing.T) {
	t.Parallel()
	s := redisserver.Start(t)
	a, b := newReplica(t, s.URL(""), 10), newReplica(t, s.URL(""), 10)
	a.Observe(of(allowed("mail", time.Second)))
	exchangeAll(t, a)
	c := s.Operator(t, "")
	good := c.Do("HGET", "certgate:usage:clients", "mail")[0]
	hostile := map[string]string{
		"<script>": good, "new\nline": good, "": good, "*": good, strings.Repeat("n", 100_000): good, "escape\x1b[31m": good,
		"no-value": "", "html": "<b>", "negative": strings.Replace(good, "1 ", "-1 ", 1), "long": good + strings.Repeat(" ", 1<<20),
		"number": "12345678901234567890123456789", "words": good + " 01 0a", "future": "1 99999999999999 0 0 0 1 1 0 -",
		"serial": strings.Replace(good, " 01 0a ", " <01> 0a ", 1), "reason": "1 1795953601000 0 0 0 1 1 1795953601000 <script>",
		"never": "1 0 0 0 0 1 1 0 -", "mail": "garbage",
	}
	version := 1000
	for name, value := range hostile {
		version++
		c.Do("HSET", "certgate:usage:clients", name, value)
		c.Do("ZADD", "certgate:usage:clients:versions", strconv.Itoa(version), name)
		c.Do("HSET", "certgate:usage:state", "version", strconv.Itoa(version))
	}
	for _, table := range []string{"keys", "rules"} {
		for name, value := range map[string]string{"0a": "1 x", "events": "1 18446744073709551615 0", "foreign": "1 0 0 0"} {
			c.Do("HSET", "certgate:usage:"+table, name, value)
			c.Do("ZINCRBY", "certgate:usage:"+table+":versions", "1", name)
		}
	}
	b.Observe(of(allowed("social", 2*time.Second)))
	exchangeAll(t, b)
	if got := strings.Join(names(b.Snapshot()), " "); got != "social" {
		t.Errorf("want only the client of this process, found %q", got)
	}
	exchangeAll(t, a)
	a.Observe(of(allowed("mail", 3*time.Second)))
	exchangeAll(t, a, b)
	snap := b.Snapshot()
	if got := strings.Join(names(snap), " "); got != "mail social" || snap.Clients[0].Allowed != 2 {
		t.Errorf("want the faulty value of mail replaced, found %q %+v", got, snap.Clients)
	}
	// The use of the rule by the first replica was in the value that is lost.
	if len(snap.Keys) != 2 || len(snap.Rules) != 2 || snap.Rules[0].Uses != 2 || !snap.Keys[0].FirstUse.Equal(noon.Add(time.Second)) {
		t.Errorf("want the keys and rules in force, found %+v and %+v", snap.Keys, snap.Rules)
	}
}

// documentedPermissions returns the permissions of the inventory in the documentation.
func documentedPermissions(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("../../scripts/deploy/README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, found := strings.Cut(string(text), "`~certgate:usage:* ")
	list, _, ended := strings.Cut(after, "`")
	if !found || !ended {
		t.Fatal("want the permissions in scripts/deploy/README.md, found none")
	}
	return append([]string{"~certgate:usage:*"}, strings.Fields(list)...)
}

// TestPermissions checks that the documented permissions are sufficient, and that each of
// them is needed.
func TestPermissions(t *testing.T) {
	t.Parallel()
	s := redisserver.Start(t)
	c, permissions := s.Operator(t, ""), documentedPermissions(t)
	login := func(without int) string {
		user := fmt.Sprintf("user%d", without)
		command := []string{"ACL", "SETUSER", user, "on", ">s3cret"}
		for i, p := range permissions {
			if i != without {
				command = append(command, p)
			}
		}
		c.Do(command...)
		return s.URL(user + ":s3cret@")
	}
	fill := func(r replica) {
		for i := range 3 {
			r.Observe(of(allowed(fmt.Sprintf("client-%d", i), time.Duration(i)*time.Second)))
		}
		r.sharing.try(t.Context(), waiting)
	}
	all := newReplica(t, login(-1), 2) // so that the script drops an entry
	fill(all)
	if text := all.Snapshot().SyncError; text != "" {
		t.Errorf("want an exchange with all permissions, found %q", text)
	}
	for i, p := range permissions {
		c.Do("FLUSHDB")
		r := newReplica(t, login(i), 2)
		r.sharing.clients.most = 1
		fill(r)
		other := newReplica(t, s.URL(""), 2) // a conflict for the next exchange
		other.Observe(of(allowed("client-2", time.Minute)))
		exchangeAll(t, other)
		fill(r)
		if reports := *r.reports; len(reports) == 0 || !strings.Contains(reports[0].Error(), "the error reply") {
			t.Errorf("want an error without %s, found %v", p, reports)
		}
	}
}

// TestWrongTypes checks that keys of another type are an error of the exchange only.
func TestWrongTypes(t *testing.T) {
	t.Parallel()
	s := redisserver.Start(t)
	a := newReplica(t, s.URL(""), 10)
	s.Operator(t, "").Do("SET", "certgate:usage:state", "x")
	a.Observe(of(allowed("mail", time.Second)))
	a.sharing.try(t.Context(), waiting)
	if snap := a.Snapshot(); !strings.Contains(snap.SyncError, "the error reply WRONGTYPE") && !strings.Contains(snap.SyncError, "error reply") || len(snap.Clients) != 1 {
		t.Errorf("want the error and the client, found %+v", snap)
	}
}
