package replay_test

import (
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/guard/replay"
)

// BenchmarkUse measures the cost that the memory adds to every signed request.
func BenchmarkUse(b *testing.B) {
	m := replay.NewMemory()
	var number atomic.Int64
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			i := number.Add(1)
			n := nonceOf("mail", int(i), noon)
			// 4,000 nonces a second, so that nonces expire as fast as they arrive.
			n.Now = noon.Add(time.Duration(i) * 250 * time.Microsecond)
			n.Until = n.Now.Add(2 * time.Minute)
			if err := m.Use(n); err != nil {
				b.Error(err)
			}
		}
	})
}

// BenchmarkFull measures a full memory. A full memory must not be slower than an
// empty one, because a flood of requests would otherwise slow down every client.
func BenchmarkFull(b *testing.B) {
	m := replay.NewMemory()
	for client := range 24 {
		fill(b, m, "client"+strconv.Itoa(client), noon)
	}
	b.ReportMetric(float64(m.Len(noon)), "nonces")
	n := nonceOf("client1", 1_000_000_000, noon)
	b.ReportAllocs()
	b.ResetTimer()
	for b.Loop() {
		if m.Use(n) == nil {
			b.Fatal("want the nonce refused by a full memory, found it accepted")
		}
	}
}

// BenchmarkSweep measures the longest time that the lock is held: a quarter of the
// entries expires in the same second.
func BenchmarkSweep(b *testing.B) {
	m := replay.NewMemory()
	now, number := noon, 0
	for b.Loop() {
		b.StopTimer()
		if number%(replay.Capacity/4/replay.Chunk) == 0 {
			now = now.Add(time.Hour)
			m.Len(now)
			for i := range replay.Capacity / 4 {
				_ = m.Use(nonceOf("mail", i, now))
			}
			now = now.Add(10 * time.Minute)
		}
		number++
		b.StartTimer()
		_ = m.Use(nonceOf("social", number, now))
	}
}

// BenchmarkRedis measures the time that a signed request waits for a Redis server
// on the same machine.
func BenchmarkRedis(b *testing.B) {
	r, _ := newRedis(b, replay.RedisOptions{Server: startRedis(b).at(b, "")})
	var number atomic.Int64
	b.SetParallelism(8)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := r.Use(fresh("mail", int(number.Add(1)))); err != nil {
				b.Error(err)
			}
		}
	})
}
