package replay_test

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/core/httpsig"
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/core/trust"
	"github.com/certgate/certgate/internal/guard/replay"
)

// fresh returns a nonce for the current time, because Redis uses its own clock.
func fresh(client string, number int) httpsig.Nonce { return nonceOf(client, number, time.Now()) }

func TestRedisOnceForEachKey(t *testing.T) {
	r, reported := newRedis(t, replay.RedisOptions{Server: startRedis(t).at(t, "")})
	first := fresh("mail", 1)
	otherKey, otherClient := first, first
	otherKey.Key = trust.KeyID{2}
	otherClient.Client = "social"
	for _, step := range []struct {
		name  string
		nonce httpsig.Nonce
		want  refusal.Reason
	}{
		{"new", first, ""},
		{"again", first, refusal.ProofReplayed},
		{"valid for longer", until(first, first.Until.Add(time.Minute)), refusal.ProofReplayed},
		{"with another client's name", otherClient, refusal.ProofReplayed},
		{"another key", otherKey, ""},
		{"another value", fresh("mail", 2), ""},
		{"expired", until(fresh("mail", 3), first.Now.Add(-time.Second)), refusal.ProofExpired},
		{"valid for too long", until(fresh("mail", 4), first.Now.Add(time.Hour)), refusal.Internal},
		{"zero", httpsig.Nonce{}, refusal.Internal},
	} {
		wantReason(t, step.name, r.Use(step.nonce), step.want)
	}
	if !r.Up() {
		t.Error("want redis up, found it gone")
	}
	reported.wantNone(t)
}

// TestTwoReplicas checks that a nonce that reaches two gateways at the same time is
// accepted once. It repeats this for thousands of nonces.
func TestTwoReplicas(t *testing.T) {
	server := startRedis(t).at(t, "")
	a, _ := newRedis(t, replay.RedisOptions{Server: server})
	b, _ := newRedis(t, replay.RedisOptions{Server: server})
	const copies = 2
	times := 3000
	if testing.Short() {
		times /= 3
	}
	for number := range times {
		n := fresh("mail", number)
		var all sync.WaitGroup
		var passed atomic.Int64
		start := make(chan struct{})
		for _, replica := range []*replay.Redis{a, b} {
			for range copies {
				all.Go(func() {
					<-start
					err := replica.Use(n)
					if err == nil {
						passed.Add(1)
						return
					}
					wantReason(t, "a copy", err, refusal.ProofReplayed)
				})
			}
		}
		close(start)
		all.Wait()
		if p := passed.Load(); p != 1 {
			t.Fatalf("nonce %d: want 1 accepted, found %d", number, p)
		}
	}
}

// TestStoredLongEnough checks that Redis stores a nonce until it expires by a
// clock that is behind.
func TestStoredLongEnough(t *testing.T) {
	s := startRedis(t)
	operator := s.Operator(t, "")
	for number, tt := range []struct {
		ahead, skew, want time.Duration
	}{
		{0, 0, time.Second},
		{time.Nanosecond, 0, 2 * time.Second},
		{2 * time.Minute, time.Minute, 3*time.Minute + time.Second},
		{1500 * time.Millisecond, 1500 * time.Millisecond, 4 * time.Second},
		{2 * time.Minute, 24 * time.Hour, 7*time.Minute + time.Second},
		{replay.MaxAhead, 5 * time.Minute, replay.MaxAhead + 5*time.Minute + time.Second},
	} {
		r, _ := newRedis(t, replay.RedisOptions{Server: s.at(t, ""), ClockSkew: tt.skew})
		n := fresh("mail", number)
		n.Until = n.Now.Add(tt.ahead)
		wantReason(t, "new", r.Use(n), "")
		found := time.Duration(operator.Int("PTTL", replay.Name(n))) * time.Millisecond
		// At most one second has passed since; a key of one second may have expired.
		if found > tt.want || tt.ahead > time.Second && found <= tt.want-time.Second {
			t.Errorf("%s ahead with %s: want it stored for %s, found %s", tt.ahead, tt.skew, tt.want, found)
		}
	}
}

// TestKeyName checks that the key of a nonce does not change between versions, because
// gateways of different versions can share a server.
func TestKeyName(t *testing.T) {
	const want = "certgate:nonce:f16d2867bffd66016187d447558354d5" // computed by another program
	if found := replay.Name(nonceOf("mail", 1, noon)); found != want {
		t.Errorf("want %s, found %s", want, found)
	}
}

// TestLogin checks the login with a password alone and with a user of minimal rights,
// and that no error contains a password.
func TestLogin(t *testing.T) {
	const secret, other = "s3cret-word", "another-w0rd"
	s := startRedis(t, "--requirepass", secret)
	s.Operator(t, secret).Do("ACL", "SETUSER", "certgate", "on", ">"+other, "~certgate:nonce:*", "+set", "+info")
	tests := []struct {
		name, login string
		want        refusal.Reason
	}{
		{"password", ":" + secret + "@", ""},
		{"user", "certgate:" + other + "@", ""},
		{"no login", "", refusal.Overloaded},
		{"wrong", ":" + other + "@", refusal.Overloaded},
		{"wrong user", "nobody:" + other + "@", refusal.Overloaded},
		{"wrong password of a user", "certgate:" + secret + "@", refusal.Overloaded},
	}
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, reported := newRedis(t, replay.RedisOptions{Server: s.at(t, tt.login)})
			if tt.want != "" {
				wantSilent(t, reported.want(t, replay.Gone), secret, other)
			}
			err := r.Use(fresh("mail", i))
			wantReason(t, tt.name, err, tt.want)
			wantSilent(t, err, secret, other)
			reported.stop()
			reported.wantNone(t)
		})
	}
}

func wantSilent(t *testing.T, err error, secrets ...string) {
	t.Helper()
	for _, secret := range secrets {
		if err != nil && strings.Contains(err.Error(), secret) {
			t.Errorf("want no password in an error, found %v", err)
		}
	}
}

// TestGoneAndBack checks that without a memory every nonce is refused while Redis is
// gone, and that nonces are accepted again when Redis is back.
func TestGoneAndBack(t *testing.T) {
	s := startRedis(t)
	r, reported := newRedis(t, replay.RedisOptions{Server: s.at(t, "")})
	before := fresh("mail", 1)
	wantReason(t, "before", r.Use(before), "")
	s.Kill()
	for number := range replay.FailuresInRow + 1 {
		wantReason(t, "meanwhile", r.Use(fresh("mail", 10+number)), refusal.Overloaded)
	}
	if err := reported.want(t, replay.Gone); err == nil || r.Up() {
		t.Errorf("want redis gone and the cause, found %v, up %t", err, r.Up())
	}
	wantReason(t, "replayed meanwhile", r.Use(before), refusal.Overloaded)
	s.Restart(t)
	reported.want(t, replay.Back)
	if !r.Up() {
		t.Error("want redis up, found it gone")
	}
	wantReason(t, "after", r.Use(fresh("mail", 2)), "")
	reported.wantNone(t)
}

// TestRemembering checks that with a memory each nonce is accepted once in this process
// while Redis is gone, and that a nonce accepted before is refused.
func TestRemembering(t *testing.T) {
	s := startRedis(t)
	options := replay.RedisOptions{Server: s.at(t, ""), Memory: replay.NewMemory()}
	r, reported := newRedis(t, options)
	other, _ := newRedis(t, replay.RedisOptions{Server: s.at(t, ""), Memory: replay.NewMemory()})
	before, foreign := fresh("mail", 1), fresh("mail", 2)
	wantReason(t, "before", r.Use(before), "")
	wantReason(t, "at another replica", other.Use(foreign), "")
	wantReason(t, "then here", r.Use(foreign), refusal.ProofReplayed)
	s.Kill()
	for number := range replay.FailuresInRow + 1 {
		meanwhile := fresh("mail", 10+number)
		wantReason(t, "meanwhile", r.Use(meanwhile), "")
		wantReason(t, "meanwhile again", r.Use(meanwhile), refusal.ProofReplayed)
	}
	reported.want(t, replay.Gone)
	wantReason(t, "from before", r.Use(before), refusal.ProofReplayed)
	wantReason(t, "from the other replica", r.Use(foreign), refusal.ProofReplayed)
	s.Restart(t) // with an empty database
	reported.want(t, replay.Back)
	wantReason(t, "from before, after", r.Use(before), refusal.ProofReplayed)
	wantReason(t, "from meanwhile, after", r.Use(fresh("mail", 10)), refusal.ProofReplayed)
	last := fresh("mail", 3)
	wantReason(t, "after", r.Use(last), "")
	if count := s.Operator(t, "").Int("EXISTS", replay.Name(last)); count != 1 {
		t.Errorf("want the nonce stored in redis again, found %d keys", count)
	}
}

// TestStopped checks that a Redis that accepts connections but does not reply delays
// only the first requests, and that a late reply is not taken for the reply to another
// nonce. The timeouts are those of the gateway, so on a busy machine any nonce can be
// refused.
func TestStopped(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: this test waits for a timeout")
	}
	s := startRedis(t)
	r, reported := newQuickRedis(t, replay.RedisOptions{Server: s.at(t, "")})
	unlimited, _ := newRedis(t, replay.RedisOptions{Server: s.at(t, "")})
	before := fresh("mail", 1)
	wantReason(t, "before", unlimited.Use(before), "")
	wantReasonOr(t, "again", r.Use(before), refusal.ProofReplayed)
	s.Signal(t, syscall.SIGSTOP)
	var all sync.WaitGroup
	for number := range 200 {
		all.Go(func() { wantReason(t, "meanwhile", r.Use(fresh("mail", 10+number)), refusal.Overloaded) })
	}
	if err := reported.want(t, replay.Gone); err == nil {
		t.Error("want the cause, found nothing")
	}
	all.Wait()
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	for number := range 1000 { // 500 s if each had to wait
		if ctx.Err() != nil {
			t.Fatalf("want no wait while redis is gone, found %d requests in %s", number, testTimeout)
		}
		wantReason(t, "while it is gone", r.Use(fresh("mail", 1000+number)), refusal.Overloaded)
	}
	s.Signal(t, syscall.SIGCONT)
	reported.want(t, replay.Back)
	answered := 0
	for number := 0; answered < 200 && ctx.Err() == nil; number++ {
		again, err := r.Use(before), r.Use(fresh("mail", 5000+number))
		wantReasonOr(t, "from before", again, refusal.ProofReplayed)
		wantReasonOr(t, "after", err, "")
		if err == nil {
			answered++
		}
	}
	if answered == 0 {
		t.Error("want replies after redis continued, found none")
	}
}

// wantReasonOr checks that err has the reason want, or Overloaded because Redis did not
// reply in time.
func wantReasonOr(t *testing.T, what string, err error, want refusal.Reason) {
	t.Helper()
	if d := refusal.Of(err); d != nil && d.Reason == refusal.Overloaded {
		return
	}
	wantReason(t, what, err, want)
}

// TestRefusedWrites checks that a server that replies but refuses writes counts as gone.
func TestRefusedWrites(t *testing.T) {
	tests := []struct {
		name, code    string
		spoil, repair []string
	}{
		{"replica", "READONLY", []string{"REPLICAOF", "127.0.0.1", "1"}, []string{"REPLICAOF", "NO", "ONE"}},
		{"out of memory", "OOM", []string{"CONFIG", "SET", "maxmemory", "1"}, []string{"CONFIG", "SET", "maxmemory", "0"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := startRedis(t)
			operator := s.Operator(t, "")
			r, reported := newRedis(t, replay.RedisOptions{Server: s.at(t, "")})
			wantReason(t, "before", r.Use(fresh("mail", 1)), "")
			operator.Do(tt.spoil...)
			for number := range replay.FailuresInRow {
				wantReason(t, "meanwhile", r.Use(fresh("mail", 10+number)), refusal.Overloaded)
			}
			if err := reported.want(t, replay.Gone); err == nil || !strings.Contains(err.Error(), tt.code) {
				t.Errorf("want %s, found %v", tt.code, err)
			}
			operator.Do(tt.repair...)
			reported.want(t, replay.Back)
			wantReason(t, "after", r.Use(fresh("mail", 2)), "")
		})
	}
}

// TestEvictionPolicy checks that an eviction policy that can remove nonces is reported.
func TestEvictionPolicy(t *testing.T) {
	tests := []struct {
		name     string
		settings []string
		want     string // part of the report; empty if no report is expected
	}{
		{"default settings", nil, ""},
		{"bounded", []string{"--maxmemory", "64mb", "--maxmemory-policy", "noeviction"}, ""},
		{"unbounded", []string{"--maxmemory-policy", "allkeys-lru"}, ""},
		{"evicting", []string{"--maxmemory", "64mb", "--maxmemory-policy", "allkeys-lru"}, `found "allkeys-lru" with maxmemory "67108864"`},
		{"evicting keys with an expiry", []string{"--maxmemory", "64mb", "--maxmemory-policy", "volatile-ttl"}, `found "volatile-ttl"`},
		{"without INFO", []string{"--rename-command", "INFO", ""}, `want to see its maxmemory-policy by INFO, found redis`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, reported := newRedis(t, replay.RedisOptions{Server: startRedis(t, tt.settings...).at(t, "")})
			if tt.want != "" {
				if err := reported.want(t, replay.MayEvict); !strings.Contains(err.Error(), tt.want) {
					t.Errorf("want %q, found %v", tt.want, err)
				}
			}
			wantReason(t, "new", r.Use(fresh("mail", 1)), "")
			reported.stop()
			reported.wantNone(t)
		})
	}
}

// TestGoneFromTheStart checks that a server that is gone at startup is reported before
// the first request.
func TestGoneFromTheStart(t *testing.T) {
	s := startRedis(t)
	s.Kill()
	r, reported := newRedis(t, replay.RedisOptions{Server: s.at(t, "")})
	if err := reported.want(t, replay.Gone); err == nil || !strings.Contains(err.Error(), s.Addr()) {
		t.Errorf("want the server and the cause, found %v", err)
	}
	wantReason(t, "gone", r.Use(fresh("mail", 1)), refusal.Overloaded)
	s.Restart(t)
	reported.want(t, replay.Back)
	wantReason(t, "back", r.Use(fresh("mail", 1)), "")
}

// TestClosed checks that a store without a memory refuses every nonce after Watch has
// returned.
func TestClosed(t *testing.T) {
	r, reported := newRedis(t, replay.RedisOptions{Server: startRedis(t).at(t, "")})
	wantReason(t, "open", r.Use(fresh("mail", 1)), "")
	reported.stop()
	wantReason(t, "closed", r.Use(fresh("mail", 2)), refusal.Overloaded)
}
