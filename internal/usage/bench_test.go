package usage

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/audit"
	"github.com/certgate/certgate/internal/core/refusal"
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
