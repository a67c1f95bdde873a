package client

import (
	"net/http"
	"strings"
	"testing"
)

// BenchmarkHeads measures serializing a request header and parsing a response header.
func BenchmarkHeads(b *testing.B) {
	b.Run("append", func(b *testing.B) {
		fields := []Field{
			{"Accept", "*/*"}, {"Content-Type", "application/json"}, {"X-Client-Id", "mail"}, {"X-Client-Auth", "bearer"},
			{"X-Client-Cert-Serial", "eb43eaee56b8c7791b21f7f4f6ff9642"}, {"X-Client-Cert-Fingerprint", strings.Repeat("0123456789abcdef", 4)},
			{"X-Request-Id", "8d3b2e89c10503edfeb563995c2e4991"}, {"X-Forwarded-For", "192.0.2.7"}, {"X-Forwarded-Proto", "https"},
			{"X-Forwarded-Host", "schedule.example.com"},
		}
		var m Request
		b.ReportAllocs()
		for b.Loop() {
			m.Begin(http.MethodPost, "/events", "127.0.0.1:8081")
			for _, f := range fields {
				m.Field(f.Name, f.Value)
			}
			if m.End(); m.err != nil {
				b.Fatal(m.err)
			}
		}
	})
	b.Run("parse", func(b *testing.B) {
		head := []byte("HTTP/1.1 201 Created\r\nServer: nginx/1.22.1\r\nDate: Sun, 22 Nov 2026 00:11:24 GMT\r\nContent-Type: application/json\r\n" +
			"Content-Length: 214\r\nConnection: keep-alive\r\nLocation: /events/01a20097-e638-74f5-bd10-61111c7891ea\r\n\r\n")
		b.ReportAllocs()
		for b.Loop() {
			if _, err := parseHead(head, nil); err != nil {
				b.Fatal(err)
			}
		}
	})
}
