package replay_test

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/core/httpsig"
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/core/trust"
	"github.com/certgate/certgate/internal/guard/replay"
)

func TestOnceForEachKey(t *testing.T) {
	first := nonceOf("mail", 1, noon)
	otherKey, otherClient, otherValue := first, first, first
	otherKey.Key = trust.KeyID{2}
	otherClient.Client = "social"
	otherValue.Value += "1"
	m := replay.NewMemory()
	for _, step := range []struct {
		name  string
		nonce httpsig.Nonce
		want  refusal.Reason
	}{
		{"new", first, ""},
		{"again", first, refusal.ProofReplayed},
		{"valid for longer", until(first, first.Until.Add(time.Minute)), refusal.ProofReplayed},
		{"valid for a shorter time", until(first, first.Until.Add(-time.Minute)), refusal.ProofReplayed},
		{"later", at(first, noon.Add(time.Minute)), refusal.ProofReplayed},
		{"with another client's name", otherClient, refusal.ProofReplayed},
		{"another key", otherKey, ""},
		{"another value", otherValue, ""},
	} {
		wantReason(t, step.name, m.Use(step.nonce), step.want)
	}
	if found := m.Len(noon); found != 3 {
		t.Errorf("want 3 nonces stored, found %d", found)
	}
}

// TestInvalidNonce checks that a nonce that no verifier would pass is refused.
func TestInvalidNonce(t *testing.T) {
	good := nonceOf("mail", 1, noon)
	tests := []struct {
		name string
		edit func(*httpsig.Nonce)
		want refusal.Reason
	}{
		{"valid", func(*httpsig.Nonce) {}, ""},
		{"zero", func(n *httpsig.Nonce) { *n = httpsig.Nonce{} }, refusal.Internal},
		{"no key", func(n *httpsig.Nonce) { n.Key = trust.KeyID{} }, refusal.Internal},
		{"no client", func(n *httpsig.Nonce) { n.Client = "" }, refusal.Internal},
		{"no value", func(n *httpsig.Nonce) { n.Value = "" }, refusal.Internal},
		{"no time", func(n *httpsig.Nonce) { n.Now = time.Time{} }, refusal.Internal},
		{"no expiry", func(n *httpsig.Nonce) { n.Until = time.Time{} }, refusal.Internal},
		{"at its expiry", func(n *httpsig.Nonce) { n.Until = noon }, ""},
		{"after its expiry", func(n *httpsig.Nonce) { n.Until = noon.Add(-1) }, refusal.ProofExpired},
		{"longest validity", func(n *httpsig.Nonce) { n.Until = noon.Add(replay.MaxAhead) }, ""},
		{"longer than the longest validity", func(n *httpsig.Nonce) { n.Until = noon.Add(replay.MaxAhead + 1) }, refusal.Internal},
		{"valid for 1,000 years", func(n *httpsig.Nonce) { n.Until = noon.AddDate(1000, 0, 0) }, refusal.Internal},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n := good
			tt.edit(&n)
			wantReason(t, tt.name, replay.NewMemory().Use(n), tt.want)
		})
	}
}

// TestLongestSignature checks that the nonce of a signature with the longest lifetime
// and the largest clock skew is accepted.
func TestLongestSignature(t *testing.T) {
	const skew = 5 * time.Minute
	created := noon.Add(skew) // the client's clock is ahead
	n := until(nonceOf("mail", 1, noon), created.Add(httpsig.MaxLifetime+skew))
	wantReason(t, "longest", replay.NewMemory().Use(n), "")
}

// TestStoredUntilExpiry checks that a nonce is refused as long as its signature is valid.
func TestStoredUntilExpiry(t *testing.T) {
	for _, fraction := range []time.Duration{0, 1, time.Second / 2, time.Second - 1} {
		m := replay.NewMemory()
		n := nonceOf("mail", 1, noon)
		n.Until = n.Until.Add(fraction)
		wantReason(t, "new", m.Use(n), "")
		for _, before := range []time.Duration{2 * time.Minute, time.Second, 1, 0} {
			now := n.Until.Add(-before)
			wantReason(t, "before the expiry", m.Use(at(n, now)), refusal.ProofReplayed)
			wantReason(t, "signed again", m.Use(until(at(n, now), now.Add(time.Minute))), refusal.ProofReplayed)
		}
		after := n.Until.Add(time.Second)
		wantReason(t, "the same, after the expiry", m.Use(at(n, after)), refusal.ProofExpired)
		wantReason(t, "signed again, after the expiry", m.Use(until(at(n, after.Add(time.Second)), after.Add(time.Minute))), "")
	}
}

// TestClockAheadAndBack checks that a nonce that was dropped while the clock was ahead is
// not accepted as new after the clock has been set back.
func TestClockAheadAndBack(t *testing.T) {
	m := replay.NewMemory()
	n := nonceOf("mail", 1, noon)
	wantReason(t, "new", m.Use(n), "")
	wantReason(t, "a year ahead", m.Use(nonceOf("mail", 2, noon.AddDate(1, 0, 0))), "")
	wantReason(t, "back", m.Use(n), refusal.ProofExpired)
	wantReason(t, "a nonce with the same expiry", m.Use(until(nonceOf("mail", 3, noon), n.Until)), refusal.ProofExpired)
	// A nonce with a later expiry cannot be one of the dropped ones.
	later := until(nonceOf("mail", 4, noon), n.Until.Add(time.Second))
	wantReason(t, "a nonce with a later expiry", m.Use(later), "")
	wantReason(t, "the same nonce again", m.Use(later), refusal.ProofReplayed)
	wantReason(t, "a year later", m.Use(nonceOf("mail", 2, noon.AddDate(1, 0, 0))), refusal.ProofReplayed)
}

// TestManySecondsDropped checks that no nonce is accepted as new after the nonces of
// many seconds were dropped at once.
func TestManySecondsDropped(t *testing.T) {
	m := replay.NewMemory()
	nonces := make([]httpsig.Nonce, 100)
	for i := range nonces {
		nonces[i] = until(nonceOf("mail", i, noon), noon.Add(time.Duration(i)*time.Second))
		wantReason(t, "new", m.Use(nonces[i]), "")
	}
	if left := m.Len(noon.AddDate(1, 0, 0)); left != 0 {
		t.Errorf("want nothing stored after a year, found %d", left)
	}
	for _, n := range nonces {
		wantReason(t, "back", m.Use(n), refusal.ProofExpired)
	}
}

// TestAbsurdClock checks that a time more than 68 years from the first nonce is refused.
func TestAbsurdClock(t *testing.T) {
	m := replay.NewMemory()
	wantReason(t, "new", m.Use(nonceOf("mail", 1, noon)), "")
	for _, years := range []int{-100, 100} {
		wantReason(t, "absurd", m.Use(nonceOf("mail", 2, noon.AddDate(years, 0, 0))), refusal.Internal)
	}
	wantReason(t, "again", m.Use(nonceOf("mail", 1, noon)), refusal.ProofReplayed)
}

// TestConcurrentReplays checks that one of 10,000 concurrent copies is accepted.
func TestConcurrentReplays(t *testing.T) {
	m := replay.NewMemory()
	var all sync.WaitGroup
	var passed, other atomic.Int64
	start := make(chan struct{})
	for range 10_000 {
		all.Go(func() {
			<-start
			switch err := m.Use(nonceOf("mail", 1, noon)); {
			case err == nil:
				passed.Add(1)
			case refusal.Of(err).Reason != refusal.ProofReplayed:
				other.Add(1)
			}
		})
	}
	close(start)
	all.Wait()
	if passed.Load() != 1 || other.Load() != 0 {
		t.Errorf("want 1 accepted and all others replayed, found %d accepted and %d refused for another reason", passed.Load(), other.Load())
	}
}

// fill uses nonces of the client until one is refused as Overloaded, and returns the
// number of accepted ones.
func fill(tb testing.TB, m *replay.Memory, client string, now time.Time) int {
	tb.Helper()
	for n := 0; ; n++ {
		switch err := m.Use(nonceOf(client, n, now)); {
		case err == nil:
		case refusal.Of(err).Reason == refusal.Overloaded:
			return n
		default:
			tb.Fatalf("nonce %d of %s: want it accepted or refused as overloaded, found %v", n, client, err)
		}
	}
}

// TestShares checks that each client gets half of the free entries, so that entries
// remain for the next client.
func TestShares(t *testing.T) {
	m := replay.NewMemoryOf(4096)
	for _, step := range []struct {
		client string
		want   int
	}{{"mail", 2048}, {"social", 1024}, {"web-client", 512}} {
		if found := fill(t, m, step.client, noon); found != step.want {
			t.Errorf("%s: want %d nonces, found %d", step.client, step.want, found)
		}
		wantReason(t, step.client, m.Use(nonceOf(step.client, 1_000_000, noon)), refusal.Overloaded)
	}
	wantReason(t, "the first again", m.Use(nonceOf("mail", 2_000_000, noon)), refusal.Overloaded)
	wantReason(t, "a fourth", m.Use(nonceOf("report", 1, noon)), "")
}

// TestEqualShares checks that n clients together get n/(n+1) of the entries.
func TestEqualShares(t *testing.T) {
	const capacity = 4000
	m := replay.NewMemoryOf(capacity)
	clients := []string{"mail", "social", "web-client"}
	for number := range capacity {
		for _, client := range clients {
			if err := m.Use(nonceOf(client, number, noon)); err != nil {
				wantReason(t, client, err, refusal.Overloaded)
			}
		}
	}
	if found := m.Len(noon); found != capacity*3/4 {
		t.Errorf("want %d nonces of three clients, found %d", capacity*3/4, found)
	}
}

// TestFullMemoryKeepsNonces checks that a full memory keeps each nonce until its
// expiry, reuses the entries afterwards, and never uses more than its capacity.
func TestFullMemoryKeepsNonces(t *testing.T) {
	const capacity = 4 * replay.Chunk
	m := replay.NewMemoryOf(capacity)
	clients := []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"}
	now, filled := noon, map[string]int{}
	for round := range 5 {
		total := 0
		for _, client := range clients {
			filled[client] = fill(t, m, client, now)
			total += filled[client]
		}
		if total < capacity*99/100 || filled["a"] != capacity/2 || m.Places() > capacity {
			t.Fatalf("round %d: want %d places filled, half of them by a, found %d of %d, %d by a", round, capacity, total, m.Places(), filled["a"])
		}
		end := nonceOf("a", 0, now).Until
		for client, most := range filled {
			for number := range most {
				n := nonceOf(client, number, now)
				if err := m.Use(at(n, end)); err == nil || refusal.Of(err).Reason != refusal.ProofReplayed {
					t.Fatalf("round %d: want nonce %d of %s stored until its expiry, found %v", round, number, client, err)
				}
			}
		}
		now = end.Add(time.Second)
	}
	if left := m.Len(now); left != 0 {
		t.Errorf("want nothing stored after the expiry, found %d", left)
	}
	if clients, seconds := m.Known(); clients != 0 || seconds != 0 {
		t.Errorf("want no clients and no seconds left, found %d clients and %d seconds", clients, seconds)
	}
}

// TestLateRequests checks nonces that arrive in another order than their times.
func TestLateRequests(t *testing.T) {
	m := replay.NewMemory()
	early, late := nonceOf("mail", 1, noon), nonceOf("mail", 2, noon.Add(90*time.Second))
	wantReason(t, "the later", m.Use(late), "")
	wantReason(t, "the earlier", m.Use(early), "")
	wantReason(t, "the earlier again", m.Use(early), refusal.ProofReplayed)
	wantReason(t, "the later again", m.Use(late), refusal.ProofReplayed)
	wantReason(t, "the earlier at its expiry", m.Use(at(early, early.Until)), refusal.ProofReplayed)
}

// TestShortestLast checks that the nonce that expires first may be added last.
func TestShortestLast(t *testing.T) {
	m := replay.NewMemory()
	for i := range 100 {
		wantReason(t, "long", m.Use(until(nonceOf("mail", i, noon.Add(time.Second)), noon.Add(time.Duration(200+i)*time.Second))), "")
	}
	wantReason(t, "short", m.Use(until(nonceOf("mail", 100, noon), noon)), "")
	if left := m.Len(noon.Add(2 * time.Second)); left != 100 {
		t.Errorf("want the 100 long ones stored, found %d", left)
	}
}

// TestSize checks that a memory of the full capacity takes at most 37 MiB.
func TestSize(t *testing.T) {
	m := replay.NewMemory()
	before := heap()
	wantReason(t, "first", m.Use(nonceOf("mail", 1, noon)), "")
	if took := heap() - before; took > 37<<20 {
		t.Errorf("want at most 37 MiB, found %d", took)
	}
	runtime.KeepAlive(m)
}

func heap() uint64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}
