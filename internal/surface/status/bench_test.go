package status

import "testing"

// BenchmarkPage renders the page of an inventory that is full.
func BenchmarkPage(b *testing.B) {
	full := withClients(10_000)
	for name, target := range map[string]string{"first": "/", "all": "/?clients=all", "json": "/status"} {
		b.Run(name, func(b *testing.B) {
			size := 0
			for b.Loop() {
				size = get(b, func() Status { return full }, target).Body.Len()
			}
			b.ReportMetric(float64(size), "bytes")
		})
	}
}
