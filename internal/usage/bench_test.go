package usage

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap/zapcore"

	"github.com/certgate/certgate/internal/audit"
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/testkit/redisserver"
)

// BenchmarkObserve measures a request of a known client, with one goroutine for each
// processor in the parallel cases.
func BenchmarkObserve(b *testing.B) {
	tests := []struct {
		name    string
		clients int
		record  func(client string) *audit.Record
	}{
		{"one client", 1, func(client string) *audit.Record { return allowed(client, 0) }},
		{"1000 clients", 1000, func(client string) *audit.Record { return allowed(client, 0) }},
		{"signed", 1, func(client string) *audit.Record {
			return with(allowed(client, 0), func(r *audit.Record) { r.Auth = "signed" })
		}},
		{"refused client", 1, func(client string) *audit.Record { return refused(client, refusal.AccessDenied, 0) }},
		{"refused without certificate", 1, func(string) *audit.Record {
			return refused("", refusal.CredentialMissing, 0)
		}},
		{"more clients than the bound", 2 * MaxClients, func(client string) *audit.Record { return allowed(client, 0) }},
	}
	for _, tt := range tests {
		s, _ := newTestStore(MaxClients)
		records := make([]*audit.Record, tt.clients)
		for i := range records {
			records[i] = tt.record(fmt.Sprintf("client-%05d", i))
			s.Observe(records[i])
		}
		b.Run(tt.name, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				r := *records[i%len(records)]
				r.Time = noon.Add(time.Duration(i) * 100 * time.Microsecond)
				s.Observe(&r)
			}
		})
		b.Run(tt.name+" in parallel", func(b *testing.B) {
			b.ReportAllocs()
			var next atomic.Int64
			b.RunParallel(func(pb *testing.PB) {
				for i := int(next.Add(7919)); pb.Next(); i++ {
					r := *records[i%len(records)]
					r.Time = noon.Add(time.Duration(i) * 100 * time.Microsecond)
					s.Observe(&r)
				}
			})
		})
	}
}

// BenchmarkRecord measures the audit of a request together with the inventory.
func BenchmarkRecord(b *testing.B) {
	for _, tt := range []struct {
		name    string
		observe func(s *Store) []func(*audit.Record)
	}{
		{"with inventory", func(s *Store) []func(*audit.Record) { return []func(*audit.Record){s.Observe} }},
		{"without", func(*Store) []func(*audit.Record) { return nil }},
	} {
		lines := audit.NewBuffer(discard{}, audit.Continue)
		logger, _ := audit.NewBufferedLogger(zapcore.InfoLevel, "json", lines)
		s, _ := newTestStore(MaxClients)
		r := audit.New(logger, prometheus.NewRegistry(), tt.observe(s)...)
		rec := allowed("mail", 0)
		rec.RequestID = "9f2a61c85f3d4b0e9f2a61c85f3d4b0e"
		b.Run(tt.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r.Record(rec)
			}
		})
		b.Run(tt.name+" in parallel", func(b *testing.B) {
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					r.Record(rec)
				}
			})
		})
		lines.Close()
	}
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

// BenchmarkExchange measures an exchange after requests of as many clients as fit into the
// inventory, with a Redis server on the same machine.
func BenchmarkExchange(b *testing.B) {
	r := newReplica(b, redisserver.Start(b).URL(""), MaxClients)
	exchangeAll(b, r)
	for i := 0; b.Loop(); i++ {
		for c := range MaxClients {
			r.Observe(of(allowed(fmt.Sprintf("client-%05d", c), time.Duration(i)*time.Second)))
		}
		exchangeAll(b, r)
	}
}

// BenchmarkSnapshot measures a copy of the largest inventory.
func BenchmarkSnapshot(b *testing.B) {
	s, _ := newTestStore(MaxClients)
	for i := range MaxClients {
		s.Observe(allowed(fmt.Sprintf("client-%05d", i), 0))
	}
	for b.Loop() {
		s.Snapshot()
	}
}
